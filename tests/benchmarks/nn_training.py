"""Training to the end, beside PyTorch taking the same steps: wall time, accuracy, and the ratio of the times.

    python tests/benchmarks/nn_training.py

Moons is 2-25-50-50-25-1 on 900 of 1,000 points, full batch; digits is [64, 30, 10] on 80% of the 8 x 8 digits, in
mini-batches of 10: both as in the demos. `fit` and PyTorch take turns in one process, from the same weights, and the
shortest time of each counts: for `fit` that is with the compiling. PyTorch runs in float64 on one thread, as we do.
"""

import sys
import time
from pathlib import Path

import torch

import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "demos"))
import classic_architecture
import classic_digits
from moons import make_moons

ROUNDS = 3


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def in_torch(model):
    """The same layers, with the same numbers."""
    modules = []
    for layer in model.layers:
        modules.append(torch.nn.Linear(layer.nin, layer.nout).double())
        modules.append(torch.nn.ReLU() if nn.layers.name_of(layer.activation) == "relu" else torch.nn.Sigmoid())
    theirs = torch.nn.Sequential(*modules)
    theirs.load_state_dict({name: tensor(array) for name, array in model.state_dict().items()})
    return theirs


def race(title, build, loss, their_loss, lr, train, test, right, epochs, batch_size):
    """Train both, in turns, and print a row of the table."""
    X, y = train
    their_X, their_y = tensor(X), tensor(y)
    ours_s = theirs_s = float("inf")
    for _ in range(ROUNDS):
        model = build()
        theirs = in_torch(model)
        optimizer, their_optimizer = nn.SGD(model.parameters(), lr=lr), torch.optim.SGD(theirs.parameters(), lr=lr)
        start = time.perf_counter()
        nn.fit(model, X, y, loss, optimizer, epochs, batch_size, shuffle=False)
        ours_s = min(ours_s, time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(epochs):
            for i in range(0, len(X), batch_size or len(X)):
                rows = slice(i, i + (batch_size or len(X)))
                their_optimizer.zero_grad()
                their_loss(theirs(their_X[rows]), their_y[rows]).backward()
                their_optimizer.step()
        theirs_s = min(theirs_s, time.perf_counter() - start)
    difference = max(abs(p.data - q) for p, q in zip(model.parameters(), flat(theirs), strict=True))
    ours_right, theirs_right = nn.evaluate(model, *test, metrics=[right])[right.__name__], 0.0
    with torch.no_grad():
        outputs = theirs(tensor(test[0])).tolist()
        outputs = [row if len(row) > 1 else row[0] for row in outputs]
        theirs_right = sum(right(output, target) for output, target in zip(outputs, test[1], strict=True)) / len(
            outputs
        )
    steps = epochs * -(-len(X) // (batch_size or len(X)))
    print(f"{title:7}{epochs:7}{steps:8}{ours_s:10.2f} s{ours_right:10.2%}{theirs_s:10.2f} s{theirs_right:10.2%}"
          f"{ours_s / theirs_s:9.2f}x{difference:12.1e}", flush=True)  # fmt: skip


def flat(module):
    return [number for p in module.parameters() for number in p.flatten().tolist()]


def main():
    torch.set_num_threads(1)
    print("          epochs   steps   autograd-lite right      PyTorch right      time/PyTorch's  parameters differ by")
    X, y = make_moons(1000, noise=0.2, seed=2)
    y = [(moon + 1) / 2 for moon in y]
    race(
        "moons", lambda: classic_architecture.build(classic_architecture.ARCHITECTURE, seed=1),
        nn.binary_cross_entropy, lambda p, t: torch.nn.functional.binary_cross_entropy(p[:, 0], t),
        classic_architecture.LEARNING_RATE, (X[100:], y[100:]), (X[:100], y[:100]), nn.binary_accuracy,
        epochs=300, batch_size=None,
    )  # fmt: skip
    X, y = classic_digits.load(enlarge=False)
    n, normal = len(X) * 8 // 10, nn.init.normal()
    race(
        "digits", lambda: nn.MLP(64, [30, 10], "sigmoid", "sigmoid", weight=normal, bias=normal, seed=0),
        classic_digits.quadratic_cost, lambda p, t: 0.5 * ((p - t) ** 2).sum(dim=1).mean(),
        1.0, (X[:n], y[:n]), (X[n:], y[n:]), classic_digits.right, epochs=30, batch_size=10,
    )  # fmt: skip


if __name__ == "__main__":
    main()
