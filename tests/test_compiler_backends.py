"""Every backend gives the eager numbers: on the whole table, on random graphs, with the same infinities and NaNs."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import autograd_lite as ag
from autograd_lite import Value, gradients, jit
from autograd_lite.compiler.backends import find_backends
from autograd_lite.primitives import PRIMITIVES, Primitive

BACKENDS = [backend.name for backend in find_backends("auto")]
POINTS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.0,
    3.0,
    1e-200,
    -1e-200,
    1e5,
    -1e5,
    710.0,
    -746.0,
    math.inf,
    -math.inf,
    math.nan,
]
LENGTHS = {"sum": 3, "dot": 4}  # the number of arguments for primitives that take any number
TABLE = [op for op in PRIMITIVES.values() if op.compute.__module__ in ("_operator", "math", "autograd_lite.ieee")]


def same(x: float, y: float, scale: float = 0.0) -> bool:
    """Equal to 1e-12 relative, or the same infinity, or both NaN."""
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return x == y or abs(x - y) <= 1e-12 * max(abs(x), abs(y), scale) < math.inf


def eager_row(f: Callable[..., Any], numbers: tuple[float, ...]) -> list[float]:
    """The number and the gradient, from the eager engine."""
    xs = [Value(x) for x in numbers]
    y = f(*xs)
    y.backward()
    return [y.data, *[x.grad for x in xs]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("result", [9.0, None, (), [2.0, 3.0]])
def test_a_constant_function_without_arguments(backend: str, result: Any) -> None:
    constant = jit(lambda: result, backend=backend)
    assert [constant(), constant()] == [result, result]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_every_primitive_has_the_eager_number_and_gradient(op: Primitive, backend: str) -> None:
    n = op.arity or LENGTHS[op.name]
    if op.name == "pow_const":
        for exponent in (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 2.5):
            f = jit(lambda x, e=exponent: op(x, e), backend=backend)
            check_rows(f, lambda x, e=exponent: op(x, e), [(x,) for x in POINTS])
        return
    points = POINTS if n < 3 else POINTS[::2]
    rows = list(itertools.product(points, repeat=n)) if n < 4 else [tuple(points[i : i + 4]) for i in range(4)]
    check_rows(jit(lambda *xs: op(*xs), backend=backend), op, rows)


def check_rows(compiled: Any, f: Callable[..., Any], rows: list[tuple[float, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    got = compiled.map(*columns)
    for row, y in zip(rows, got, strict=True):
        want = eager_row(f, row)
        assert same(y, want[0]), (row, y, want[0])
        xs = [Value(x) for x in row]
        z = compiled(*xs)
        assert same(z.data, want[0]), (row, z.data, want[0])
        z.backward()
        for i, (x, dx) in enumerate(zip(xs, want[1:], strict=True)):
            assert same(x.grad, dx), f"{row}: derivative {i} is {x.grad}, eager has {dx}"


# --- Primitives of the user's own ----------------------------------------------------------------------------------

OWN = [name for name in BACKENDS if name != "native"]


def scale(by: float, name: str = "scale") -> Primitive:
    return Primitive(name, lambda x: by * x, lambda z, x: (by,))


@pytest.mark.parametrize("backend", OWN)
def test_two_primitives_of_one_name_stay_two(backend: str) -> None:
    twice, thrice, x = scale(2.0), scale(3.0), Value(1.0)
    y = jit(lambda x: twice(x) + 10.0 * thrice(x), backend=backend)(x)
    y.backward()
    assert (y.data, x.grad) == (32.0, 32.0)


@pytest.mark.parametrize("backend", OWN)
@pytest.mark.parametrize("name", "i n run rows captured results range inf x0 c0 s0 v1 t0 exp <lambda> xp b1".split())
def test_a_primitive_of_any_name(name: str, backend: str) -> None:
    op, w = scale(2.0, name), Value(3.0)
    f = jit(lambda x: op(op(x) * op(w)).exp() / 2.0, backend=backend)
    mean = f.mean([0.0, 0.0])
    mean.backward()
    assert (mean.data, w.grad) == (0.5, 0.0)
    assert f(Value(0.0)).data == 0.5
    assert "run(n, rows, captured)" in f.source


# --- Random graphs -----------------------------------------------------------------------------------------------

UNARY = "neg exp log log1p sqrt sin cos tanh sigmoid softplus relu abs atan".split()
BINARY = "add sub mul div maximum minimum".split()
numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0]) | st.floats(-3, 3, allow_nan=False, width=32)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[float], list[float], list[tuple[str, tuple[int, ...]]]]:
    """Captured numbers, input numbers, and steps (operation, indices of earlier results)."""
    captured = draw(st.lists(numbers, min_size=1, max_size=3))
    inputs = draw(st.lists(numbers, min_size=1, max_size=3))
    size = len(captured) + len(inputs)
    steps = []
    for n in range(size, size + draw(st.integers(1, 14))):
        name = draw(st.sampled_from(UNARY + 2 * BINARY + ["sum", "dot", "where", "detach"]))
        arity = 1 if name in (*UNARY, "detach") else 2 if name in BINARY else 3 if name == "where" else 4
        steps.append((name, tuple(draw(st.integers(max(0, n - 5), n - 1)) for _ in range(arity))))
    return captured, inputs, steps


def terms(z: Value) -> list[float]:
    """The terms that `z` adds to the gradients of its arguments. A sum is as exact as its largest term."""
    if z.op is None:
        return [0.0]
    numbers = [x.data if isinstance(x, Value) else x for x in z.args]
    return [z.grad * dx for dx in z.op.partials(z.data, *numbers) if dx is not None] or [0.0]


def cancels(z: Value) -> bool:
    """True if `z` is a sum that is much smaller than its terms: then its digits depend on the order of additions."""
    if z.op is None or z.op.name not in ("add", "sub", "sum"):
        return False
    largest = max(abs(x.data if isinstance(x, Value) else x) for x in z.args)
    return 0 < abs(z.data) < 1e-8 * largest


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=150, deadline=None)
@given(graph=graphs())
def test_random_graphs_have_the_eager_results(
    backend: str, graph: tuple[list[float], list[float], list[tuple[str, tuple[int, ...]]]]
) -> None:
    captured, inputs, steps = graph

    def f(values: list[Value], xs: list[Any]) -> Value:
        results = [*values, *xs]
        for name, args in steps:
            results.append(PRIMITIVES[name](*[results[i] for i in args]))
        return results[-1] + results[-2] if isinstance(results[-1], Value) else Value(0.0)

    values, xs = [Value(x) for x in captured], [Value(x) for x in inputs]
    want = f(values, xs)
    want.backward()
    interior = ag.topological_order(want)
    # Infinities are tested with the table: here the result would depend on the order of the sums.
    assume(all(math.isfinite(z.data) and math.isfinite(z.grad) for z in interior))
    assume(not any(map(cancels, interior)))
    scale = max(max(abs(z.data), abs(z.grad), *map(abs, terms(z))) for z in interior)
    compiled = jit(lambda xs: f(values, xs), backend=backend)
    gradients_wanted = [x.grad for x in (*values, *xs)]
    for x in (*values, *xs):
        x.grad = 0.0
    got = compiled(xs)
    assert same(got.data, want.data, scale)
    got.backward()
    for x, dx in zip((*values, *xs), gradients_wanted, strict=True):
        assert same(x.grad, dx, scale)
    if scale <= 1e3:
        again = gradients(gradients(compiled(xs), values)[0], xs)[0]
        assert same(again.data, gradients(gradients(want, values)[0], xs)[0].data, 1e6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nan_that_where_leaves_out_is_not_in_the_gradient(backend: str) -> None:
    w = Value(2.0)

    def square(known: Any, y: Any) -> Any:
        error = ag.where(known, w - y, 0.0)
        return error * error

    jit(square, backend=backend).mean([1.0, 0.0], [5.0, math.nan]).backward()
    assert w.grad == -3.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_that_are_zeros_of_both_signs(backend: str) -> None:
    w, v = Value(2.0), Value(3.0)
    jit(lambda x: ag.dot([w, v, x], [0.0, -0.0, 1.0]), backend=backend).mean([1.0]).backward()
    assert [w.grad, v.grad] == [0.0, 0.0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [1, 9])
def test_an_infinity_less_an_infinite_product_is_nan(backend: str, rows: int) -> None:
    weights = [Value(1.0), Value(1e200)]
    f = jit(lambda x: ag.dot(weights, x), backend=backend)
    assert all(math.isnan(z.data) for z in f.map([[math.inf, -1e200]] * rows))


# --- Array namespaces --------------------------------------------------------------------------------------------


def network(seed: int) -> tuple[Callable[..., Any], list[Value]]:
    """A small classifier's loss of one row, written without nn, and its parameters."""
    import random

    rng = random.Random(seed)
    layers = [
        [([Value(rng.gauss(0, 1)) for _ in range(n)], Value(rng.gauss(0, 1))) for _ in range(m)]
        for n, m in ((3, 8), (8, 8), (8, 4))
    ]

    def loss(x: Any, target: Any) -> Any:
        for n, layer in enumerate(layers):
            x = [ag.dot(w, x) + b for w, b in layer]
            x = [z.tanh() if n else z.relu() for z in x] if n < 2 else x
        return -ag.dot(ag.log_softmax(x), target)

    return loss, [p for layer in layers for w, b in layer for p in (*w, b)]


