"""The table, row by row: numbers and partials against PyTorch float64, against differences, and at hostile points."""

import math
from collections.abc import Callable
from itertools import product
from math import inf, nan
from typing import Any

import pytest

from autograd_lite import Value, ieee
from autograd_lite import primitives as p
from autograd_lite.calculus import gradients
from autograd_lite.primitives import PRIMITIVES, Primitive

HOSTILE = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -2.5, 1e-200, -1e-200, 1e5, -1e5, 1000.0, -1000.0, inf, -inf, nan]
SMOOTH = [0.3, -0.7, 0.8, 1.7]  # away from every kink
BUILT_IN = [op for op in PRIMITIVES.values() if op.compute.__module__ in ("autograd_lite.ieee", "_operator", "math")]


LENGTHS = {"sum": 3, "dot": 4}  # the number of arguments for primitives that take any number


def points(op: Primitive, values: list[float]) -> list[tuple[float, ...]]:
    n = op.arity or LENGTHS[op.name]
    return list(product(values, repeat=n)) if n <= 2 else [(*xs, *xs)[:n] for xs in product(values, repeat=2)]


def torch_functions() -> dict[str, Callable[..., Any]]:
    torch = pytest.importorskip("torch")
    names = (
        "add sub mul div neg exp log log1p expm1 sqrt sin cos tan asin acos atan sinh cosh tanh sigmoid relu sign abs "
        "exp2 log2 log10 asinh acosh atanh erf atan2 hypot floor ceil round"
    )
    return {name: getattr(torch, name) for name in names.split()} | {
        "pow_const": lambda x, n: x ** n.item(),
        "pow": torch.pow,
        "cbrt": lambda x: torch.where(x == 0, x, torch.sign(x) * abs(x) ** (1 / 3)),
        "mod": torch.remainder,
        "floordiv": lambda x, y: torch.div(x, y, rounding_mode="floor"),
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "step": lambda x: torch.heaviside(x.detach(), torch.zeros_like(x.detach())),
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "where": lambda c, x, y: torch.where(c != 0, x, y),
        "detach": lambda x: x.detach() * 1,
        "sum": lambda *xs: torch.stack(xs).sum(),
        "dot": lambda *xy: (torch.stack(xy[: len(xy) // 2]) * torch.stack(xy[len(xy) // 2 :])).sum(),
    }


# Where PyTorch differs from IEEE 754, or drops a nan: the result here, with the reason.
def excused(op: Primitive, xs: tuple[float, ...]) -> bool:
    if op.name in ("sign", "step") and xs[0] != xs[0]:
        return True  # PyTorch: sign(nan) = heaviside(nan) = 0. Here a nan is never dropped.
    if (op.name == "acosh" and xs[0] < 1) or (op.name == "cbrt" and xs[0] == 0):
        return True  # PyTorch has a derivative of acosh where its number is nan, and no cbrt.
    if op.name == "atan2" and 0 < max(map(abs, xs)) < 1e-150:
        return True  # PyTorch's squares underflow to 0.
    if op.name in ("pow", "pow_const") and (xs[0] == -inf or str(xs[0]) == "-0.0") and abs(xs[1]) in (0.5, 2.5):
        return True  # PyTorch takes a square root, which is nan at -inf and -0.0 at -0.0; IEEE's pow has inf and 0.0.
    return op.name == "softplus" and not math.isfinite(xs[0])  # logaddexp's own gradient is nan at infinities


def same(x: float, y: float, tolerance: float = 1e-12) -> bool:
    return (x != x and y != y) or x == y or math.isclose(x, y, rel_tol=tolerance, abs_tol=1e-300)


def number_and_gradient(op: Primitive, xs: tuple[float, ...]) -> tuple[float, list[float]]:
    leaves = [Value(x) for x in xs]
    args: list[Any] = [leaves[0], xs[1]] if op.name == "pow_const" else list(leaves)
    z = op(*args)
    z.backward()
    return z.data, [x.grad for x in leaves]


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op is not p.share], ids=repr)  # PyTorch has no such function
def test_numbers_and_gradients_agree_with_pytorch(op: Primitive) -> None:
    torch = pytest.importorskip("torch")
    functions = torch_functions()
    for xs in points(op, HOSTILE):
        if excused(op, xs):
            continue
        leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
        z = functions[op.name](*leaves)
        if z.requires_grad:
            z.backward()
        number, gradient = number_and_gradient(op, xs)
        assert same(number, z.item()), (xs, number, z.item())
        for i, (ours, leaf) in enumerate(zip(gradient, leaves, strict=True)):
            theirs = 0.0 if leaf.grad is None else leaf.grad.item()
            assert same(ours, theirs), (xs, f"d/dx{i}", ours, theirs)


@pytest.mark.parametrize("op", BUILT_IN, ids=repr)
def test_partials_are_the_slopes_of_the_number(op: Primitive) -> None:
    """Central differences of the number, then of the gradient, which tests the rule's own operations."""
    h, tested = 1e-5, 0
    for xs in points(op, SMOOTH):
        differentiable = [0] if op.name == "pow_const" else range(len(xs))
        if not math.isfinite(op(*xs)) or (len(xs) == 2 and abs(xs[0]) == abs(xs[1])):
            continue
        tested += 1
        leaves = [Value(x) for x in xs]
        z = op(leaves[0], xs[1]) if op.name == "pow_const" else op(*leaves)
        first = gradients(z, leaves)
        for i in differentiable:
            for j in (None, *differentiable):
                up, down = (
                    number_and_gradient(op, tuple(x + e if k == i else x for k, x in enumerate(xs))) for e in (h, -h)
                )
                slope = (up[0] - down[0] if j is None else up[1][j] - down[1][j]) / (2 * h)
                exact = first[i] if j is None else gradients(first[j], leaves)[i]
                if op.name == "detach":
                    assert exact.data == 0
                else:
                    assert math.isclose(exact.data, slope, rel_tol=1e-6, abs_tol=1e-8), (xs, i, j, exact.data, slope)
    assert tested


@pytest.mark.parametrize("op", BUILT_IN, ids=repr)
def test_a_rule_agrees_on_floats_and_values(op: Primitive) -> None:
    for xs in points(op, HOSTILE):
        _, floats = number_and_gradient(op, xs)
        leaves = [Value(x) for x in xs]
        z = op(leaves[0], xs[1]) if op.name == "pow_const" else op(*leaves)
        graphs = gradients(z, leaves)
        assert all(same(x, y.data) for x, y in zip(floats, graphs, strict=True)), (xs, floats, graphs)


@pytest.mark.parametrize("op", BUILT_IN, ids=repr)
def test_arithmetic_gives_a_float_and_never_raises(op: Primitive) -> None:
    for xs in points(op, [*HOSTILE, 1e308, -1e308, 5e-324, 1e-308, 710.0, -745.2]):
        assert type(op(*xs)) is float, xs
        for partial in op.partials(op(*xs), *xs):
            assert partial is None or type(partial) is float, xs


@pytest.mark.parametrize("op", BUILT_IN, ids=repr)
def test_a_nan_argument_gives_nan(op: Primitive) -> None:
    if op.name in ("share", "step"):
        return  # 1, as the derivatives of maximum and relu are in PyTorch
    for xs in points(op, HOSTILE):
        powers = op.name in ("pow", "pow_const") and (xs[1] == 0 or xs[0] == 1)
        infinite = op.name == "hypot" and inf in map(abs, xs)
        unread = op.name == "where" and (xs[1] if xs[0] else xs[2]) == (xs[1] if xs[0] else xs[2])
        if any(x != x for x in xs) and not powers and not unread and not infinite:
            assert op(*xs) != op(*xs), xs


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: p.div(1.0, 0.0), inf),
        (lambda: p.div(1.0, -0.0), -inf),
        (lambda: p.div(0.0, 0.0), nan),
        (lambda: p.log(0.0), -inf),
        (lambda: p.log(-1.0), nan),
        (lambda: p.pow_const(-1.0, 0.5), nan),
        (lambda: p.pow_const(-0.0, -3.0), -inf),
        (lambda: p.pow_const(-1e200, 3.0), -inf),
        (lambda: p.exp(1000.0), inf),
        (lambda: p.sinh(-1000.0), -inf),
        (lambda: p.cosh(-1000.0), inf),
        (lambda: p.relu(nan), nan),
        (lambda: p.sin(inf), nan),
        (lambda: p.maximum(nan, 1.0), nan),
        (lambda: p.minimum(1.0, nan), nan),
        (lambda: number_and_gradient(p.sqrt, (0.0,))[1][0], inf),
        (lambda: number_and_gradient(p.relu, (0.0,))[1][0], 0.0),
        (lambda: number_and_gradient(p.abs_, (0.0,))[1][0], 0.0),
        (lambda: number_and_gradient(p.maximum, (2.0, 2.0))[1], [0.5, 0.5]),
        (lambda: number_and_gradient(p.minimum, (2.0, 2.0))[1], [0.5, 0.5]),
        (lambda: number_and_gradient(p.pow_const, (0.0, 0.0))[1][0], 0.0),
        (lambda: number_and_gradient(p.sigmoid, (-1000.0,)), (0.0, [0.0])),
        (lambda: number_and_gradient(p.softplus, (1000.0,)), (1000.0, [1.0])),
        (lambda: number_and_gradient(p.softplus, (-1000.0,)), (0.0, [0.0])),
        (lambda: number_and_gradient(p.softplus, (inf,)), (inf, [1.0])),
        (lambda: number_and_gradient(p.sign, (nan,))[0], nan),
        (lambda: p.pow_(-inf, 0.5), inf),
    ],
)
def test_results_at_edges_are_those_of_ieee_754(found: Callable[[], Any], expected: Any) -> None:
    x = found()
    assert same(x, expected) if isinstance(expected, float) else x == expected


