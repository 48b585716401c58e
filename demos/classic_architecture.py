"""A network described by a list of dicts, trained on two moons, and beside it the same network in PyTorch.

    python demos/classic_architecture.py

2-25-50-50-25-1, ReLU, and a sigmoid at the end; binary cross-entropy, full-batch gradient descent; 1,000 points with
noise 0.2, of which 100 are the test set. If PyTorch is installed, its network starts from the same weights and takes
the same steps. Architecture and data are those of Piotr Skalski, "Let's code a Neural Network in plain NumPy",
2018, https://towardsdatascience.com/lets-code-a-neural-network-in-plain-numpy-ae7e74410795.
"""

import argparse
import time

from moons import make_moons

import nn

ARCHITECTURE = [
    {"input_dim": 2, "output_dim": 25, "activation": "relu"},
    {"input_dim": 25, "output_dim": 50, "activation": "relu"},
    {"input_dim": 50, "output_dim": 50, "activation": "relu"},
    {"input_dim": 50, "output_dim": 25, "activation": "relu"},
    {"input_dim": 25, "output_dim": 1, "activation": "sigmoid"},
]
LEARNING_RATE = 0.3


def build(architecture: list[dict], seed: int) -> nn.Sequential:
    """The network that the list describes."""
    weight = nn.init.kaiming_normal()
    layers = [(layer["input_dim"], layer["output_dim"], layer["activation"]) for layer in architecture]
    return nn.Sequential(*[nn.Layer(*layer, weight=weight, seed=seed + i) for i, layer in enumerate(layers)])


def train(model: nn.Sequential, X: list, y: list, epochs: int) -> nn.History:
    """Train by full-batch gradient descent. Returns the history, with cost and accuracy."""

    def report(history: nn.History) -> None:
        if len(history) % (epochs // 10 or 1) == 0:
            row = history.rows[-1]
            print(f"epoch {row['epoch']:5d}  cost {row['loss']:.5f}  accuracy {row['binary_accuracy']:.4f}", flush=True)

    return nn.fit(
        model, X, y, nn.binary_cross_entropy, nn.SGD(model.parameters(), lr=LEARNING_RATE), epochs, batch_size=None,
        metrics=[nn.binary_accuracy], callbacks=[report], verbose=False,
    )  # fmt: skip


def train_with_torch(torch, state: dict, X: list, y: list, epochs: int):
    """The same network in PyTorch, after the same steps from the same start."""
    layers = []
    for layer in ARCHITECTURE:
        activation = torch.nn.ReLU() if layer["activation"] == "relu" else torch.nn.Sigmoid()
        layers += [torch.nn.Linear(layer["input_dim"], layer["output_dim"]), activation]
    model = torch.nn.Sequential(*layers).double()
    model.load_state_dict({name: torch.tensor(array, dtype=torch.float64) for name, array in state.items()})
    X, y = torch.tensor(X, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    torch.set_num_threads(1)  # so small a network is only slowed down by more
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(model(X)[:, 0], y).backward()
        optimizer.step()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="2-25-50-50-25-1 on two moons.")
    parser.add_argument("--epochs", type=int, default=300, help="full-batch steps (%(default)s)")
    parser.add_argument("--points", type=int, default=1000, help="points, a tenth held out (%(default)s)")
    options = parser.parse_args()

    X, y = make_moons(options.points, noise=0.2, seed=2)
    y, held = [(moon + 1) / 2 for moon in y], options.points // 10
    model = build(ARCHITECTURE, seed=1)
    start, state = time.perf_counter(), model.state_dict()
    train(model, X[held:], y[held:], options.epochs)
    seconds = time.perf_counter() - start
    test = nn.evaluate(model, X[:held], y[:held], nn.binary_cross_entropy, [nn.binary_accuracy])
    print(f"autograd-lite  test accuracy {test['binary_accuracy']:.4f}  cost {test['loss']:.6f}  {seconds:.1f} s")

    try:
        import torch
    except ImportError:
        return
    start = time.perf_counter()
    theirs = train_with_torch(torch, state, X[held:], y[held:], options.epochs)
    seconds = time.perf_counter() - start
    test = nn.evaluate(lambda x: theirs(torch.tensor(x, dtype=torch.float64)).tolist()[0], X[:held], y[:held],
                       nn.binary_cross_entropy, [nn.binary_accuracy], jit=False)  # fmt: skip
    print(f"PyTorch        test accuracy {test['binary_accuracy']:.4f}  cost {test['loss']:.6f}  {seconds:.1f} s")


if __name__ == "__main__":
    main()
