"""A network without NumPy: a chain of three weights, checked by hand, then layers that learn a curve.

    python demos/classic_layers.py --plot out/classic_layers.png

The chain w1 * w2 * w3 * x with weights 1, 2, 3 gets the input 1 and should give 12. The layers, linear and ReLU, begin
with weights from U(-0.1, 0.1) and biases from U(0, 1), and learn a function of one variable, one sample at a time.
"""

import argparse
import math
import random
from pathlib import Path

import nn
from autograd_lite import relu

CURVE = [(x, math.sin(x)) for x in (i * 0.15 for i in range(-20, 21))]  # x and the target


def chain() -> None:
    """Forward, backward, and one step of size 0.001; the numbers are those of a calculation by hand."""
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False, weight=[[w]]) for w in (1, 2, 3)])
    optimizer = nn.SGD(model.parameters(), lr=0.001)

    output = model(1)
    loss = nn.mse(output, 12)
    loss.backward()
    first = model.parameters()[0]
    print(f"loss {loss.data:g}, d loss / d output {output.grad:g}, d loss / d first weight {first.grad:g}")

    optimizer.step()
    print(f"after one step of 0.001 the loss is {nn.mse(model(1), 12).data:.2f}")


def learn(epochs: int) -> tuple[nn.Sequential, float]:
    """Layers that have learned the curve, one sample at a time, and the mean squared error that is left."""
    rng = random.Random(1)
    start = {"weight": nn.init.uniform(-0.1, 0.1), "bias": nn.init.uniform(0, 1), "seed": rng}
    model = nn.Sequential(nn.Linear(1, 16, **start), relu, nn.Linear(16, 16, **start), relu, nn.Linear(16, 1, **start))
    X, y = [[x] for x, _ in CURVE], [target for _, target in CURVE]
    optimizer = nn.SGD(model.parameters(), lr=0.02)
    schedule = nn.CosineAnnealingLR(optimizer, T_max=epochs)

    def report(history: nn.History) -> None:
        if len(history) % (epochs // 10 or 1) == 0:
            print(f"epoch {len(history):5d}  loss {history['loss'][-1]:.6f}")

    nn.fit(model, X, y, nn.mse, optimizer, epochs, batch_size=1, schedule=schedule, callbacks=[report], verbose=False)
    return model, nn.evaluate(model, X, y, nn.mse)["loss"]


def plot(model: nn.Sequential, file: Path) -> None:
    """Write a picture of the prediction over the target."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.6), dpi=150, layout="constrained")
    xs = [x for x, _ in CURVE]
    axes.plot(xs, [target for _, target in CURVE], "o", color="#0072B2", label="target", markersize=5)
    axes.plot(xs, nn.predict(model, xs), color="#D55E00", linewidth=2.2, label="prediction")
    axes.set(xlabel="x", ylabel="y", title="Linear and ReLU layers learn sin x, one sample at a time")
    axes.legend()
    axes.grid(alpha=0.25)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    print(f"wrote {file}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chain of three weights, and layers that learn a curve.")
    parser.add_argument("--epochs", type=int, default=600, help="times through the curve (%(default)s)")
    parser.add_argument("--plot", type=Path, help="write prediction and target to this picture")
    options = parser.parse_args()
    chain()
    model, error = learn(options.epochs)
    print(f"mean squared error {error:.6f}")
    if options.plot:
        plot(model, options.plot)
