"""Derivatives of any order, in both modes and mixed, against PyTorch and JAX; structures, nesting, and bad input."""

import inspect
import itertools
import math
import random
from collections import OrderedDict, defaultdict, namedtuple
from functools import reduce
from typing import Any

import pytest
from examples import rosenbrock
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_lite as al
from autograd_lite import Value, grad, gradients, hessian, hvp, jacobian, jvp, topological_order, value_and_grad, vjp
from autograd_lite import primitives as p
from autograd_lite.recording import recording_with
from autograd_lite.value import Recorder, flows, node_of

Pair = namedtuple("Pair", "a b")


def forward(f: Any) -> Any:
    """df/dx of a function of one number, in forward mode."""
    return lambda x: jvp(f, (x,), (1.0,))[1]


def third_derivatives(f: Any, x: float) -> list[float]:
    """f'''(x) in every mix of reverse and forward mode."""
    return [reduce(lambda g, mode: mode(g), modes, f)(x) for modes in itertools.product([grad, forward], repeat=3)]


# ---- orders and modes

SMOOTH = "exp log log1p expm1 sqrt sin cos tan asin acos atan sinh cosh tanh sigmoid softplus".split()
SMOOTH += "exp2 log2 log10 cbrt asinh atanh erf".split()
# Along a curve through the point, so that a wrong mixed derivative changes the result.
CURVES = {
    "add": lambda op, t: op(0.3 + 0.5 * t, 0.8 * t * t),
    "sub": lambda op, t: op(0.3 + 0.5 * t, 0.8 * t * t),
    "neg": lambda op, t: op(t * t * t),
    "mul": lambda op, t: op(0.3 + 0.5 * t * t, 2.0 - t),
    "div": lambda op, t: op(0.3 + 0.5 * t * t, 2.0 - t),
    "pow": lambda op, t: op(0.3 + 0.5 * t * t, 2.0 - t),
    "pow_const": lambda op, t: op(0.3 + 0.5 * t * t, -1.7),
    "hypot": lambda op, t: op(0.3 + 0.5 * t * t, 2.0 - t),
    "atan2": lambda op, t: op(0.3 + 0.5 * t * t, 2.0 - t),
    "mod": lambda op, t: op(5.0 + t * t * t, 2.0 - t),
    "acosh": lambda op, t: op(1.2 + t * t),
    "sum": lambda op, t: op(t, t * t, t * t * t, 2.0),
    "dot": lambda op, t: op(t, t * t, 3.0, t * t, 2.0, t),
    "relu": lambda op, t: op(t * t * t) * op(-t) + op(t * t),
    "abs": lambda op, t: op(-t * t * t),
    "maximum": lambda op, t: op(t * t * t, -t),
    "minimum": lambda op, t: op(t * t * t, -t),
    "where": lambda op, t: op(t, t * t * t, t),
}


