"""A small character GPT in plain arithmetic on scalars, in the style of microgpt, and a class of scalars of its own.

The engine benchmark runs it with this class and with another in its place.
"""

import math
import random
from itertools import pairwise
from typing import Any


class Scalar:
    """A number with its operands and the slopes by them: the whole of such a script's own engine."""

    __slots__ = ("data", "grad", "operands", "slopes")

    def __init__(self, data: float, operands: tuple[Any, ...] = (), slopes: tuple[float, ...] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.operands = operands
        self.slopes = slopes

    def __add__(self, other: Any) -> "Scalar":
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> "Scalar":
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n: float) -> "Scalar":
        return Scalar(self.data**n, (self,), (n * self.data ** (n - 1),))

    def log(self) -> "Scalar":
        return Scalar(math.log(self.data), (self,), (1.0 / self.data,))

    def exp(self) -> "Scalar":
        z = math.exp(self.data)
        return Scalar(z, (self,), (z,))

    def relu(self) -> "Scalar":
        return Scalar(max(0.0, self.data), (self,), (float(self.data > 0.0),))

    def __neg__(self) -> "Scalar":
        return self * -1.0

    def __radd__(self, other: Any) -> "Scalar":
        return self + other

    def __sub__(self, other: Any) -> "Scalar":
        return self + (-other)

    def __rmul__(self, other: Any) -> "Scalar":
        return self * other

    def __truediv__(self, other: Any) -> "Scalar":
        return self * other**-1.0

    def backward(self) -> None:
        order, seen = [], set()

        def visit(v: Any) -> None:
            if v not in seen:
                seen.add(v)
                for operand in v.operands:
                    visit(operand)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            for operand, slope in zip(v.operands, v.slopes, strict=True):
                operand.grad += slope * v.grad


LETTERS, EMBEDDING, HEADS, CONTEXT = 27, 16, 4, 8
NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia"]


def training_step(Value: Any) -> Any:
    """A function that trains on the next name with Adam, and returns the loss."""
    rng = random.Random(42)

    def matrix(rows: int, columns: int) -> list[list[Any]]:
        return [[Value(rng.gauss(0.0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    E = EMBEDDING
    weights = {name: matrix(E, E) for name in ("query", "key", "value", "out")}
    weights |= {"letters": matrix(LETTERS, E), "places": matrix(CONTEXT, E), "head": matrix(LETTERS, E)}
    weights |= {"up": matrix(4 * E, E), "down": matrix(E, 4 * E)}
    parameters = [p for rows in weights.values() for row in rows for p in row]
    m, v = [0.0] * len(parameters), [0.0] * len(parameters)
    steps = 0

    def linear(x: list[Any], w: list[list[Any]]) -> list[Any]:
        return [sum(wi * xi for wi, xi in zip(row, x, strict=True)) for row in w]

    def softmax(xs: list[Any]) -> list[Any]:
        peak = max(x.data for x in xs)
        exps = [(x - peak).exp() for x in xs]
        total = sum(exps)
        return [e / total for e in exps]

    def normal(x: list[Any]) -> list[Any]:
        scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def logits(letter: int, place: int, keys: list[Any], values: list[Any]) -> list[Any]:
        pairs = zip(weights["letters"][letter], weights["places"][place], strict=True)
        x = normal([a + b for a, b in pairs])
        before, x = x, normal(x)
        query = linear(x, weights["query"])
        keys.append(linear(x, weights["key"]))
        values.append(linear(x, weights["value"]))
        mixed: list[Any] = []
        size = E // HEADS
        for h in range(0, E, size):
            q, k, u = query[h : h + size], [k[h : h + size] for k in keys], [u[h : h + size] for u in values]
            scores = [sum(q[j] * kt[j] for j in range(size)) / size**0.5 for kt in k]
            shares = softmax(scores)
            mixed += [sum(shares[t] * u[t][j] for t in range(len(u))) for j in range(size)]
        x = [a + b for a, b in zip(linear(mixed, weights["out"]), before, strict=True)]
        hidden = [xi.relu() for xi in linear(normal(x), weights["up"])]
        x = [a + b for a, b in zip(linear(hidden, weights["down"]), x, strict=True)]
        return linear(x, weights["head"])

    def step() -> float:
        nonlocal steps
        name = NAMES[steps % len(NAMES)]
        tokens = [26, *[ord(c) - 97 for c in name], 26][: CONTEXT + 1]
        keys: list[Any] = []
        values: list[Any] = []
        losses = []
        for place, (letter, target) in enumerate(pairwise(tokens)):
            losses.append(-softmax(logits(letter, place, keys, values))[target].log())
        loss = sum(losses) * (1.0 / len(losses))
        loss.backward()
        steps += 1
        for i, p in enumerate(parameters):
            m[i] = 0.9 * m[i] + 0.1 * p.grad
            v[i] = 0.95 * v[i] + 0.05 * p.grad**2
            p.data -= 0.01 * (m[i] / (1 - 0.9**steps)) / ((v[i] / (1 - 0.95**steps)) ** 0.5 + 1e-8)
            p.grad = 0.0
        return float(loss.data)

    return step
