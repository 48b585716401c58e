"""Train a small network to classify points of two interleaved half moons, and draw the result.

    python demos/moons.py --out out

The network is MLP(2, [16, 16, 1]), 337 parameters; the loss is the hinge loss, with weight decay. It prints a line for
each epoch and writes three pictures: the decision boundary, the loss of all points through the trained network, and
the graph of one of its neurons.
"""

import argparse
import math
import random
from pathlib import Path

import matplotlib as mpl

import nn
from autograd_lite import Value, draw

mpl.use("Agg")


def make_moons(n: int, noise: float, seed: int) -> tuple[list[list[float]], list[float]]:
    """n points on two half circles, with Gaussian noise, in random order; -1 for the upper moon and 1 for the lower."""
    rng = random.Random(seed)
    angles = [math.pi * i / (n // 2 - 1) for i in range(n // 2)]
    upper = [([math.cos(a), math.sin(a)], -1.0) for a in angles]
    lower = [([1 - math.cos(a), 0.5 - math.sin(a)], 1.0) for a in angles]
    points = [([x + rng.gauss(0, noise) for x in point], moon) for point, moon in upper + lower]
    rng.shuffle(points)
    return [point for point, _ in points], [moon for _, moon in points]


def draw_neuron(neuron: nn.Neuron, point: list[float], file: Path) -> Path:
    """Write the graph of a neuron that sees `point`, with the derivatives of its output."""
    x = [Value(number, label=f"x{i}") for i, number in enumerate(point, 1)]
    for i, w in enumerate(neuron.w, 1):
        w.label = f"w{i}"
    neuron.b.label = "b"
    neuron.zero_grad()
    output = neuron(x)
    output.label = "output"
    output.backward()
    return Path(draw(output).render(outfile=file, cleanup=True))


def draw_network(model: nn.MLP, X: list[list[float]], y: list[float], file: Path) -> Path:
    """Write the graph of the loss over all points, with the gradients: one box for each neuron, for all the rows."""
    model.zero_grad()
    loss = nn.hinge([model(x) for x in X], y)
    loss.label = "loss"
    loss.backward()
    return Path(draw(loss).render(outfile=file, cleanup=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train MLP(2, [16, 16, 1]) on two moons.")
    parser.add_argument("--steps", type=int, default=80, help="full-batch gradient steps (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for the pictures (%(default)s)")
    options = parser.parse_args()

    X, y = make_moons(100, noise=0.1, seed=1)
    model = nn.MLP(2, [16, 16, 1], weight=nn.init.kaiming_uniform(), seed=1)
    print(model.summary(), end="\n\n")

    optimizer = nn.SGD(model.parameters(), lr=1.0, weight_decay=1e-4)
    schedule = nn.CosineAnnealingLR(optimizer, T_max=options.steps, eta_min=0.05)
    history = nn.fit(
        model, X, y, nn.hinge, optimizer, epochs=options.steps, batch_size=None,
        metrics=[nn.accuracy], schedule=schedule, verbose=True,
    )  # fmt: skip

    final = nn.evaluate(model, X, y, nn.hinge, [nn.accuracy])
    seconds = sum(history["seconds"])
    print(f"\nloss {final['loss']:.4f}, accuracy {final['accuracy']:.0%} after {len(history)} steps in {seconds:.1f} s")

    options.out.mkdir(parents=True, exist_ok=True)
    ax = nn.plot_decision_boundary(model, X, y)
    ax.set_title(f"Two moons, MLP(2, [16, 16, 1]): {final['accuracy']:.0%} right")
    ax.figure.savefig(options.out / "moons_boundary.png")
    print(f"wrote {options.out / 'moons_boundary.png'}")

    print(f"wrote {draw_network(model, X, y, options.out / 'moons_network.svg')}")
    active = max(model.layers[0].neurons, key=lambda neuron: neuron(X[0]).data)
    print(f"wrote {draw_neuron(active, X[0], options.out / 'moons_neuron.svg')}")


if __name__ == "__main__":
    main()