@pytest.mark.parametrize("name", SMOOTH + list(CURVES))
def test_third_derivatives_in_every_mix_of_modes_agree_with_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    others = {
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "cbrt": lambda x: x ** (1 / 3),
        "mod": torch.remainder,
        "pow_const": torch.pow,
        "sum": lambda *xs: sum(xs),
        "dot": lambda *xy: sum(x * y for x, y in zip(xy[: len(xy) // 2], xy[len(xy) // 2 :], strict=True)),
        "where": lambda c, x, y: torch.where(c != 0, x, y),
    }
    curve = CURVES.get(name, lambda op, t: op(t))
    for x in (0.3, 0.7):
        t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        y = curve(others.get(name) or getattr(torch, name), t)
        for _ in range(3):
            (y,) = torch.autograd.grad(y + 0 * t**4, t, create_graph=True)
        found = third_derivatives(lambda t: curve(p.PRIMITIVES[name], t), x)
        assert found == pytest.approx([y.item()] * 8, rel=1e-10, abs=1e-12)


def test_every_primitive_that_has_a_third_derivative_is_tested() -> None:
    flat = {"step", "sign", "share", "detach", "floor", "ceil", "round", "floordiv"}
    modules = ("autograd_lite.ieee", "_operator", "math")
    assert {op.name for op in p.PRIMITIVES.values() if op.compute.__module__ in modules} == {*SMOOTH, *CURVES, *flat}


def test_tenth_derivative() -> None:
    tenth = reduce(lambda f, _: grad(f), range(10), lambda x: x**12)
    assert tenth(1.5) == pytest.approx(math.factorial(12) / 2 * 1.5**2, rel=1e-12)


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax")


def test_hessian_of_rosenbrock_agrees_with_jax(jax: Any) -> None:
    x = [0.5 + 0.1 * math.sin(i) for i in range(10)]
    expected = jax.hessian(rosenbrock)(jax.numpy.array(x)).tolist()
    for row, other in zip(hessian(rosenbrock)(x), expected, strict=True):
        assert row == pytest.approx(other, rel=1e-10)


def test_hessian_of_logsumexp_agrees_with_jax(jax: Any) -> None:
    for x in ([0.1, -2.0, 3.0], [900.0, 901.0, -1000.0], [5.0, 5.0, 5.0]):
        expected = jax.hessian(jax.scipy.special.logsumexp)(jax.numpy.array(x)).tolist()
        for row, other in zip(hessian(al.logsumexp)(x), expected, strict=True):
            assert row == pytest.approx(other, rel=1e-10, abs=1e-15)


def test_hessian_of_an_mlp_loss_agrees_with_jax(jax: Any) -> None:
    rng = random.Random(0)
    numbers = [rng.gauss(0, 1) for _ in range(33)]
    rows = [(rng.gauss(0, 1), rng.gauss(0, 1), rng.choice([-1.0, 1.0])) for _ in range(4)]

    def loss(w: list[Any]) -> Any:
        total = 0.0
        for a, b, y in rows:
            hidden = [al.tanh(w[i] * a + w[8 + i] * b + w[16 + i]) for i in range(8)]
            total += (al.dot(w[24:32], hidden) + w[32] - y) ** 2
        return total / len(rows)

    def jax_loss(w: Any) -> Any:
        jnp = jax.numpy
        a, b, y = jnp.array(rows).T
        hidden = jnp.tanh(jnp.outer(a, w[:8]) + jnp.outer(b, w[8:16]) + w[16:24])
        return jnp.mean((hidden @ w[24:32] + w[32] - y) ** 2)

    expected = jax.hessian(jax_loss)(jax.numpy.array(numbers)).tolist()
    for row, other in zip(hessian(loss)(numbers), expected, strict=True):
        assert row == pytest.approx(other, rel=1e-10, abs=1e-12)


def test_hvp_is_the_hessian_times_the_vector() -> None:
    x, v = [0.3, -0.4, 0.9], [1.0, 2.0, -0.5]
    rows = hessian(rosenbrock)(x)
    product = hvp(rosenbrock, (x,), (v,))
    assert product == pytest.approx([sum(h * w for h, w in zip(row, v, strict=True)) for row in rows], rel=1e-12)


def test_hvp_of_several_primals_is_a_tuple() -> None:
    assert hvp(lambda x, y: x * x * y, (3.0, 5.0), (1.0, 2.0)) == (10.0 + 12.0, 6.0)


OPERATIONS = [al.sin, al.exp, al.tanh, al.relu, al.abs, lambda x: x * x, lambda x: 1.5 - x, lambda x: x / 2]
JOINS = [lambda x, y: x * y, lambda x, y: x + y, al.maximum, al.minimum, lambda x, y: al.dot([x, 2.0], [y, y])]
STEPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)


@given(STEPS, st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=3))
@settings(max_examples=100, deadline=None)
def test_backward_and_both_sweeps_agree_on_random_graphs(steps: list[tuple[int, int, int]], point: list[float]) -> None:
    def f(xs: list[Any]) -> Any:
        nodes = list(xs)
        for k, i, j in steps:
            x, y = nodes[i % len(nodes)], nodes[j % len(nodes)]
            nodes.append(al.tanh(OPERATIONS[k](x) if k < len(OPERATIONS) else JOINS[k - len(OPERATIONS)](x, y)))
        return nodes[-1]

    leaves = [Value(x) for x in point]
    y = f(leaves)
    y.backward()
    # The three add the same terms in other orders, so that their sums differ by the rounding of the largest terms.
    terms = {**dict.fromkeys([*leaves, *topological_order(y)], 0.0), y: 1.0}  # the sums of their absolute values
    for node in reversed(topological_order(y)):
        for x, dx in flows(node):
            terms[x] += terms[node] * abs(dx)
    units = [[float(i == j) for j in range(len(point))] for i in range(len(point))]
    for sweep in ([g.data for g in gradients(y, leaves)], [jvp(f, (point,), (unit,))[1] for unit in units]):
        for leaf, g in zip(leaves, sweep, strict=True):
            assert abs(g - leaf.grad) <= 1e-12 * terms[leaf]


# ---- gradients of a recorded graph


def test_gradients_by_interior_nodes_and_by_leaves() -> None:
    a, b = Value(2.0), Value(3.0)
    c = a * b
    y = c * c + a
    assert [g.data for g in gradients(y, [c, a, b, y])] == [12.0, 37.0, 24.0, 1.0]


def test_gradients_are_graphs() -> None:
    x = Value(2.0)
    (dy,) = gradients(x**3, [x])
    dy.backward()
    assert (dy.data, x.grad) == (12.0, 12.0)


@pytest.mark.parametrize("shape", ["diamond", "square", "fan-out", "unused"])
def test_gradients_of_graphs_with_shared_and_unused_nodes(shape: str) -> None:
    x, unused = Value(3.0), Value(1.0)
    y = {
        "diamond": lambda: (x * 2) * (x + 1),
        "square": lambda: x * x,
        "fan-out": lambda: al.sum([x] * 100) + al.dot([x, x], [x, x]),
        "unused": lambda: x * 1.0,
    }[shape]()
    dx, du = gradients(y, [x, unused])
    y.backward()
    assert (dx.data, du.data, unused.grad) == (x.grad, 0.0, 0.0)


def test_gradients_of_a_deep_chain() -> None:
    x = y = Value(1.0)
    for _ in range(100_000):
        y = y * 1.0 + 0.0
    assert gradients(y, [x])[0].data == 1.0


def test_gradients_adds_no_node_for_a_factor_of_one() -> None:
    x, y = Value(2.0), Value(3.0)
    dx, dy = gradients(x * y + 1.0, [x, y])
    assert dx is y
    assert dy is x


def test_no_gradient_passes_a_blocked_selection_in_any_mode() -> None:
    def safe(x: Any) -> Any:
        return al.where(0.0, al.sqrt(x), x) + al.relu(-al.sqrt(x)) + al.maximum(al.sqrt(x), 1.0)

    x = Value(0.0)
    y = safe(x)
    y.backward()
    assert x.grad != x.grad  # sqrt's own gradient is 0, and 0 times its partial inf is nan, as in PyTorch
    masked = al.where(x, al.exp(Value(1000.0)), x)
    assert [g.data for g in gradients(masked * 1e300, [x])] == [1e300]
    assert jvp(lambda x: al.where(0.0, x * math.inf, x), (0.5,), (math.inf,))[1] == math.inf
    assert grad(lambda x: al.where(al.step(x), x * 2, x * 3))(-1.0) == 3.0


class Symbol(Value):
    """A Value without a number, as a trace has them."""

    def __new__(cls, op: Any = None, args: tuple[Any, ...] = ()) -> "Symbol":
        return node_of(op, args, None, cls)

    def __init__(self, *_: Any) -> None:
        pass

    @property
    def data(self) -> float:  # type: ignore[override]
        raise AssertionError("a symbol was asked for its number")

    def number(self, numbers: dict[Any, float]) -> float:
        args = [x.number(numbers) if isinstance(x, Symbol) else numbers.get(x, x) for x in self.args]
        return numbers[self] if self.op is None else self.op.compute(*args)


class Tracer(Recorder):
    """A recorder that gives one Symbol for equal operations, and x itself for the sum of x alone."""

    symbolic = inlines = True

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Any, Symbol] = {}

    def record(self, op: Any, args: tuple[Any, ...]) -> Any:
        if op is p.sum_ and len(args) == 1:
            return args[0]
        return self.known.setdefault((op, args), Symbol(op, args))

    def fresh(self, x: Any) -> Symbol:
        return Symbol(p.sum_, (x,))


