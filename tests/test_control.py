"""Loops, branches and equations against JAX: numbers, gradients, forward mode and second order, eager and jitted."""

from __future__ import annotations

import functools
import gc
import math
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import jax, jnp, lax, torch

import autograd_lite as al
from autograd_lite import Value, cond, fixed_point, fori_loop, grad, hessian, hvp, jit, jvp, root, scan, while_loop
from autograd_lite.compiler.backends import find_backends
from autograd_lite.compiler.pipeline import Pipeline
from autograd_lite.compiler.trace import Trace

BACKENDS = [backend.name for backend in find_backends("auto")]
WAYS = ["eager", *BACKENDS]


def compiled(f: Any, way: str) -> Any:
    """`f` itself, or `f` jitted for a backend."""
    return f if way == "eager" else jit(f, backend=way)


def floats(tree: Any) -> list[float]:
    """The numbers of a result, of ours or of JAX's, in order."""
    if isinstance(tree, Value):
        return [tree.data]
    if isinstance(tree, dict | list | tuple):
        return [x for leaf in al.trees.tree_leaves(tree) for x in floats(leaf)]
    return [float(tree)] if isinstance(tree, float | int) else [float(x) for x in jnp.ravel(tree)]


def assert_close(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    found, expected = floats(ours), floats(theirs)
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert x == pytest.approx(y, rel=tolerance, abs=tolerance), (found, expected)


# ---- loops


def pendulum(m: Any) -> Any:
    """A step of a damped pendulum by the explicit midpoint rule, on the functions of `m`."""

    def step(state: Any, push: Any, damping: Any) -> Any:
        angle, speed = state
        h = 0.05
        middle, turning = angle + 0.5 * h * speed, speed + 0.5 * h * (push - damping * speed - m.sin(angle))
        new = (angle + h * turning, speed + h * (push - damping * turning - m.sin(middle)))
        return new, new[0] * damping + push * new[1]

    return step


def our_swing(xs: Any) -> Any:
    """The energy at the end of a rollout and a cost along it: of [angle, speed, damping, *pushes]."""
    state, ys = scan(lambda s, u: pendulum(al)(s, u, xs[2]), (xs[0], xs[1]), xs[3:])
    return 0.5 * state[1] * state[1] - al.cos(state[0]) + al.sum([y * y for y in ys])


def their_swing(xs: Any) -> Any:
    state, ys = lax.scan(lambda s, u: pendulum(jnp)(s, u, xs[2]), (xs[0], xs[1]), xs[3:])
    return 0.5 * state[1] * state[1] - jnp.cos(state[0]) + jnp.sum(ys * ys)


START = [0.3, -0.2, 0.4]


@functools.cache
def their_swings(length: int) -> Any:
    """A point and a direction for a rollout of `length` steps; the number, gradient and Hessian there."""
    point = [*START, *[0.1 * k - 0.2 for k in range(length)]]
    direction = [0.5, -0.3, 0.2, *[0.1 + 0.05 * k for k in range(length)]]
    derivatives = jax.jit(lambda x: (their_swing(x), jax.grad(their_swing)(x), jax.hessian(their_swing)(x)))
    return point, direction, *derivatives(jnp.array(point))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [0, 1, 5])
def test_scan_in_every_mode(way: str, length: int) -> None:
    point, direction, value, gradient, second = their_swings(length)
    along = jnp.array(direction)
    assert_close(compiled(our_swing, way)(point), value)
    assert_close(compiled(grad(our_swing), way)(point), gradient)
    forward = compiled(lambda x, t: jvp(our_swing, (x,), (t,)), way)(point, direction)
    assert_close(forward, [value, gradient @ along])
    assert_close(compiled(lambda x, t: hvp(our_swing, (x,), (t,)), way)(point, direction), second @ along)
    reverse_twice = compiled(grad(lambda x: al.dot(grad(our_swing)(x), direction)), way)(point)
    assert_close(reverse_twice, second @ along)
    over_forward = compiled(grad(lambda x: jvp(our_swing, (x,), (direction,))[1]), way)(point)
    assert_close(over_forward, second @ along)
    assert_close(compiled(hessian(our_swing), way)(point), second)


def test_scan_in_reverse_order() -> None:
    def ours(xs: Any) -> Any:
        last, ys = scan(lambda s, x: (al.sin(s) * x + s, s * x), xs[0], xs[1:], reverse=True)
        return [last, *ys]

    def theirs(xs: Any) -> Any:
        last, ys = lax.scan(lambda s, x: (jnp.sin(s) * x + s, s * x), xs[0], xs[1:], reverse=True)
        return jnp.concatenate([last[None], ys])

    point = [0.3, 0.5, -0.7, 1.1]
    value, derivative = theirs(jnp.array(point)), jax.jit(jax.jacobian(theirs))(jnp.array(point))
    for way in WAYS:
        assert_close(compiled(ours, way)(point), value)
        assert_close(compiled(al.jacobian(ours), way)(point), derivative)


@pytest.mark.parametrize("upper", [-1, 2, 3, 9])
def test_fori_loop_counts_from_lower_to_upper(upper: int) -> None:
    def ours(x: Any, y: Any) -> Any:
        a, b = fori_loop(2, upper, lambda i, s: (al.sin(s[0]) * y + i, s[1] * s[0]), (x, 1.0))
        return a * b

    def theirs(x: Any, y: Any) -> Any:
        a, b = lax.fori_loop(2, upper, lambda i, s: (jnp.sin(s[0]) * y + i, s[1] * s[0]), (x, jnp.array(1.0)))
        return a * b

    value, gradient = jax.jit(jax.value_and_grad(theirs, argnums=(0, 1)))(0.4, 0.7)
    for way in WAYS:
        assert_close(compiled(ours, way)(0.4, 0.7), value)
        assert_close(compiled(grad(ours, argnums=(0, 1)), way)(0.4, 0.7), gradient)


