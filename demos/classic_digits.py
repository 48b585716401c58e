"""Mini-batch gradient descent on handwritten digits: a network from a list of sizes, sigmoids everywhere.

    python demos/classic_digits.py
    python demos/classic_digits.py --enlarge        # the same digits on 28 x 28

Weights and biases from the standard normal, the quadratic cost, 30 hidden neurons and mini-batches of 10 are those of
Michael Nielsen, "Neural Networks and Deep Learning", 2015, http://neuralnetworksanddeeplearning.com/chap1.html. The
digits are scikit-learn's, 8 x 8 pixels; 80% are for training.
"""

import argparse
import random
import time

from sklearn.datasets import load_digits

import nn
from autograd_lite import dot


def quadratic_cost(output: list, target: list):
    """Half the squared distance."""
    error = [a - t for a, t in zip(output, target, strict=True)]
    return 0.5 * dot(error, error)


def one_hot(label: int) -> list[float]:
    return [float(k == label) for k in range(10)]


def right(output: list[float], target: list[float]) -> float:
    """Whether the largest output is the digit's."""
    return float(output.index(max(output)) == target.index(1.0))


def load(enlarge: bool) -> tuple[list, list]:
    """The images as rows of numbers from 0 to 1, and the digits they show, in random order."""
    images, labels = load_digits(return_X_y=True)
    rows = (images / 16).tolist()
    if enlarge:
        places = [i * 8 // 28 for i in range(28)]
        rows = [[row[8 * i + j] for i in places for j in places] for row in rows]
    examples = list(zip(rows, map(one_hot, labels.tolist()), strict=True))
    random.Random(0).shuffle(examples)
    return [row for row, _ in examples], [target for _, target in examples]


def main() -> None:
    parser = argparse.ArgumentParser(description="Mini-batch gradient descent on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=30, help="times through the training set (%(default)s)")
    parser.add_argument("--examples", type=int, default=1797, help="how many digits to use (%(default)s)")
    parser.add_argument("--enlarge", action="store_true", help="28 x 28 pixels in place of 8 x 8")
    options = parser.parse_args()

    X, y = load(options.enlarge)
    X, y = X[: options.examples], y[: options.examples]
    training = len(X) * 8 // 10
    sizes = [len(X[0]), 30, 10]
    normal = nn.init.normal()
    model = nn.MLP(sizes[0], sizes[1:], "sigmoid", "sigmoid", weight=normal, bias=normal, seed=0)

    start = time.perf_counter()
    history = nn.fit(
        model, X[:training], y[:training], quadratic_cost, nn.SGD(model.parameters(), lr=1.0), options.epochs,
        batch_size=10, validation_data=(X[training:], y[training:]), metrics=[right], verbose=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(f"{sizes}: {history['val_right'][-1]:.2%} of {len(X) - training} test digits right, {seconds:.1f} s")


if __name__ == "__main__":
    main()