def test_gradients_and_nested_grads_never_ask_a_traced_symbol_for_its_number() -> None:
    s, w = Symbol(), Symbol()
    with recording_with(Tracer()):
        y = al.tanh(s * w + al.relu(s)) ** 2
        (dy,) = gradients(y, [s])
        nested = grad(lambda x: x * grad(lambda z: x * z * z)(x) * w)(s)
        constant = grad(lambda x: x * x * w)(3.0)
    expected = grad(lambda s: al.tanh(s * 0.5 + al.relu(s)) ** 2)(0.7)
    numbers = {s: 0.7, w: 0.5}
    assert dy.number(numbers) == pytest.approx(expected, rel=1e-14)
    assert nested.number(numbers) == pytest.approx(6 * 0.7**2 * 0.5, rel=1e-14)
    assert constant.number(numbers) == 3.0


# ---- structures


def test_structures_of_arguments_and_results() -> None:
    def f(a: dict[str, Any], b: Any, scale: float = 1.0) -> Any:
        return scale * (a["w"][0] * a["w"][1] + a["b"] ** 2 * b.a + b.b)

    a, b = {"w": [2, 3.0], "b": 4.0}, Pair(5.0, 6.0)
    assert grad(f)(a, b) == {"w": [3.0, 2.0], "b": 40.0}
    assert grad(f, 1)(a, b) == grad(f, -1)(a, b) == Pair(16.0, 1.0)
    assert isinstance(grad(f, 1)(a, b), Pair)
    assert grad(f, (1, 0))(a, b, scale=2.0) == (Pair(32.0, 2.0), {"w": [6.0, 4.0], "b": 80.0})
    assert value_and_grad(f, argnums=[1])(a, b) == (92.0, (Pair(16.0, 1.0),))
    assert hessian(f)(a, b)["b"] == {"w": [0.0, 0.0], "b": 10.0}
    assert hessian(f, (0, 1))(a, b)[0]["b"][1] == Pair(8.0, 0.0)


