"""Components as bricks: affine, sigmoid, ReLU and mean squared error, each with its outputs and gradients.

    python demos/classic_bricks.py

Every output of a brick is a Value: its number and, after `backward`, its gradient can be read. The same gradients by
matrix formulas, in NumPy, are printed beside them: for an affine brick
dX = dOut W^T, dW = X^T dOut, dB = the column sums of dOut.
"""

import numpy as np

import nn
from autograd_lite import Value, relu, sigmoid


def each(f, rows):
    return [[f(x) for x in row] for row in rows]


def data(rows):
    return np.array([[x.data for x in row] for row in rows])


def grad(rows):
    return np.array([[x.grad for x in row] for row in rows])


rng = np.random.default_rng(0)
X = each(Value, rng.normal(size=(4, 3)))
target = rng.normal(size=(4, 2))

# Brick upon brick: a Layer is the affine one.
affine1, affine2 = nn.Layer(3, 5, seed=1), nn.Layer(5, 2, seed=2)
out1 = [affine1(row) for row in X]
out2 = each(relu, out1)
out3 = [affine2(row) for row in out2]
out4 = each(sigmoid, out3)
loss = nn.mse(out4, target)
loss.backward()


def matrix(layer):
    """The weights, inputs x outputs, and their gradients; the bias and its gradient."""
    w, b = [neuron.w for neuron in layer.neurons], [[neuron.b for neuron in layer.neurons]]
    return data(w).T, grad(w).T, data(b)[0], grad(b)[0]


def compare(brick, **pairs):
    """Print the largest difference between the engine's gradients and the formulas'."""
    for name, (found, formula) in pairs.items():
        differences.append(np.abs(found - formula).max())
        print(f"{brick:20} {name:4} {found.shape!s:8} differs by {differences[-1]:.1e}")


def compare_affine(brick, layer, x, out):
    w, dw, b, db = matrix(layer)
    compare(
        brick,
        out=(data(out), data(x) @ w + b),
        dX=(grad(x), grad(out) @ w.T),
        dW=(dw, data(x).T @ grad(out)),
        dB=(db, grad(out).sum(axis=0)),
    )


differences = []
compare_affine("affine 3 -> 5", affine1, X, out1)
compare("ReLU", out=(data(out2), np.maximum(data(out1), 0)), dX=(grad(out1), grad(out2) * (data(out1) > 0)))
compare_affine("affine 5 -> 2", affine2, out2, out3)
s = 1 / (1 + np.exp(-data(out3)))
compare("sigmoid", out=(data(out4), s), dX=(grad(out3), grad(out4) * s * (1 - s)))
error = data(out4) - target
compare("mean squared error", out=(np.array([loss.data]), np.mean(error**2)), dX=(grad(out4), 2 * error / error.size))
print(f"largest difference {max(differences):.1e}")