def test_a_state_that_is_a_tree() -> None:
    def ours(x: Any) -> Any:
        return fori_loop(0, 4, lambda i, s: {"a": [s["a"][0] * s["b"]], "b": s["b"] + x}, {"a": [x], "b": 1.5})

    def theirs(x: Any) -> Any:
        body = lambda i, s: {"a": [s["a"][0] * s["b"]], "b": s["b"] + x}  # noqa: E731
        return lax.fori_loop(0, 4, body, {"a": [x], "b": 1.5})

    value, derivative = theirs(0.7), jax.jit(jax.jacfwd(theirs))(0.7)
    for way in WAYS:
        result = compiled(ours, way)(0.7)
        assert [*result] == ["a", "b"]
        assert_close(result, value)
        assert_close(compiled(lambda x: jvp(ours, (x,), (1.0,))[1], way)(0.7), derivative)


def test_a_loop_in_a_loop_agrees_with_jax() -> None:
    def ours(xs: Any) -> Any:
        def outer(s: Any, x: Any) -> Any:
            inner, ys = scan(lambda t, _: (al.sin(t * x + xs[0]), t * x), s, length=3)
            return inner, inner * ys[1]

        last, ys = scan(outer, xs[0], xs[1:])
        return last + al.sum(ys)

    def theirs(xs: Any) -> Any:
        def outer(s: Any, x: Any) -> Any:
            inner, ys = lax.scan(lambda t, _: (jnp.sin(t * x + xs[0]), t * x), s, None, length=3)
            return inner, inner * ys[1]

        last, ys = lax.scan(outer, xs[0], xs[1:])
        return last + jnp.sum(ys)

    point = [0.3, 0.5, -0.7, 1.1]
    gradient, second = jax.jit(lambda x: (jax.grad(theirs)(x), jax.hessian(theirs)(x)))(jnp.array(point))
    for way in WAYS:
        assert_close(compiled(grad(ours), way)(point), gradient)
        assert_close(compiled(hessian(ours), way)(point), second)


OPERATIONS = ["{a} + {b}", "{a} * {b}", "m.sin({a})", "m.tanh({a} - {b})", "{a} / (2.0 + {b} * {b})", "-{a}"]
NAMES = ["s[0]", "s[1]", "x", "c", "0.5"]
EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.builds(lambda op, a, b: f"({op.format(a=a, b=b)})", st.sampled_from(OPERATIONS), inner, inner),
    max_leaves=5,
)


@settings(max_examples=25, deadline=None)
@given(st.tuples(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS), st.integers(0, 4), st.sampled_from(WAYS[1:]))
def test_random_bodies_agree_with_jax(texts: tuple[str, str, str], length: int, way: str) -> None:
    body = eval(compile(f"lambda s, x, c, m: (({texts[0]}, {texts[1]}), {texts[2]})", "<body>", "eval"))

    def ours(xs: Any) -> Any:
        state, ys = scan(lambda s, x: body(s, x, xs[2], al), (xs[0], xs[1]), xs[3:])
        return state[0] * state[1] + al.sum([0.0, *ys]) * xs[0]

    def theirs(xs: Any) -> Any:
        state, total = (xs[0], xs[1]), torch.tensor(0.0, dtype=torch.float64)
        for x in xs[3:]:
            state, y = body(state, x, xs[2], TorchFunctions)
            total = total + y
        return state[0] * state[1] + total * xs[0]

    point = [0.3, -0.8, 0.6, *[0.4, -0.5, 0.9, 0.2][:length]]
    along = [0.2, 0.4, -0.3, 0.1, 0.2, 0.5, -0.6][: len(point)]
    at = torch.tensor(point, dtype=torch.float64)
    second = torch.autograd.functional.hvp(theirs, at, torch.tensor(along, dtype=torch.float64), strict=False)[1]
    value, gradient = al.value_and_grad(ours)(point)
    assert value == pytest.approx(float(theirs(at)), rel=1e-11, abs=1e-11)
    assert gradient == pytest.approx(torch.autograd.functional.jacobian(theirs, at).tolist(), rel=1e-11, abs=1e-11)
    assert hvp(ours, (point,), (along,)) == pytest.approx(second.tolist(), rel=1e-11, abs=1e-11)
    assert_close(compiled(al.value_and_grad(ours), way)(point), [value, *gradient], 1e-11)
    assert_close(compiled(lambda x, t: hvp(ours, (x,), (t,)), way)(point, along), second.tolist(), 1e-11)


class TorchFunctions:
    """PyTorch's functions, on numbers too."""

    @staticmethod
    def sin(x: Any) -> Any:
        return torch.sin(torch.as_tensor(x, dtype=torch.float64))

    @staticmethod
    def tanh(x: Any) -> Any:
        return torch.tanh(torch.as_tensor(x, dtype=torch.float64))


def test_a_loop_reaches_values_outside() -> None:
    w = Value(0.7, label="w")

    def ours(x: Any) -> Any:
        return fori_loop(0, 5, lambda i, s: al.sin(s * w) + x, x)

    expected = jax.grad(lambda w: lax.fori_loop(0, 5, lambda i, s: jnp.sin(s * w) + 0.3, 0.3))(0.7)
    for way in WAYS:
        w.grad = 0.0
        compiled(ours, way)(Value(0.3)).backward()
        assert_close(w.grad, expected)


