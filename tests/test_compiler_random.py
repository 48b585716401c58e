"""Random models of layers, reductions and elementwise operations have the eager numbers on every backend: the results
of each row, and the gradients summed over the rows, with the same infinities and NaNs."""

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any, TypeAlias

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

import autograd_lite as ag
from autograd_lite import Value, jit
from autograd_lite.compiler.backends import find_backends
from autograd_lite.graph import topological_order
from autograd_lite.primitives import PRIMITIVES

BACKENDS = [backend.name for backend in find_backends("auto")]
SMOOTH = "exp expm1 log log1p sqrt sin cos tan asin acos atan sinh cosh tanh sigmoid softplus".split()
KINKED = "relu step abs sign".split()
UNARY = [*SMOOTH, *KINKED, "relu", "tanh", "neg", "detach"]
BINARY = "add sub mul div pow maximum minimum share".split()
CONSTANTS = [1.0, -0.0, 0.0, 2.0, -3.0]
HOSTILE = [0.0, -0.0, 1e-200, -1e-200, math.inf, -math.inf, math.nan]

Step: TypeAlias = tuple[Any, ...]
Vector: TypeAlias = list[Any]


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """(kind, what, the number of a step that it reads, ...): each makes a vector of those before.

    Number 0 is the row, 1 is a vector of captured numbers, 2 one of constants.
    """
    found: list[Step] = []
    for n in range(3, 3 + draw(st.integers(1, 8))):
        recent = st.sampled_from([*range(n), *range(max(n - 2, 0), n)])
        kind = draw(
            st.sampled_from(["layer", "layer", "map", "map", "zip", "where", "pick", "reduce", "outer", "softmax"])
        )
        if kind == "layer":
            what: Any = draw(st.sampled_from([1, 2, 3, 8, 9, 16])), draw(st.sampled_from(ORDERS)), draw(st.booleans())
        else:
            what = draw(
                st.sampled_from({"map": UNARY, "zip": BINARY, "pick": ORDERS, "reduce": REDUCTIONS}.get(kind, [""]))
            )
        found.append((kind, what, *[draw(recent) for _ in range(ARITY.get(kind, 1))]))
    return found


ARITY = {"zip": 2, "where": 3, "reduce": 2, "outer": 2}
ORDERS = ["plain", "reversed", "shuffled", "repeated", "strided", "turned"]
REDUCTIONS = ["sum", "sum from", "dot", "dot from"]


def ordered(order: str, xs: Vector, rng: random.Random) -> Vector:
    """A selection of `xs`, in any order and with repetitions."""
    return {
        "plain": xs,
        "reversed": xs[::-1],
        "shuffled": rng.sample(xs, len(xs)),
        "repeated": rng.choices(xs, k=len(xs) + 1),
        "strided": xs[rng.randrange(2) % len(xs) :: 2],
        "turned": [x for k in range(3) for x in xs[k::3]],
    }[order]


class Model:
    """A model that makes its weights at the first call; each call with a row gives some of the numbers of its steps."""

    def __init__(self, steps: list[Step], inputs: int, hostile: int, seed: int) -> None:
        self.steps, self.seed, self.hostile, self.rng = steps, seed, hostile, random.Random(seed)
        self.weights: list[Value] = []
        self([0.5] * inputs)  # the first call makes the weights
        for _ in range(hostile):
            self.rng.choice(self.weights).data = self.rng.choice(HOSTILE)

    def number(self) -> float:
        """A number such that sums of a few of them are exact."""
        return self.rng.randint(-24, 24) / 16

    def __call__(self, x: Vector) -> Vector:
        rng, weights = random.Random(self.seed), self._weights()
        vectors = [x, [next(weights) for _ in range(5)], CONSTANTS]
        for kind, what, *reads in self.steps:
            xs, *others = [vectors[n] for n in reads]
            ys = others[0] if others else []
            if kind == "layer":
                width, order, biased = what
                xs = xs[:20]
                matrix = [next(weights) for _ in range(width * len(xs))]
                matrix = (ordered(order, matrix, rng) * 3)[: width * len(xs)]
                z = [ag.dot(matrix[i * len(xs) : (i + 1) * len(xs)], xs) for i in range(width)]
                z = [a + next(weights) for a in z] if biased else z
            elif kind == "map":
                z = [PRIMITIVES[what](a) for a in xs]
            elif kind == "zip":
                z = [PRIMITIVES[what](a, b) for a, b in pairs(xs, ys)]
            elif kind == "where":
                z = [
                    ag.where(c if isinstance(c, Value) else x[0], a, b)
                    for c, (a, b) in pairs(xs, [*pairs(ys, others[1])])
                ]
            elif kind == "pick":
                z = ordered(what, xs, rng)
            elif kind == "outer":
                z = [a * b for a in xs[:6] for b in ys[:6]]
            elif kind == "softmax":
                z = ag.log_softmax(xs)
            else:
                z = [(ag.sum(xs) if "sum" in what else ag.dot(*zip(*pairs(xs, ys), strict=True)))]
                z = [ys[0] + a for a in z] if "from" in what else z
            vectors.append(z)
        results = [x[rng.randrange(len(x))] for x in vectors]  # from the row, from captured Values, a constant, ...
        return [*results, *vectors[-1], results[0]]

    def _weights(self) -> Iterator[Value]:
        for n in itertools.count():
            if n == len(self.weights):
                self.weights.append(Value(self.number()))
            yield self.weights[n]

    def rows(self, n: int, inputs: int) -> list[list[float]]:
        """`n` rows of numbers, some of them hostile."""
        rows = [[self.number() for _ in range(inputs)] for _ in range(n)]
        for _ in range(self.hostile):
            self.rng.choice(rows)[self.rng.randrange(inputs)] = self.rng.choice(HOSTILE)
        return rows