def test_subclasses_of_dict_and_list_keep_their_class() -> None:
    given = OrderedDict(x=1.0, y=defaultdict(float, z=2.0))
    found = grad(lambda t: t["x"] * t["y"]["z"] + t["y"]["unknown"])(given)
    assert found == {"x": 2.0, "y": {"z": 1.0}}
    assert type(found) is OrderedDict
    assert type(found["y"]) is defaultdict


def test_jacobian_has_the_result_s_structure_with_the_argument_s_at_its_leaves() -> None:
    found = jacobian(lambda x: {"product": x[0] * x[1], "rest": (x[0], 7)})([2.0, 3.0])
    assert found == {"product": [3.0, 2.0], "rest": ([1.0, 0.0], [0.0, 0.0])}


def test_jvp_and_vjp_have_jax_s_meanings(jax: Any) -> None:
    def f(jnp: Any) -> Any:
        return lambda x, y: {"a": jnp.sin(x["u"]) * y, "b": [y * y, x["u"]]}

    primals, tangents = ({"u": 0.3}, 1.7), ({"u": 2.0}, -1.0)
    cotangents = {"a": 1.5, "b": [2.0, 0.5]}
    (y, pullback), (z, other) = vjp(f(al), *primals), jax.vjp(f(jax.numpy), *primals)
    for ours, theirs in [
        (jvp(f(al), primals, tangents), jax.jvp(f(jax.numpy), primals, tangents)),
        (y, z),
        (pullback(cotangents), other(cotangents)),
    ]:
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        numbers = [float(x) for x in jax.tree.leaves(theirs)]
        assert jax.tree.leaves(ours) == pytest.approx(numbers, rel=1e-14)