def test_rows_of_a_batch_have_the_eager_numbers() -> None:
    rows = [[0.1 * k, 0.3, 0.2 + 0.01 * k, *[0.05 * k - 0.1 * j for j in range(5)]] for k in range(37)]
    for way in WAYS[1:]:
        assert_close(jit(our_swing, backend=way).map(rows), [our_swing(row) for row in rows])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("every", [1, 3, 4, 9])
def test_checkpoints_change_no_number(every: int, reverse: bool) -> None:
    def f(xs: Any, checkpoint: int | None = None) -> Any:
        step = lambda s, u: pendulum(al)(s, u, xs[2])  # noqa: E731
        state, ys = scan(step, (xs[0], xs[1]), xs[3:], reverse=reverse, checkpoint=checkpoint)
        return state[0] * state[1] + al.dot(ys, xs[3:])

    def checkpointed(xs: Any) -> Any:
        return f(xs, every)

    point = [*START, *[0.1 * k - 0.2 for k in range(8)]]
    value, gradient = al.value_and_grad(f)(point)
    second = hvp(f, (point,), (point,))
    for way in WAYS:
        assert_close(compiled(checkpointed, way)(point), value)
        assert_close(compiled(grad(checkpointed), way)(point), gradient)
        assert_close(compiled(lambda x: hvp(checkpointed, (x,), (x,)), way)(point), second)


def stored(pipeline: Any) -> int:
    """How many numbers the loops of a pipeline store, those inside counted once."""
    if not isinstance(pipeline, Pipeline):
        return 0
    return sum(sum(stage.plan.widths) + stored(stage.plan.body) for stage in pipeline.stages)


def test_checkpoints_bound_the_memory() -> None:
    def program(checkpoint: int | None) -> Any:
        f = jit(grad(lambda x: fori_loop(0, 10_000, lambda i, s: al.sin(s) + x, x, checkpoint=checkpoint)))
        f(0.3)
        return f.program

    assert stored(program(None)) > 10_000
    assert stored(program(100)) < 1_000


def test_the_size_of_a_program_does_not_depend_on_the_steps() -> None:
    def instructions(n: int) -> int:
        f = jit(grad(lambda x: fori_loop(0, n, lambda i, s: al.sin(s) * i + x, x)))
        f(0.3)
        return len(f.program.instructions)

    assert instructions(3) == instructions(3_000)


def test_a_pipeline_is_shown_as_source() -> None:
    f = jit(lambda x: fori_loop(0, 9, lambda i, s: al.sin(s) + x, x), backend="python")
    f(0.3)
    assert "# one of its steps\ndef run(n, rows, captured):" in f.source
    assert "fori_loop: 9 steps" in str(f.program)


def test_the_mean_over_rows_and_its_gradient() -> None:
    """With a loop that every row runs, and one that no row changes."""
    w = Value(0.7, label="w")

    def f(x: Any) -> Any:
        shared, table = scan(lambda s, k: (al.sin(s) * w + k, s), w, [0.1, 0.2, 0.3])
        return fori_loop(0, 3, lambda i, s: al.sin(s * w) + shared, x) * table[1] + al.exp(w)

    rows = [0.1 * k for k in range(11)]
    expected = al.sum([f(x) for x in rows]) / float(len(rows))
    expected.backward()
    gradient = w.grad
    for way in WAYS[1:]:
        w.grad = 0.0
        mean = jit(f, backend=way).mean(rows)
        mean.backward()
        assert_close([mean, w.grad], [expected.data, gradient])


# ---- comparisons

COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge]
EDGES = [0.0, -0.0, 1.0, -1.0, math.nextafter(1.0, 2.0), 5e-324, -5e-324, 1e308, math.inf, -math.inf, math.nan]
NUMBERS = st.sampled_from(EDGES) | st.floats()


def combined(a: Any, b: Any, c: Any) -> Any:
    """Two of three conditions hold, with constant conditions mixed in."""
    return (a & b & True) | (False | (c & (b | a)))


@functools.cache
def compared(way: str) -> Any:
    """All comparisons of two inputs, of an input and a constant on either side, and of a captured Value."""
    w = Value(1.0)
    return compiled(
        lambda x, y: [
            *[c(x, y) for c in COMPARISONS],
            *[c(x, 1.0) for c in COMPARISONS],
            *[c(0, y) for c in COMPARISONS],
            *[c(w, x) for c in COMPARISONS],
            *[al.where(c(x, y), 3.0, -x) for c in COMPARISONS],
            *[combined(c(x, y), x >= 0.0, y < 1.0) for c in COMPARISONS],
        ],
        way,
    )


def expected_comparisons(x: float, y: float) -> list[float]:
    pairs = [(x, y), (x, 1.0), (0.0, y), (1.0, x)]
    alone = [float(c(*pair)) for pair in pairs for c in COMPARISONS] + [3.0 if c(x, y) else -x for c in COMPARISONS]
    return alone + [float((c(x, y) and x >= 0.0) or (y < 1.0 and (x >= 0.0 or c(x, y)))) for c in COMPARISONS]


def bits(x: float) -> str:
    """`x` as text: 0.0 and -0.0 differ, and every nan is the same."""
    return repr(float(x))