ROWS = [[0.3, -1.2, 0.8], [1.5, 0.1, -0.4], [-0.7, 0.9, 2.0], [0.0, 0.0, 1.0], [2.2, -2.0, 0.5]]
TARGETS = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0], [0.5, 0.5, 0, 0]]


def eager_mean(loss: Callable[..., Any], parameters: list[Value]) -> tuple[float, list[float]]:
    mean = ag.mean([loss(x, y) for x, y in zip(ROWS, TARGETS, strict=True)])
    for p in parameters:
        p.grad = 0.0
    mean.backward()
    return mean.data, [p.grad for p in parameters]


@pytest.mark.parametrize("backend", [*BACKENDS, "jax.numpy", "torch"])
def test_a_network_on_every_backend(backend: str) -> None:
    module = backend if backend in BACKENDS else pytest.importorskip(backend)
    loss, parameters = network(0)
    number, gradient = eager_mean(loss, parameters)
    compiled = jit(loss, backend=module)
    mean = compiled.mean(ROWS, TARGETS)
    assert compiled.backend == backend
    assert same(mean.data, number)
    for p in parameters:
        p.grad = 0.0
    mean.backward()
    assert all(same(p.grad, g, 1.0) for p, g in zip(parameters, gradient, strict=True))
    for z, x, y in zip(compiled.map(ROWS, TARGETS), ROWS, TARGETS, strict=True):
        assert same(z.data, loss(x, y).data)