def test_a_function_may_change_its_argument_list() -> None:
    def consume(xs: list[Any]) -> Any:
        return xs.pop() * xs.pop() * len(xs)

    xs = [2.0, 3.0, 4.0]
    assert grad(consume)(xs) == [0.0, 4.0, 3.0]
    assert jvp(consume, (xs,), (xs,))[1] == 24.0
    assert vjp(consume, xs)[1](1.0) == ([0.0, 4.0, 3.0],)
    assert xs == [2.0, 3.0, 4.0]


# ---- nesting: no perturbation confusion

NESTED = {
    "the inner result is constant": (lambda d: d(lambda x: x * d(lambda y: x + y)(1.0)), 1.0),
    "the inner argument is the outer": (lambda d: d(lambda x: d(lambda y: x * y)(x)), 1.0),
    "the inner is not linear": (lambda d: d(lambda x: d(lambda y: x * y * y)(x)), 8.0),
    "three deep": (lambda d: d(lambda x: d(lambda y: d(lambda z: x * y * y * z * z)(x))(x)), 48.0),
    "the inner ignores its argument": (lambda d: d(lambda x: x * d(lambda _: x * x)(x)), 0.0),
    "the inner at another number": (lambda d: d(lambda x: d(lambda y: x * y * y)(1.0)), 2.0),
    "the inner at both": (lambda d: d(lambda x: d(lambda y: x * y * y)(d(lambda z: z * z * x)(1.0))), 16.0),
    "the inner of a constant function": (lambda d: d(lambda x: x + d(lambda _: 5)(x)), 1.0),
}


@pytest.mark.parametrize("mode", [grad, forward, jacobian], ids=["grad", "jvp", "jacobian"])
@pytest.mark.parametrize("case", NESTED)
def test_nested_derivatives_do_not_confuse_their_perturbations(case: str, mode: Any) -> None:
    build, expected = NESTED[case]
    assert build(mode)(2.0) == expected


def test_an_inner_derivative_by_a_number_beside_a_value() -> None:
    def outer(x: Any) -> Any:
        da, db = grad(lambda a, b: a * a * b, (0, 1))(x, 3.0)
        return da * db

    assert grad(outer)(2.0) == 6 * 3 * 4.0


def test_the_same_value_as_two_arguments() -> None:
    x = Value(3.0)
    assert [g.data for g in grad(lambda a, b: a * a * b, (0, 1))(x, x)] == [18.0, 9.0]


def test_modes_inside_one_another() -> None:
    def f(x: Any) -> Any:
        return al.exp(x) * al.sin(x)

    reverse_of_forward = grad(lambda x: jvp(f, (x,), (1.0,))[1])(0.5)
    forward_of_reverse = jvp(grad(f), (0.5,), (1.0,))[1]
    of_pullback = grad(lambda x: vjp(f, x)[1](1.0)[0])(0.5)
    expected = 2 * math.exp(0.5) * math.cos(0.5)
    assert [reverse_of_forward, forward_of_reverse, of_pullback] == pytest.approx([expected] * 3, rel=1e-14)


def test_results_can_be_differentiated_by_tangents_and_cotangents() -> None:
    assert grad(lambda t: jvp(lambda x: x**3, (2.0,), (t,))[1])(5.0) == 12.0
    assert grad(lambda t: vjp(lambda x: x**3, 2.0)[1](t)[0] ** 2)(5.0) == 2 * 60.0 * 12.0


# ---- numbers in, numbers out