@settings(max_examples=200, deadline=None)
@given(NUMBERS, NUMBERS)
def test_comparisons_are_those_of_python(x: float, y: float) -> None:
    for way in WAYS:
        assert [*map(bits, floats(compared(way)(x, y)))] == [*map(bits, expected_comparisons(x, y))], way


@pytest.mark.parametrize("way", [*WAYS[1:], "jax.numpy", "torch"])
def test_rows_of_comparisons_have_the_eager_numbers(way: str) -> None:
    module = way if way in BACKENDS else pytest.importorskip(way)
    edges = [x for x in EDGES if way != "jax.numpy" or abs(x) != 5e-324]  # XLA rounds subnormal numbers to 0
    xs, ys = [x for x in edges for _ in edges], edges * len(edges)
    f = jit(lambda x, y: [c(x, y) for c in COMPARISONS] + [c(x, 1.0) for c in COMPARISONS], backend=module)
    for x, y, row in zip(xs, ys, f.map(xs, ys), strict=True):
        assert [float(z) for z in row] == [float(c(x, b)) for b in (y, 1.0) for c in COMPARISONS], (x, y)


def test_an_eager_comparison_is_a_bool_and_a_jitted_one_a_number() -> None:
    x, y = Value(2.0), Value(3.0)
    assert [c(x, y) for c in COMPARISONS] == [True, True, False, False]
    assert all(type(c(x, y)) is bool for c in COMPARISONS)
    assert jit(lambda x, y: x < y)(2.0, 3.0) == 1.0
    z = jit(lambda x, y: x < y)(x, y)
    z.backward()
    assert (z.data, x.grad, y.grad) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("point", [[0.4, 1.3], [1.3, 0.4], [1.3, 1.3], [-2.0, -2.5]])
def test_where_of_a_comparison_in_every_mode(point: list[float]) -> None:
    def f(m: Any, x: Any, y: Any) -> Any:
        inside = m.where((x < y) & (y <= 2.0), x * m.sin(y), y * y * x)
        return m.where(x >= 0.5, inside * x, inside - y) + (x > y) * m.exp(x)

    def ours(x: Any, y: Any) -> Any:
        return f(al, x, y)

    theirs = jax.jit(lambda z: (f(jnp, *z), jax.grad(lambda z: f(jnp, *z))(z), jax.hessian(lambda z: f(jnp, *z))(z)))
    value, gradient, second = theirs(jnp.array(point))
    for way in WAYS:
        assert_close(compiled(ours, way)(*point), value)
        assert_close(compiled(grad(ours, argnums=(0, 1)), way)(*point), gradient)
        assert_close(compiled(lambda x, y: hessian(lambda z: ours(*z))([x, y]), way)(*point), second)
        forward = compiled(lambda x, y: jvp(ours, (x, y), (0.3, -0.7)), way)(*point)
        assert_close(forward, [value, 0.3 * gradient[0] - 0.7 * gradient[1]])


@pytest.mark.parametrize(
    ("f", "remedy"),
    [
        (lambda x: x if x < 3.0 else -x, "branch"),
        (lambda x: x if x > 0.0 and x < 3.0 else -x, "branch"),
        (lambda x: x if 0.0 < x < 3.0 else -x, "branch"),
        (lambda x: x * (not x < 3.0), "branch"),
        (lambda x: x * max(x, 3.0), "branch"),
        (lambda x: al.sum(sorted([x, 1.0])), "branch"),
        (lambda x: x * any([x < 3.0]), "branch"),
        (lambda x: [x, -x][x < 3.0], "choose by where"),
        (lambda x: x * float(x < 3.0), "leave out float"),
        (lambda x: x if (x > 0) == True else -x, "in place of == and !="),  # noqa: E712
    ],
)
def test_the_truth_of_a_traced_comparison_is_refused(f: Any, remedy: str) -> None:
    remedy = r"in place of a branch use where\(x < 3, y, z\), cond" if remedy == "branch" else remedy
    with pytest.raises(TypeError, match=rf"test_control\.py:\d+: .* numbers: {remedy}"):
        jit(f)(2.0)


def test_a_product_of_comparisons_is_a_condition() -> None:
    for way in WAYS:
        f = compiled(lambda x: al.where((x > 0.0) * (x < 3.0), x, -1.0), way)
        assert [f(x) for x in (-2.0, 2.0, 4.0)] == [-1.0, 2.0, -1.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x & 1,
        lambda x: 1 | x,
        lambda x: (x < 3.0) & x,
        lambda x: x & (x < 3.0),
        lambda x: (x < 3.0) | 2,
        lambda x: (x < 3.0) & al.where(x < 3.0, x, 1.0),
        lambda x: al.where(x > 0 & x < 3, 1.0, 2.0),
    ],
)
def test_and_and_or_of_numbers_are_refused(f: Any) -> None:
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for [&|]"):
        jit(f)(2.0)


def test_many_conditions_combine_from_either_side() -> None:
    n = 1200

    def f(x: Any) -> Any:
        all_of, any_of, left = x > 0.0, x < -float(n), x > 0.0
        for k in range(n):
            all_of, any_of, left = (x > -k) & all_of, (x < k - n) | any_of, left & (x < n + k)
        return [all_of, any_of, left]

    for way in WAYS:
        jitted = compiled(f, way)
        assert [[float(y) for y in jitted(x)] for x in (1.0, -1.5)] == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]


def test_a_traced_value_compares_with_numbers_only() -> None:
    with pytest.raises(TypeError, match="'<' not supported between instances of 'Symbol' and 'str'"):
        jit(lambda x: x < "3")(2.0)