def pairs(xs: Vector, ys: Vector) -> list[tuple[Any, Any]]:
    """Pairs of the items of two lists, at most 30; the shorter list is repeated."""
    return [(xs[n % len(xs)], ys[n % len(ys)]) for n in range(min(max(len(xs), len(ys)), 30))]


def loss(results: Vector) -> Any:
    """One number that depends on all of `results`."""
    return ag.dot([(n % 5 - 2.5) / 4 for n in range(len(results))], results)


def sizes(node: Value) -> list[float]:
    """Of what `node` is computed from and of what it adds to gradients: sums are as exact as the largest of these."""
    if node.op is None:
        return [node.data, node.grad]
    numbers = [x.data if isinstance(x, Value) else x for x in node.args]
    return [node.data, node.grad, *[node.grad * dx for dx in node.op.partials(node.data, *numbers) if dx is not None]]


def near_a_kink(node: Value, tiny: bool) -> bool:
    """Whether rounding may decide on which side of a kink, a pole or a branch `node` is.

    With `tiny` numbers in the graph, that may hold at the kink itself: 1 - 1 + 1e-200 is 0 or 1e-200.
    """
    if node.op is None or node.op.name in LINEAR:
        return False
    numbers = [x.data if isinstance(x, Value) else x for x in node.args]
    gaps = [numbers[0] - numbers[-1]] if node.op.name in BINARY else numbers[:1]
    distances = [abs(x - edge) for x in gaps for edge in (0.0, 1.0, -1.0)]
    return any(1e-100 < x < 1e-6 or (tiny and x == 0) for x in distances)


LINEAR = {"add", "sub", "mul", "sum", "dot", "neg", "detach"}


def check(found: float, wanted: float, scale: float, what: str) -> None:
    """Equal to 1e-12 of `scale`, or the same infinity, or both NaN."""
    same = found == wanted or (found != found and wanted != wanted)
    assert same or abs(found - wanted) <= 1e-12 * max(abs(wanted), scale), f"{what}: {found!r}, eager {wanted!r}"


def eager(model: Model, rows: list[list[float]]) -> tuple[list[Vector], list[Vector], float, bool]:
    """For each row the results and the gradient of their loss by it; how large numbers get; whether they are exact.

    The gradients by the weights are added up in the weights.
    """
    results, gradients, scale, exact = [], [], 1.0, True
    for row in rows:
        xs = [Value(x) for x in row]
        zs = model(xs)
        y = loss(zs)
        y.backward()
        nodes = topological_order(y)
        scale = max([scale, *[abs(x) for node in nodes for x in sizes(node) if math.isfinite(x)]])
        tiny = any(0 < abs(node.data) < 1e-100 for node in nodes)
        exact = exact and scale < 1e9 and not any(near_a_kink(node, tiny) for node in nodes)
        results.append([z.data if isinstance(z, Value) else z for z in zs])
        gradients.append([x.grad for x in xs])
        if not exact:
            break
    return results, gradients, scale, exact


@settings(max_examples=40, deadline=None)
@given(
    steps(), st.sampled_from([1, 1, 3, 3, 8, 8, 17, 100]), st.integers(1, 6), st.integers(0, 3), st.integers(0, 2**32)
)
@example([("map", "exp", 0), ("where", "", 0, 1, 0), ("map", "log", 4)], 1, 1, 0, 0)
@example(
    [
        ("layer", (2, "repeated", True), 2),
        ("map", "exp", 0),
        ("zip", "add", 0, 0),
        ("layer", (9, "plain", False), 0),
        ("map", "relu", 3),
    ],
    1,
    2,
    1,
    56299,
)
@example(
    [
        ("layer", (1, "plain", False), 0),
        ("map", "exp", 0),
        ("map", "exp", 0),
        ("zip", "add", 0, 0),
        ("zip", "minimum", 0, 3),
        ("layer", (1, "plain", False), 0),
    ],
    1,
    2,
    2,
    1,
)
def test_random_models_have_the_eager_numbers_on_every_backend(
    steps: list[Step], n: int, inputs: int, hostile: int, seed: int
) -> None:
    model = Model(steps, inputs, hostile, seed)
    rows = model.rows(n, inputs)
    results, gradients, scale, exact = eager(model, rows)
    event("compared" if exact else "ill-conditioned")
    if not exact:
        return
    gradient = [w.grad for w in model.weights] + gradients[-1]
    for backend in reversed(BACKENDS):  # the first backend is python
        f = jit(model, backend=backend)
        for i, (zs, numbers) in enumerate(zip(f.map(rows), results, strict=True)):
            for k, (z, wanted) in enumerate(zip(zs, numbers, strict=True)):
                check(z.data if isinstance(z, Value) else z, wanted, scale, f"{backend}: result {k} of row {i}")
        g = jit(lambda x: loss(model(x)), backend=backend)
        for w in model.weights:
            w.grad = 0.0
        g.mean(rows).backward()
        sums = [w.grad * n for w in model.weights]
        xs = [Value(x) for x in rows[-1]]
        loss(f(xs)).backward()
        found = sums + [x.grad for x in xs]
        for k, (dx, wanted) in enumerate(zip(found, gradient, strict=True)):
            if math.isfinite(wanted) or backend != "python":
                check(dx, wanted, scale * n, f"{backend}: derivative {k}")
        # Of what is computed once, the gradient is one: inf, where eager has inf - inf. All backends have the same.
        gradient = [x if math.isfinite(x) else dx for x, dx in zip(gradient, found, strict=True)]