def test_torch_takes_functions_without_inputs_or_captured_values() -> None:
    torch, w = pytest.importorskip("torch"), Value(3.0)
    assert jit(lambda x: x * x, backend=torch)(2.0) == 4.0
    assert jit(lambda x: x * x, backend=torch).mean([1.0, 2.0]) == 2.5
    assert jit(lambda: w * w, backend=torch)().data == 9.0


def test_jax_without_float64_is_refused() -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(TypeError, match=r"jax.numpy computes in float32, and jit in float64: .*jax_enable_x64"):
            jit(lambda x: x * x, backend=jax.numpy)(2.0)
    finally:
        jax.config.update("jax_enable_x64", before)


def test_the_program_runs_under_jax_jit() -> None:
    jax = pytest.importorskip("jax")
    from autograd_lite.compiler.executors.arrays import executor

    loss, parameters = network(1)
    number, gradient = eager_mean(loss, parameters)
    compiled = jit(loss)
    captured = compiled.mean(ROWS, TARGETS).args
    run = executor(compiled.program, jax.numpy)
    rows = jax.numpy.array([[*x, *y] for x, y in zip(ROWS, TARGETS, strict=True)])
    _, sums = jax.jit(lambda rows, numbers: run(5, rows, numbers))(rows, jax.numpy.array([p.data for p in captured]))
    want = dict(zip(parameters, gradient, strict=True))
    assert same(float(sums[0]) / 5, number)
    assert all(same(float(g) / 5, want[p], 1.0) for p, g in zip(captured, sums[1:], strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_arrays_of_a_map_are_contiguous(backend: str) -> None:
    np = pytest.importorskip("numpy")
    X, y = np.arange(12.0).reshape(4, 3), np.arange(4.0)
    found = jit(lambda x, y: {"a": [x[0] * y, x[1] + y], "b": (y * y, 5.0, "text")}, backend=backend).map(X, y)
    assert found["a"].flags.c_contiguous
    assert found["a"].tolist() == np.stack([X[:, 0] * y, X[:, 1] + y], axis=1).tolist()
    assert found["b"][0].flags.c_contiguous
    assert found["b"][0].tolist() == (y * y).tolist()
    assert found["b"][1].tolist() == [5.0] * 4
    assert found["b"][2] == "text"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_of_zero_times_an_infinite_input_is_nan(backend: str) -> None:
    weights = [Value(1.0), Value(-1.0)]

    def f(xs: Any) -> Any:
        z = ag.dot(weights, xs)
        return z - ag.minimum(z, 0.0)  # the cotangent of z is 0

    jit(f, backend=backend).mean([[2.0, math.inf]]).backward()
    assert math.isnan(weights[1].grad)