def test_a_comparison_in_a_loop_and_its_reverse_mode() -> None:
    def ours(x: Any, a: Any) -> Any:
        return fori_loop(0, 6, lambda i, s: al.where(s > 2.0, s * 0.5, s * a) + (i >= 3) * al.sin(s), x)

    def theirs(z: Any) -> Any:
        step = lambda i, s: jnp.where(s > 2.0, s * 0.5, s * z[1]) + (i >= 3) * jnp.sin(s)  # noqa: E731
        return lax.fori_loop(0, 6, step, z[0])

    value, gradient = jax.value_and_grad(theirs)(jnp.array([0.7, 1.9]))
    for way in WAYS:
        assert_close(compiled(ours, way)(0.7, 1.9), value)
        assert_close(compiled(grad(ours, argnums=(0, 1)), way)(0.7, 1.9), gradient)


# ---- while_loop


def our_growth(x: Any, a: Any) -> Any:
    step = lambda s: (s[0] * a + 1.0, s[1] + s[0] * s[0])  # noqa: E731
    return while_loop(lambda s: s[0] < 50.0, step, (x, 0.0))


def their_growth(x: Any, a: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 50.0, lambda s: (s[0] * a + 1.0, s[1] + s[0] * s[0]), (x, 0.0))


@pytest.mark.parametrize("x", [1.0, 3.7, 60.0])
def test_while_loop_and_its_forward_mode(x: float) -> None:
    value, slope = jax.jit(lambda x, a: jax.jvp(their_growth, (x, a), (0.3, 0.7)))(x, 1.5)
    for way in WAYS:
        assert_close(compiled(our_growth, way)(x, 1.5), value)
        assert_close(compiled(lambda x, a: jvp(our_growth, (x, a), (0.3, 0.7)), way)(x, 1.5), [*value, *slope])


def test_each_row_has_its_own_number_of_steps() -> None:
    rows = [1.0, 3.7, 60.0, -0.5, 49.9]
    for way in WAYS[1:]:
        found = jit(our_growth, backend=way).map(rows, [1.5] * 5)
        assert_close(found, [our_growth(x, 1.5) for x in rows])


@pytest.mark.parametrize("x", [0.0, 1.0, 7.5, 200.0, math.inf, math.nan])
def test_conditions_that_stop_at_a_limit_or_after_a_number_of_steps(x: float) -> None:
    def ours(x: Any, limit: Any) -> Any:
        return while_loop(lambda s: (s[0] <= limit) & (s[1] < 4), lambda s: (s[0] * 2.0, s[1] + 1), (x, 0.0))

    steps, last = 0, x
    while last <= 60.0 and steps < 4:
        steps, last = steps + 1, last * 2.0
    for way in WAYS:
        assert [*map(bits, floats(compiled(ours, way)(x, 60.0)))] == [bits(last), bits(steps)]
        w = Value(60.0)  # captured
        assert [*map(bits, floats(compiled(lambda x: ours(x, w), way)(x)))] == [bits(last), bits(steps)]  # noqa: B023


def test_a_condition_that_is_a_number_or_never_holds() -> None:
    for way in WAYS:
        f = compiled(lambda x: while_loop(lambda s: al.step(50.0 - s), lambda s: 2.0 * s, x), way)
        assert_close(f(3.0), 96.0)
        assert_close(compiled(lambda x: while_loop(lambda s: False, lambda s: 2.0 * s, x), way)(3.0), 3.0)


def test_a_compiled_while_loop_has_no_reverse_mode() -> None:
    assert grad(lambda x: our_growth(x, 1.5)[0])(3.7) == pytest.approx(1.5**6)
    with pytest.raises(TypeError, match=r"while_loop has no reverse mode where it is compiled.* root or fixed_point"):
        jit(grad(lambda x: our_growth(x, 1.5)[0]))(3.7)


# ---- cond


@pytest.mark.parametrize("condition", [lambda x: x > 0.0, lambda x: 0 < x, al.step])  # noqa: SIM300
@pytest.mark.parametrize("x", [-0.5, 0.0, 0.5])
def test_cond_gives_the_side_that_its_condition_selects(x: float, condition: Any) -> None:
    def ours(x: Any, y: Any) -> Any:
        return cond(condition(x), lambda a, b: (a * b, al.sin(b)), lambda a, b: (a - b, b * b), x, y)[0] * y

    def theirs(x: Any, y: Any) -> Any:
        return lax.cond(x > 0, lambda a, b: (a * b, jnp.sin(b)), lambda a, b: (a - b, b * b), x, y)[0] * y

    def flat(z: Any) -> Any:
        return theirs(z[0], z[1])

    value, gradient, second = jax.jit(lambda z: (flat(z), jax.grad(flat)(z), jax.hessian(flat)(z)))(jnp.array([x, 1.2]))
    for way in WAYS:
        assert_close(compiled(ours, way)(x, 1.2), value)
        assert_close(compiled(grad(ours, argnums=(0, 1)), way)(x, 1.2), gradient)
        assert_close(compiled(lambda x, y: hessian(lambda z: ours(z[0], z[1]))([x, y]), way)(x, 1.2), second)


def test_no_gradient_of_cond_passes_the_side_that_is_not_chosen() -> None:
    """The derivatives of sqrt at 0 are infinite, and do not make the gradient of the other side nan."""

    def f(x: Any) -> Any:
        return cond(x > 0.0, lambda a: al.sqrt(a) + a, lambda a: 3.0 * a * a + a, x)

    for way in WAYS:
        assert compiled(grad(f), way)(0.0) == 1.0
        assert compiled(grad(grad(f)), way)(0.0) == 6.0
        assert compiled(grad(f), way)(0.25) == 2.0
        assert compiled(lambda x: al.jvp(f, (x,), (1.0,))[1], way)(0.0) == 1.0