def test_plain_numbers_give_plain_numbers() -> None:
    x = 1.0
    for _ in range(3):
        x -= 0.1 * grad(lambda x: al.logsumexp([x, 2 * x]))(x)
    assert type(x) is float
    everything = [
        *value_and_grad(al.exp)(1),
        *jvp(al.exp, (1,), (2,)),
        vjp(al.exp, 1)[0],
        *vjp(al.exp, 1)[1](True),
        hessian(al.exp)(1.0),
        hvp(al.exp, [1.0], [1.0]),
        *jacobian(lambda x: [x, 3])(2.0),
    ]
    assert {type(y) for y in everything} == {float}


def test_values_give_values() -> None:
    x = Value(2.0)
    dy = grad(lambda x: x**3)(x)
    dy.backward()
    assert (dy.data, x.grad) == (12.0, 12.0)
    y, zero = value_and_grad(lambda _: 5.0)(x)
    assert (type(y), y.data, type(zero), zero.data) == (Value, 5.0, Value, 0.0)


def test_a_result_that_depends_on_an_outer_value_is_a_value() -> None:
    w = Value(3.0)
    slope = grad(lambda x: w * x * x)(2.0)
    slope.backward()
    assert (slope.data, w.grad) == (12.0, 4.0)
    assert type(grad(lambda x: x * x + w)(2.0)) is float


def test_detached_results_of_numbers_are_numbers() -> None:
    def without(x: Value) -> Value:
        with al.no_grad():
            c = x * x
        return c * x

    compiled = al.jit(lambda x: x * x)

    def mapped(x: Value) -> Value:
        with al.no_grad():
            (c,) = compiled.map([3.0])
        return c * x

    results = [
        grad(lambda x: x * x.detach())(3.0),
        grad(al.no_grad(lambda x: x * x))(3.0),
        grad(without)(3.0),
        grad(mapped)(3.0),
        grad(lambda x: grad(lambda z: z * z * x.detach())(x))(3.0),
        grad(lambda x: x * grad(lambda z: z * z.detach())(2.0))(3.0),
        al.detect_anomaly(grad(lambda x: x * x.detach()))(3.0),
        *jvp(lambda x: x * al.softmax([x, 0.0])[0].detach(), (0.0,), (2.0,)),
    ]
    assert results == [3.0, 0.0, 9.0, 9.0, 6.0, 2.0, 3.0, 0.0, 1.0]
    assert {type(y) for y in results} == {float}
    assert type(grad(lambda x: x * x.detach() * Value(2.0))(3.0)) is Value


def test_a_result_that_does_not_depend_on_the_argument_has_gradient_zero() -> None:
    assert grad(lambda x, y: y * y, 0)(1.0, 2.0) == 0.0
    assert grad(lambda _: 7)(1.0) == 0.0
    assert jvp(lambda _: [7], (1.0,), (1.0,)) == ([7.0], [0.0])
    assert vjp(lambda _: 7, [1.0, 2.0])[1](1.0) == ([0.0, 0.0],)


def test_grad_of_a_primitive_has_a_name() -> None:
    assert grad(al.sin).__name__ == "grad(sin)"
    assert hessian(rosenbrock).__name__ == "hessian(rosenbrock)"
    assert inspect.signature(hessian(rosenbrock)) == inspect.signature(rosenbrock)


def test_argnums_are_ints_of_any_type() -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    f = lambda x, y, z: x * y * z  # noqa: E731
    assert grad(f, Two())(2.0, 3.0, 5.0) == 6.0
    assert grad(f, [0, Two()])(2.0, 3.0, 5.0) == (15.0, 6.0)
    assert hessian(f, (i for i in range(2)))(2.0, 3.0, 5.0) == ((0.0, 5.0), (5.0, 0.0))


# ---- bad input


def square(x: Any) -> Any:
    return x * x


