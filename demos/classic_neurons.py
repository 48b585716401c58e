"""Two neurons and an output: the numbers of an article, then its network, which classifies weight and height.

    python demos/classic_neurons.py

The article is Victor Zhou, "Machine Learning for Beginners: An Introduction to Neural Networks", 2019,
https://victorzhou.com/blog/intro-to-neural-networks/.
"""

import argparse

import nn
from autograd_lite import softmax

PEOPLE = [[-2, -1], [25, 6], [17, 4], [-15, -6]]  # weight - 135 pounds, height - 66 inches
GROUPS = [1, 0, 0, 1]


def examples() -> None:
    """A neuron that sees two others, softmax, and the mean squared error."""
    neuron = {"activation": "sigmoid", "bias": 0.0, "weight": [0.0, 1.0]}
    h1, h2, output = nn.Neuron(2, **neuron), nn.Neuron(2, **neuron), nn.Neuron(2, **neuron)
    x = [2.0, 3.0]
    print(f"output of (2, 3): {output([h1(x), h2(x)]).data:.4f}")
    print("softmax of (5, 1):", ", ".join(f"{p:.2f}" for p in softmax([5, 1])))
    print(f"mean squared error of (1, 0, 0, 1): {nn.mse([1, 0, 0, 1], [0, 0, 0, 0]):g}")


def train(epochs: int) -> nn.MLP:
    """A 2-2-1 network of sigmoids, trained one sample at a time; the loss is printed every 10 epochs."""
    model = nn.MLP(2, [2, 1], "sigmoid", "sigmoid", weight=nn.init.normal(), bias=nn.init.normal(), seed=1)
    optimizer = nn.SGD(model.parameters(), lr=0.1)

    def report(history: nn.History) -> None:
        if (len(history) - 1) % 10 == 0:
            loss = nn.evaluate(model, PEOPLE, GROUPS, nn.mse)["loss"]
            print(f"Epoch {len(history) - 1} loss: {loss:.3f}", flush=True)

    nn.fit(
        model, PEOPLE, GROUPS, nn.mse, optimizer, epochs, batch_size=1, shuffle=False, callbacks=[report], verbose=False
    )
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two neurons and an output.")
    parser.add_argument("--epochs", type=int, default=1000, help="times through the four rows (%(default)s)")
    options = parser.parse_args()
    examples()
    model = train(options.epochs)
    print(f"final loss: {nn.evaluate(model, PEOPLE, GROUPS, nn.mse)['loss']:.4f}")
    print(f"Emily, (-7, -3): {model([-7, -3]).data:.3f}")
    print(f"Frank, (20, 2): {model([20, 2]).data:.3f}")