def test_cond_of_numbers_runs_one_function() -> None:
    ran: list[str] = []
    assert cond(0.0, lambda: ran.append("true"), lambda: ran.append("false")) is None
    assert cond(True, lambda: ran.append("true"), lambda: ran.append("false")) is None
    assert ran == ["false", "true"]


# ---- root and fixed_point


def our_circle(p: Any) -> Any:
    """The point with x > 0 where the circle of radius p[0] meets the parabola y = p[1] x**2."""
    return root(lambda z: [z[0] ** 2 + z[1] ** 2 - p[0] ** 2, z[1] - p[1] * z[0] ** 2], [1.0, 1.0])


def their_circle(p: Any) -> Any:
    """The same in closed form."""
    u = (torch.sqrt(1.0 + 4.0 * p[1] ** 2 * p[0] ** 2) - 1.0) / (2.0 * p[1] ** 2)
    return torch.stack([torch.sqrt(u), p[1] * u])


def test_root_has_derivatives_by_the_implicit_function_theorem() -> None:
    point, along = [1.7, 0.6], [0.3, -0.2]
    orders = [their_circle]
    for _ in range(3):
        orders.append(lambda p, f=orders[-1]: torch.autograd.functional.jacobian(f, p, create_graph=True))
    value, first, second, third = [f(torch.tensor(point, dtype=torch.float64)).tolist() for f in orders]
    assert_close(our_circle(point), value)
    assert_close(al.jacobian(our_circle)(point), first)
    assert_close(jvp(our_circle, (point,), (along,))[1], [row[0] * along[0] + row[1] * along[1] for row in first])
    assert_close(al.jacobian(al.jacobian(our_circle))(point), second, 1e-11)
    assert_close(al.jacobian(al.jacobian(al.jacobian(our_circle)))(point), third, 1e-10)


def test_root_follows_jax_custom_root() -> None:
    def theirs(a: Any) -> Any:
        f = lambda x: x**3 + a * x - jnp.cos(a)  # noqa: E731

        def solve(f: Any, x: Any) -> Any:
            return lax.fori_loop(0, 50, lambda i, x: x - f(x) / jax.jvp(f, (x,), (1.0,))[1], x)

        return lax.custom_root(f, 1.0, solve, lambda g, y: y / g(1.0))

    def ours(a: Any) -> Any:
        return root(lambda x: x**3 + a * x - al.cos(a), 1.0)

    assert_close(ours(0.8), theirs(0.8))
    first, second = jax.jit(lambda a: (jax.grad(theirs)(a), jax.grad(jax.grad(theirs))(a)))(0.8)
    assert_close(grad(ours)(0.8), first)
    assert_close(grad(grad(ours))(0.8), second, 1e-11)


def test_fixed_point_has_the_derivatives_of_its_solution() -> None:
    size = 3

    def ours(a: Any) -> Any:
        step = lambda x: [0.5 * al.sin(a * x[k] + x[k - 1]) + a for k in range(size)]  # noqa: E731
        return al.sum(fixed_point(step, [0.1 * k for k in range(size)]))

    def theirs(a: Any) -> Any:
        step = lambda i, x: 0.5 * jnp.sin(a * x + jnp.roll(x, 1)) + a  # noqa: E731
        return jnp.sum(lax.fori_loop(0, 200, step, 0.1 * jnp.arange(size)))

    slope = jax.jacfwd(theirs)
    value, first, second = jax.jit(lambda a: (theirs(a), slope(a), jax.jacfwd(slope)(a)))(0.4)
    assert_close(ours(0.4), value, 1e-11)
    assert_close(grad(ours)(0.4), first, 1e-11)
    assert_close(jvp(ours, (0.4,), (1.0,))[1], first, 1e-11)
    assert_close(grad(grad(ours))(0.4), second, 1e-10)


def test_a_root_of_plain_numbers_is_a_float_and_knows_parameters() -> None:
    assert type(root(lambda x: x * x - 2.0, 1.0)) is float
    a = Value(2.0)
    solution = root(lambda x: x * x - a, 1.0)
    solution.backward()
    assert_close(a.grad, 0.5 / math.sqrt(2.0))
    by_start = grad(lambda x0: root(lambda x: x * x - 2.0 + 0.0 * x0, x0))(1.0)
    assert by_start == 0.0


@pytest.mark.parametrize("way", WAYS[1:])
def test_equations_compile(way: str) -> None:
    """The same numbers as uncompiled; nan where an equation has no solution."""

    def cosine(a: Any) -> Any:
        return al.sum(fixed_point(lambda x: [al.cos(a * x[1]), 0.5 * x[0]], [1.0, 1.0]))

    def circle(p: Any) -> Any:
        return our_circle(p)[0] * our_circle(p)[1]

    assert_close(compiled(our_circle, way)([1.7, 0.6]), our_circle([1.7, 0.6]))
    assert_close(compiled(grad(circle), way)([1.7, 0.6]), grad(circle)([1.7, 0.6]))
    assert_close(compiled(hessian(circle), way)([1.7, 0.6]), hessian(circle)([1.7, 0.6]), 1e-11)
    assert_close(compiled(cosine, way)(0.4), cosine(0.4))
    assert_close(compiled(grad(cosine), way)(0.4), grad(cosine)(0.4))
    assert_close(compiled(lambda a: jvp(cosine, (a,), (1.0,))[1], way)(0.4), grad(cosine)(0.4))
    halved = lambda a: root(lambda x: al.atan(x) * a, 5.0)  # noqa: E731 - Newton's own steps diverge from here
    assert floats(compiled(halved, way)(2.0)) == pytest.approx([0.0], abs=1e-12)
    assert math.isnan(floats(compiled(lambda a: root(lambda x: x * x + a, 3.0), way)(1.0))[0])
    assert math.isnan(floats(compiled(lambda a: fixed_point(lambda x: a * x + 1.0, 3.0), way)(2.0))[0])
    assert math.isnan(floats(compiled(lambda a: fixed_point(lambda x: a - x, 0.0, max_steps=10), way)(1.0))[0])