def test_a_blocked_argument_gets_no_gradient_not_even_0_times_inf() -> None:
    x = Value(-1.0)
    p.log(p.relu(x)).backward()  # the gradient that arrives at relu is 1/0
    assert x.grad == 0.0
    a, b = Value(1.0), Value(2.0)
    (1.0 / (p.maximum(a, b) * 0.0)).backward()
    assert a.grad == 0.0
    assert math.isnan(b.grad)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda x: p.tanh(x), lambda x: p.sinh(x) / p.cosh(x)),
        (lambda x: p.tan(p.atan(x)), lambda x: x + 0.0),
        (lambda x: p.exp(p.log1p(x)), lambda x: x + 1.0),
        (lambda x: p.expm1(x), lambda x: p.exp(x) - 1.0),
        (lambda x: p.sigmoid(x), lambda x: 0.5 * (1.0 + p.tanh(x / 2.0))),
        (lambda x: p.softplus(x) - p.softplus(-x), lambda x: x + 0.0),
        (lambda x: p.asin(x) + p.acos(x), lambda x: x * 0.0 + math.pi / 2),
        (lambda x: p.sin(x) ** 2 + p.cos(x) ** 2, lambda x: x * 0.0 + 1.0),
        (lambda x: p.sqrt(x * x), lambda x: abs(x)),
        (lambda x: p.relu(x) - p.relu(-x), lambda x: x + 0.0),
        (lambda x: p.maximum(x, 0.25) + p.minimum(x, 0.25), lambda x: x + 0.25),
    ],
)
@pytest.mark.parametrize("at", [0.3, 0.7, -0.4])
def test_identities_hold_to_the_second_derivative(
    left: Callable[[Value], Value], right: Callable[[Value], Value], at: float
) -> None:
    x = Value(at)
    y, z = left(x), right(x)
    for _ in range(3):  # the number, the slope, the curvature
        assert math.isclose(y.data, z.data, rel_tol=1e-10, abs_tol=1e-10)
        (y,), (z,) = gradients(y, [x]), gradients(z, [x])


def test_a_constant_exponent_never_takes_a_logarithm() -> None:
    x = Value(-2.0)
    y = x**3
    y.backward()
    assert (y.op, y.args, x.grad) == (p.pow_const, (x, 3.0), 12.0)


def test_a_primitive_has_its_name_and_refuses_other_types() -> None:
    assert repr(p.tanh) == "tanh"
    with pytest.raises(TypeError, match="exp takes real numbers, got str"):
        p.exp("1")
    with pytest.raises(TypeError, match="mul takes real numbers, got complex"):
        p.mul(Value(1.0), 1j)


def test_ieee_functions_keep_the_sign_of_zero() -> None:
    assert math.copysign(1.0, ieee.sum(-0.0, -0.0)) == -1.0
    assert math.copysign(1.0, ieee.div(-0.0, 5.0)) == -1.0
    assert ieee.dot() == ieee.sum() == 0.0