BAD = {
    "a list where a number is needed": (
        lambda: grad(lambda x: [x, x])(1.0),
        TypeError,
        "grad of <lambda> needs a function that returns one number, got list: see jacobian",
    ),
    "nothing returned": (lambda: grad(lambda x: None)(1.0), TypeError, "the result under grad of <lambda>.*NoneType"),
    "an argument that is no number": (
        lambda: grad(square)("a"),
        TypeError,
        r"grad of square: args\[0\] takes real numbers, got str",
    ),
    "inside a structure": (
        lambda: grad(square)([1.0, None]),
        TypeError,
        r"square: args\[0\]\[1\] takes real numbers, got",
    ),
    "deep inside the second argument": (
        lambda: grad(lambda a, b: a, (0, 1))(1.0, {"w": [1.0, "x"]}),
        TypeError,
        r"grad of <lambda>: args\[1\]\['w'\]\[1\] takes real numbers, got str 'x'",
    ),
    "inside a result": (
        lambda: jacobian(lambda a: [a, {"q": None}])(1.0),
        TypeError,
        r"result under jacobian of <lambda>\[1\]\['q'\] takes real numbers, got None",
    ),
    "an array of something else": (
        lambda: grad(square)(pytest.importorskip("numpy").array([[1j]])),
        TypeError,
        r"grad of square: args\[0\]\[0\]\[0\] takes real numbers, got complex 1j",
    ),
    "argnums too large": (lambda: grad(square, 1)(1.0), ValueError, "argnums 1 is out of range, the call has 1 pos"),
    "argnums too small": (lambda: jacobian(square, -2)(1.0), ValueError, "jacobian of square: argnums -2 is out of"),
    "argnums twice": (lambda: grad(pow, (0, -2))(1.0, 2.0), ValueError, "argnums .* picks an argument twice"),
    "no arguments": (lambda: value_and_grad(square)(), ValueError, "argnums 0 is out of range, the call has 0"),
    "argnums that are not ints": (lambda: grad(square, "a"), TypeError, "grad of square: argnums takes an int .*'a'"),
    "argnums of a fraction": (lambda: jacobian(square, 1.5), TypeError, "jacobian of square: argnums .* got 1.5"),
    "argnums None": (lambda: hessian(square, None), TypeError, "hessian of square: argnums takes an int .* got None"),
    "argnums with a fraction": (lambda: value_and_grad(square, (0, 1.0)), TypeError, r"argnums .* got \(0, 1.0\)"),
    "grad of no function": (lambda: grad(5), TypeError, "grad takes a function, got int"),
    "hessian of no function": (lambda: hessian(5), TypeError, "hessian takes a function, got int"),
    "jvp of no function": (lambda: jvp(3, (1.0,), (1.0,)), TypeError, "jvp takes a function, got int"),
    "vjp of no function": (lambda: vjp(3, 1.0), TypeError, "vjp takes a function, got int"),
    "hvp of no function": (lambda: hvp(None, (1.0,), (1.0,)), TypeError, "hvp takes a function, got NoneType"),
    "gradients by None": (lambda: gradients(Value(1.0), None), TypeError, "takes a list of Values .* got NoneType"),
    "primals not in a tuple": (lambda: jvp(square, 1.0, (1.0,)), TypeError, "primals must be a tuple, .* got float"),
    "hvp of no tuple": (lambda: hvp(square, 1.0, 1.0), TypeError, "hvp of square: primals must be a tuple"),
    "too few tangents": (lambda: jvp(pow, (1.0, 2.0), (1.0,)), ValueError, "jvp of pow: tangents: expected 2 items"),
    "a list for a number": (lambda: jvp(square, (1.0,), ([1.0],)), ValueError, "tangents: expected a number, got list"),
    "a number for a list": (lambda: jvp(square, ([1.0],), (1.0,)), ValueError, r"expected a list like \[1.0\], got f"),
    "other keys": (lambda: jvp(square, ({"a": 1.0},), ({"b": 1.0},)), ValueError, r"expected the keys \['a'\], got"),
    "other cotangents": (lambda: vjp(square, 1.0)[1]([1.0]), ValueError, "square: cotangents: expected a number, got"),
    "gradients of a list": (lambda: gradients([Value(1.0)], []), TypeError, "gradients takes one Value.* got list"),
    "gradients by a Value": (lambda: gradients(Value(1.0), Value(1.0)), TypeError, r"write gradients\(y, \[x\]\)"),
    "gradients by a float": (lambda: gradients(Value(1.0), [1.0]), TypeError, "differentiates by Values, got float"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_in_one_line(case: str) -> None:
    run, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as error:
        run()
    assert "\n" not in str(error.value)


# ---- NumPy arrays


def total(x: Any, weights: Any) -> Any:
    return al.sum([a * al.sin(b) for row in weights for a, b in zip(row, x, strict=True)])


def test_arrays_give_arrays() -> None:
    np = pytest.importorskip("numpy")
    x, w = np.array([0.5, -1.0]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    lists = x.tolist(), w.tolist()
    for f in (total, al.jit(total)):
        g, (gx, gw) = grad(f)(x, w), grad(f, (0, 1))(x, w)
        np.testing.assert_allclose(g, grad(total)(*lists), rtol=1e-14)
        np.testing.assert_allclose(gw, grad(total, 1)(*lists), rtol=1e-14)
        assert (g.shape, gx.shape, gw.shape, g.dtype) == ((2,), (2,), (3, 2), np.dtype(float))
        value, again = value_and_grad(f)(x, w)
        assert type(value) is float
        np.testing.assert_array_equal(again, g)
        assert hessian(f)(x, w).shape == (2, 2)
        assert hvp(f, (x, w), (x, w))[1].shape == (3, 2)
        assert jvp(f, (x, w), (x, w))[1] == pytest.approx(float(g @ x + (gw * w).sum()))
        _, pullback = vjp(f, x, w)
        x_now, x[0] = x.copy(), 7.0  # the pullback uses the primals of the call, not those written into the array since
        np.testing.assert_allclose(pullback(2.0)[1], 2.0 * gw, rtol=1e-14)
        x[:] = x_now
    assert jacobian(lambda x: [x[0] * x[1], x[0], 1.0])(x).tolist() == [[-1.0, 0.5], [1.0, 0.0], [0.0, 0.0]]
    assert grad(lambda p: p["a"][0] * p["b"])({"a": x, "b": 3.0})["a"].tolist() == [3.0, 0.0]
    values = grad(lambda x: x[0] * x[1])(np.array([Value(2.0), Value(3.0)]))
    assert (values.dtype, values[0].data) == (np.dtype(object), 3.0)


def test_scipy_takes_value_and_grad_without_a_wrapper() -> None:
    np = pytest.importorskip("numpy")
    optimize = pytest.importorskip("scipy.optimize")
    for f in (rosenbrock, al.jit(rosenbrock)):
        found = optimize.minimize(value_and_grad(f), np.full(4, 1.3), jac=True)
        np.testing.assert_allclose(found.x, np.ones(4), atol=1e-4)
        found = optimize.minimize(
            value_and_grad(f), np.full(4, 1.3), jac=True, hess=hessian(f, sparse=True), method="trust-constr"
        )
        np.testing.assert_allclose(found.x, np.ones(4), atol=1e-4)


def test_a_rule_with_too_few_partials_is_an_error() -> None:
    short = p.Primitive("short", lambda x, y: x * y, lambda z, x, y: (y,), arity=2)
    with pytest.raises(TypeError, match="a rule gives one partial for each argument: 2, got 1"):
        grad(lambda x: short(x, 3.0 * x))(2.0)


def test_a_function_that_treats_a_list_as_the_given_array_gets_a_note() -> None:
    np = pytest.importorskip("numpy")
    for f in (lambda x: (x * x).sum(), lambda x: x[0, 0]):
        with pytest.raises(TypeError) as caught:
            grad(f)(np.ones((2, 2)))
        assert "gives f lists of numbers in place of arrays" in caught.value.__notes__[0]
        with pytest.raises(TypeError) as caught:
            grad(f)([[1.0, 2.0]])
        assert not hasattr(caught.value, "__notes__")