def test_newton_pivots_where_the_first_entry_of_the_jacobian_is_0() -> None:
    def f(x: Any) -> Any:  # the first entry of the Jacobian is 0
        return [x[1] - 2.0, x[0] + x[1] - 5.0, x[2] * x[0] - 6.0]

    assert_close(root(f, [1.0, 1.0, 1.0]), [3.0, 2.0, 2.0])


# ---- bad input


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: fori_loop(0, 2, lambda i, s: {"b": s["b"] + 1.0, "a": s["a"]}, x), {"a": 1.0, "b": 4.0}),
        (lambda x: scan(lambda s, _: ({"b": s["b"] + 1.0, "a": s["a"]}, None), x, length=2)[0], {"a": 1.0, "b": 4.0}),
        (
            lambda x: while_loop(lambda s: s["b"] < 4.0, lambda s: {"b": s["b"] + 1.0, "a": s["a"]}, x),
            {"a": 1.0, "b": 4.0},
        ),
        (lambda x: scan(lambda s, y: (s + y["a"], None), x["b"], [x, {"b": 5.0, "a": 7.0}])[0], 10.0),
        (lambda x: fixed_point(lambda s: {"b": 0.5 * s["b"] + 2.0, "a": 0.0 * s["a"] + 1.0}, x), {"a": 1.0, "b": 4.0}),
        (lambda x: cond(x["a"] > 0.0, lambda: {"a": 1.0, "b": 4.0}, lambda: {"b": x["b"], "a": 0.0}), {"a": 1, "b": 4}),
    ],
)
def test_a_dict_may_have_its_keys_in_another_order(call: Any, expected: Any, way: str) -> None:
    found = compiled(call, way)({"a": 1.0, "b": 2.0})
    assert al.trees.tree_map(lambda x: round(float(x), 9), found) == expected


@pytest.mark.parametrize("way", ["eager", BACKENDS[0]])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: scan(lambda s, y: s, x, [1.0]), r"scan of <lambda>: a step returns the pair \(state, y\), got"),
        (
            lambda x: scan(lambda s, y: ((s, s), y), x, [1.0]),
            "structure of the state changes: expected a number, got tu",
        ),
        (lambda x: scan(lambda s, y: ([s[0]], y), [x, x], [1.0]), "structure of the state changes: expected 2 items"),
        (lambda x: scan(lambda s, y: ({"b": s["a"]}, y), {"a": x}, [1.0]), r"expected the keys \['a'\], got \['b'\]"),
        (lambda x: scan(lambda s, y: ("no", y), x, [1.0]), "the state takes real numbers, got str 'no'"),
        (lambda x: scan(lambda s, y: (s, y), x), "takes xs, or length, the number of steps"),
        (lambda x: scan(lambda s, y: (s, y), x, [1.0], length=2), "length=2, and xs has 1 items"),
        (lambda x: scan(lambda s, y: (s, y), x, length=1.5), "length is an int, got 1.5"),
        (lambda x: scan(lambda s, y: (s, y), x, length=-1), "length must be at least 0, got -1"),
        (lambda x: scan(lambda s, y: (s, y), x, {"a": 1.0}), "xs is a list or an array with one item for each step"),
        (lambda x: scan(3.0, x, [1.0]), "scan takes a function, got float"),
        (lambda x: fori_loop(0, 2.5, lambda i, s: s, x), "fori_loop of <lambda>: upper is an int, got 2.5"),
        (lambda x: fori_loop(0, x, lambda i, s: s, x), "for a count that depends on numbers use while_loop"),
        (lambda x: scan(lambda s, y: (s, y), x, [1.0], checkpoint=0), "scan of .*: checkpoint must be at least 1"),
        (lambda x: fori_loop(0, 2, lambda i, s: s, x, checkpoint="2"), "checkpoint must be an int, got '2'"),
        (lambda x: fori_loop(0, 2, lambda i, s: [s], x), "fori_loop of <lambda>: the structure of the state changes"),
        (lambda x: while_loop(lambda s: True, lambda s: [s], x), "while_loop of <lambda>: the structure of the state"),
    ],
)
def test_bad_input_is_named(call: Any, message: str, way: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        compiled(call, way)(Value(1.0))


def test_equations_without_a_solution_say_so() -> None:
    with pytest.raises(ArithmeticError, match=r"root of <lambda> does not converge: the residual is 1 at x = "):
        root(lambda x: x * x + 1.0, 3.0)
    with pytest.raises(ArithmeticError, match=r"fixed_point of <lambda> does not converge.* start from another x0"):
        fixed_point(lambda x: 2.0 * x + 1.0, 1.0)
    with pytest.raises(ArithmeticError, match="has not converged after 10 steps"):
        fixed_point(lambda x: -x, 1.0, max_steps=10)
    with pytest.raises(ValueError, match="root of <lambda>: the result must have the structure of x"):
        root(lambda x: [x[0]], [1.0, 2.0])


def test_reverse_mode_reads_the_sines_of_the_forward_loop() -> None:
    f = jit(grad(lambda x: fori_loop(0, 9, lambda i, s: al.sin(s * x) * s + x, x)), backend="python")
    f(0.3)
    bodies = [stage.plan.body.instructions for stage in f.program.stages]
    names = [{i.op.name for i in body} & {"sin", "cos"} for body in bodies]
    assert names == [{"sin", "cos"}, set()]


def test_residuals_in_every_order_of_derivatives_agree() -> None:
    """Second derivatives of a loop whose reverse loop reads stored results of exp, sin and division."""

    def ours(x: Any) -> Any:
        return fori_loop(0, 4, lambda i, s: al.exp(-s * s) / (1.5 + al.sin(s * x)), x)

    def theirs(x: Any) -> Any:
        return lax.fori_loop(0, 4, lambda i, s: jnp.exp(-s * s) / (1.5 + jnp.sin(s * x)), x)

    third = jax.jit(jax.grad(jax.grad(jax.grad(theirs))))(0.7)
    second = jax.jit(jax.grad(jax.grad(theirs)))(0.7)
    for way in WAYS:
        assert_close(compiled(grad(grad(ours)), way)(0.7), second, 1e-11)
        assert_close(compiled(lambda x: jvp(grad(ours), (x,), (1.0,))[1], way)(0.7), second, 1e-11)
        assert_close(compiled(lambda x: grad(lambda y: jvp(ours, (y,), (1.0,))[1])(x), way)(0.7), second, 1e-11)
        assert_close(compiled(lambda x: jvp(grad(grad(ours)), (x,), (1.0,))[1], way)(0.7), third, 1e-10)


@pytest.mark.parametrize("condition", [None, "no", [1.0], ()])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_condition_that_is_no_condition_is_an_error(condition: Any, compiled: bool) -> None:
    def loop(x: Any) -> Any:
        return while_loop(lambda x: condition, lambda x: 2.0 * x, x)

    def branch(x: Any) -> Any:
        return cond(condition, lambda x: x, lambda x: -x, x)

    for f in (loop, branch):
        with pytest.raises(TypeError, match=r"the condition is a number or a comparison such as x < 3.0, got "):
            (jit(f) if compiled else f)(1.0)


def test_conditions_are_comparisons_bools_numbers_and_values() -> None:
    np = pytest.importorskip("numpy")
    for true in (True, 1, 2.5, Value(1.0), np.bool_(True), np.int64(3)):
        assert cond(true, lambda x: x, lambda x: -x, 2.0) == 2.0
    for false in (False, 0, 0.0, Value(0.0), np.bool_(False)):
        assert cond(false, lambda x: x, lambda x: -x, 2.0) == -2.0


def test_an_iteration_that_grows_without_bound_says_so() -> None:
    with pytest.raises(ArithmeticError, match="the iteration is not finite after 1024 steps"):
        fixed_point(lambda x: 2.0 * x, 1.0)


def test_a_compiled_root_that_is_not_found_is_nan() -> None:
    def f(a: Any) -> Any:
        return root(lambda x: al.where(x < 1.0, x - 2.0, x + 4.0) * a, 1 - 1e-13)

    with pytest.raises(ArithmeticError):
        f(1.0)
    assert math.isnan(jit(f)(1.0))


def test_a_jitted_function_with_a_loop_is_freed() -> None:
    def alive() -> int:
        gc.collect()
        return len([x for x in gc.get_objects() if type(x) is Trace])

    before = alive()
    for _ in range(5):
        f = jit(lambda x: fori_loop(0, 3, lambda i, s: fori_loop(0, 2, lambda j, t: t * al.sin(x), s), x))
        assert f(0.5) != grad(f)(0.5)
    del f
    assert alive() == before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: root(lambda x: [x], 1.0), ValueError, "root of <lambda>: the result must have the structure of x: "),
        (lambda: root(lambda x: "y", 1.0), TypeError, "root of <lambda>: the result takes real numbers, got str 'y'"),
        (lambda: root(lambda x: 3.0, 1.0), ArithmeticError, "at x = 1, and the Jacobian is singular there"),
        (lambda: root(lambda x: [x[0], x[0]], [1.0, 2.0]), ArithmeticError, "and the Jacobian is singular there"),
        (lambda: root(lambda x: x - 1.0, 1.0, tol=-1), ValueError, "tol must be a number of at least 0, got -1"),
        (lambda: root(lambda x: x - 1.0, 1.0, tol="x"), ValueError, "tol must be a number of at least 0, got 'x'"),
        (lambda: fixed_point(al.cos, 1.0, max_steps=2.5), ValueError, "max_steps must be an int .*, got 2.5"),
        (lambda: jit(lambda x: cond(x > 0, lambda t: t, lambda t: None, x))(1.0), TypeError,
         "cond of <lambda>: the result of a function takes real numbers, got NoneType"),
    ],
)  # fmt: skip
def test_a_wrong_argument_or_result_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_tolerance_of_root_may_be_an_argument_of_jit() -> None:
    loose, tight = [jit(lambda x, tol: root(lambda z: z * z - x, 1.0, tol=tol))(2.0, tol) for tol in (0.5, 1e-12)]
    assert tight == pytest.approx(math.sqrt(2.0), rel=1e-15)
    assert 1e-6 < abs(loose - tight) < 0.1
