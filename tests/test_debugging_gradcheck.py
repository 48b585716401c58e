"""`check_grads` reports every wrong rule and no right one."""

import math
from itertools import pairwise
from typing import Any

import pytest
from examples import rosenbrock

import autograd_lite as al
from autograd_lite import Value, check_grads
from autograd_lite import primitives as p

ONE = [-0.7, 0.4]
POSITIVE = [0.3, 2.0]
FUNCTIONS = {
    **{name: (getattr(al, name), ONE) for name in "exp expm1 sin cos tan atan sinh cosh tanh sigmoid softplus".split()},
    **{name: (getattr(al, name), ONE) for name in "exp2 erf asinh atanh cbrt floor ceil round".split()},
    **{name: (getattr(al, name), POSITIVE) for name in "log2 log10".split()},
    "acosh": (al.acosh, [1.3, 2.0]),
    "atan2": (lambda x: al.atan2(*x), [[0.3, -1.2], [-2.0, 1.0]]),
    "hypot": (lambda x: al.hypot(*x), [[0.3, -1.2], [-2.0, 1.0]]),
    "remainders": (lambda x: x[0] % x[1] + x[0] // x[1] + 7.3 % x[0], [[5.3, 1.5], [-5.3, 1.5]]),
    "tanh form of gelu": (lambda x: al.gelu(x, approximate="tanh"), ONE),
    **{name: (getattr(al, name), ONE) for name in "relu step abs sign asin acos silu gelu elu leaky_relu".split()},
    **{name: (getattr(al, name), POSITIVE) for name in "log log1p sqrt".split()},
    **{name: (getattr(al, name), [[0.3, -1.2, 2.0]]) for name in "sum mean norm logsumexp softmax log_softmax".split()},
    "maximum": (lambda x: al.maximum(*x), [[0.3, -1.2], [-2.0, 1.0]]),
    "minimum": (lambda x: al.minimum(*x), [[0.3, -1.2], [-2.0, 1.0]]),
    "where": (lambda x: al.where(*x), [[0.3, -1.2, 2.0]]),
    "dot": (lambda x: al.dot(x[0], x[1]), [[[0.3, -1.2], [2.0, 0.5]]]),
    "matvec": (lambda x: al.matvec(x[:2], x[2]), [[[0.3, -1.2], [2.0, 0.5], [-0.4, 1.1]]]),
    "operators": (lambda x: (x[0] + 2) * x[1] / (3 - x[0]) - x[1] ** 3 + x[0] ** x[1] + 2 ** x[1], [[0.5, 1.5]]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_passes_to_second_order(name: str) -> None:
    f, points = FUNCTIONS[name]
    for x in points:
        check_grads(f, x)


def test_every_function_is_checked() -> None:
    functions = {
        name for name in al.__all__ if getattr(getattr(al, name), "__module__", "") == "autograd_lite.functions"
    }
    primitives = {name for name in al.__all__ if isinstance(getattr(al, name), p.Primitive)}
    assert functions | primitives == {*FUNCTIONS, "primitive"} - {"operators", "remainders", "tanh form of gelu"}


def arguments(op: p.Primitive) -> tuple[float, ...]:
    return (1.7,) if op is p.acosh else (0.7, 0.4, 0.6, 0.3)[: op.arity or {"sum": 3, "dot": 4}[op.name]]


BUILT_IN = [op for op in p.PRIMITIVES.values() if op.compute.__module__ in ("autograd_lite.ieee", "_operator", "math")]


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op is not p.detach], ids=str)
@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_a_wrong_rule_is_caught_and_named(op: p.Primitive, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, args = op.partials, arguments(op)
    f, args = ((lambda x: op(x, 2.5)), args[:1]) if op is p.pow_const else (op, args)
    for wrong in range(len(args)):

        def partials(z: Any, *xs: Any, wrong: int = wrong) -> tuple[Any, ...]:
            return tuple(
                dx if i != wrong else 0.001 if dx is None else dx * 1.0001 + 0.001 for i, dx in enumerate(right(z, *xs))
            )

        with monkeypatch.context() as patch:
            patch.setattr(op, "partials", partials)
            message = rf"the rule of {op} is wrong: at {op}\(.* its partial by argument {wrong} is"
            with pytest.raises(AssertionError, match=message):
                check_grads(f, *args, order=1, modes=[mode])


def test_a_wrong_second_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p.cos, "partials", lambda z, x: (p.sin(x),))
    check_grads(al.sin, 0.5, order=1)
    with pytest.raises(
        AssertionError, match=r"check_grads of sin, rev, rev: .*the rule of cos is wrong: at cos\(0.5\)"
    ):
        check_grads(al.sin, 0.5)
    with pytest.raises(AssertionError, match="check_grads of sin, fwd, fwd"):
        check_grads(al.sin, 0.5, modes=["fwd"])


FLAT = "step sign floor ceil round floordiv share where detach".split()
SMOOTH = [op for op in BUILT_IN if op.name not in [*FLAT, "relu", "abs", "maximum", "minimum"]]


@pytest.mark.parametrize("op", SMOOTH, ids=str)
@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_a_rule_with_a_wrong_second_derivative_is_named(
    op: p.Primitive, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, args = op.partials, arguments(op)
    f, args = ((lambda x: op(x, 2.5)), args[:1]) if op is p.pow_const else (op, args)

    def partials(z: Any, *xs: Any) -> tuple[Any, ...]:
        dx, *others = right(z, *xs)
        return dx + 0.3 * (xs[0] - p.detach(xs[0])), *others

    monkeypatch.setattr(op, "partials", partials)
    check_grads(f, *args, order=1, modes=[mode])
    with pytest.raises(
        AssertionError,
        match=rf"the rule of {op} is wrong: at {op}\(.* the derivative by argument 0 of its partial by argument 0 is",
    ):
        check_grads(f, *args, modes=[mode])


def test_a_rule_that_detaches_is_named() -> None:
    def partials(z: Any, x: Any) -> tuple[Any, ...]:
        return (2 * p.detach(x),)

    square = p.Primitive("square", lambda x: x * x, partials)
    with pytest.raises(
        AssertionError,
        match=r"the rule of square is wrong: at square\(1.3\) the derivative by argument 0 of its partial by "
        r"argument 0 is 0.0, diff.* 2.0",
    ):
        check_grads(lambda x: al.sin(square(x)) * al.exp(x), 1.3)


def test_the_first_wrong_rule_and_the_argument_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p.tanh, "partials", lambda z, x: (1.0 - z,))

    def f(a: float, b: dict[str, list[float]]) -> float:
        return al.exp(al.tanh(b["w"][1]) * a)

    message = (
        r"check_grads of f, rev: the derivative of result 0 by args\[1\]\['w'\]\[1\] = 0.5 is 0.18.*, differences "
    )
    with pytest.raises(
        AssertionError, match=message + r"give 0.27.*; the rule of tanh is wrong: at tanh\(0.5\)"
    ) as error:
        check_grads(f, 0.3, {"w": [9.0, 0.5]})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x * x * 1e8, 1e5),
        (lambda x: x * 1e-8 + 1e3, 1e5),
        (al.log, 1e-150),
        (al.sqrt, 1e-9),
        (lambda x: 5 + x, 1e-200),
        (lambda x: al.exp(100 * x), 1.0),
        (lambda x: al.sin(50 * x), 30.0),
        (lambda x: 1 / x, -1e-7),
        (lambda _: 3.0, 2.0),
    ],
)
def test_the_tolerance_fits_the_scale(f: Any, x: float) -> None:
    check_grads(f, x)
    with pytest.raises(AssertionError):
        check_grads(lambda x: f(x) + 1e-3 * (f(x) + x).detach() if isinstance(x, Value) else f(x), x, order=1)


def test_a_function_of_many_numbers() -> None:
    check_grads(lambda x: sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x)), [0.3] * 5)


def test_if_every_rule_is_right_the_message_names_other_causes() -> None:
    with pytest.raises(AssertionError, match=r"every operation agrees .*: f has a kink here, or detaches a gradient"):
        check_grads(lambda x: x * x.detach(), 1.5)
    with pytest.raises(AssertionError, match=r"the rule of relu is wrong: .* its partial by argument 0 is 0.0, differ"):
        check_grads(al.relu, 0.0)


def test_bad_input_to_check_grads() -> None:
    with pytest.raises(ValueError, match="check_grads takes order >= 1, got 0"):
        check_grads(al.exp, 1.0, order=0)
    with pytest.raises(ValueError, match=r"check_grads takes a list of the modes 'rev' and 'fwd', got \['forward'\]"):
        check_grads(al.exp, 1.0, modes=["forward"])
    with pytest.raises(ValueError, match="check_grads takes a list of the modes 'rev' and 'fwd', got 'rev'"):
        check_grads(al.exp, 1.0, modes="rev")
    with pytest.raises(ValueError, match="check_grads of exp: there is no number among the arguments"):
        check_grads(al.exp)
    with pytest.raises(TypeError, match="check_grads of exp takes real numbers, got str"):
        check_grads(al.exp, "1.0")
    with pytest.raises(TypeError, match="check_grads takes an int as order, got str"):
        check_grads(al.exp, 1.0, order="2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="check_grads takes a function, got int"):
        check_grads(3, 1.0)  # type: ignore[arg-type]


def test_points_that_cannot_be_checked_raise() -> None:
    with pytest.raises(ValueError, match=r"check_grads takes a list of the modes 'rev' and 'fwd', got \(\)"):
        check_grads(al.exp, 1.0, modes=())
    with pytest.raises(ValueError, match="check_grads of <lambda>: there is no number in the result"):
        check_grads(lambda x: [], 1.0)
    with pytest.raises(ValueError, match=r"check_grads of exp: args\[0\] is nan: choose a finite point"):
        check_grads(al.exp, math.nan)
    with pytest.raises(ValueError, match="check_grads of log: the function is not finite at this point: result 0 is n"):
        check_grads(al.log, -1.0)
    with pytest.raises(ValueError, match="check_grads of asin: the function is not finite beside this point"):
        check_grads(al.asin, 1.0)
    for f in (lambda x: al.sin(1e6 * x).detach(), lambda x: al.sin(1e6 * x)):
        with pytest.raises(ValueError, match="the differences at this point are too uncertain to check"):
            check_grads(f, 0.7)


@pytest.mark.parametrize(
    "f", [lambda x: al.sum(al.softmax([x, 2 * x, 1.0])), lambda x: al.sin(x) ** 2 + al.cos(x) ** 2, lambda x: x - x]
)
def test_functions_constant_up_to_rounding_pass(f: Any) -> None:
    for x in (0.3, -1.7, 30.0):
        check_grads(f, x)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: x**2, [0.0]),
        (lambda x: x**3, [0.0]),
        (lambda x: x**4, [0.0]),
        (lambda x: (x - 1) ** 2, [1.0]),
        (lambda x: (x - 1) ** 6, [1.0]),
        (lambda x: 1 - al.cos(x), [0.0]),
        (lambda x: x * al.sin(x), [0.0]),
        (lambda x: al.sin(x) ** 3, [0.0]),
        (lambda x: (al.tanh(x) - math.tanh(0.5)) ** 2, [0.5]),
        (lambda x: x - al.sin(x), [0.0]),  # the result is far smaller than its terms, and than their rounding
        (lambda x: x - al.sin(x), [1e-3]),
        (lambda x, y: x * y * y, [2.0, 0.0]),
        (lambda v: al.dot(v, v), [[0.0, 0.0]]),
        (rosenbrock, [[1.0, 1.0]]),
    ],
)
def test_zeros_of_function_and_derivative_pass(f: Any, args: Any) -> None:
    check_grads(f, *args)


def test_a_wrong_rule_at_a_zero_of_the_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = p.cos.partials
    monkeypatch.setattr(p.cos, "partials", lambda z, x: (right(z, x)[0] + 1e-3,))
    with pytest.raises(AssertionError, match="the rule of cos is wrong"):
        check_grads(lambda x: 1 - al.cos(x), 0.0, order=1)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_derivative_that_is_not_finite_is_wrong(wrong: float) -> None:
    square = p.Primitive("square", lambda x: x * x, lambda z, x: (wrong * x,))
    with pytest.raises(AssertionError, match="the rule of square is wrong"):
        check_grads(square, 1.5)
    with pytest.raises(ValueError, match=r"rev: the differences at this point are too uncertain"):
        check_grads(al.log, 1e-200)  # its second derivative is -1e400


@pytest.fixture
def wrong_square() -> p.Primitive:
    return p.Primitive("wrong_square", lambda x: x * x, lambda z, x: (-0.5 * x,))


def test_a_large_result_does_not_hide_an_error_in_another(wrong_square: p.Primitive) -> None:
    with pytest.raises(AssertionError, match=r"result 1 by args\[0\] = 1.0 .*the rule of wrong_square is wrong"):
        check_grads(lambda x: [1e13 * x, wrong_square(x)], 1.0)
    for large in (1e12, 1e13, 1e15, 1e17):  # so large that the rest of the sum is lost in its rounding
        with pytest.raises(ValueError, match="too uncertain to check"):
            check_grads(lambda x, large=large: large + wrong_square(x), 1.0)


@pytest.mark.parametrize("k", [1024.0, 18500.0, 65536.0])
def test_a_wrong_rule_of_a_fast_oscillation_is_caught(k: float) -> None:
    fast = p.Primitive("fast", lambda x: math.sin(k * x), lambda z, x: (1.08 * k * p.cos(k * x),))
    with pytest.raises(AssertionError, match="the rule of fast is wrong"):
        check_grads(fast, 0.5)
    check_grads(lambda x: al.sin(k * x), 0.5)


def test_an_oscillation_whose_period_is_a_step_is_not_mistaken_for_a_constant() -> None:
    for k in (10, 12):
        check_grads(lambda x, k=k: al.sin(2 * math.pi * 2**k * x), 0.3)
    with pytest.raises(ValueError, match="too uncertain to check"):
        check_grads(lambda x: al.sin(2 * math.pi * 2**16 * x), 0.3)


def test_points_too_large_for_a_small_step_raise_no_false_alarm() -> None:
    for x in (1e3, 1e8, 1e10):
        check_grads(al.sin, x)
    for x in (1e13, 1e14, 1e16, 1e200):
        with pytest.raises(ValueError, match="too uncertain to check"):
            check_grads(al.sin, x)


def test_points_close_to_a_kink_are_checked_with_short_steps() -> None:
    for x in (1e-2, 1e-3, -1e-4, 1e-6, -1e-9):
        check_grads(al.relu, x)
        check_grads(al.abs, x)


def test_a_wrong_rule_inside_a_compiled_function_is_named(wrong_square: p.Primitive) -> None:
    with pytest.raises(AssertionError, match=r"the rule of wrong_square is wrong: at wrong_square\(1.3\)"):
        check_grads(al.jit(lambda x: al.sin(wrong_square(x))), 1.3)
    check_grads(al.jit(lambda x: al.sin(x) * al.logsumexp([x, 2.0])), 1.3)


def test_forward_mode_is_checked_with_one_graph() -> None:
    calls = 0

    def f(xs: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        return al.sum([al.sin(x) for x in xs]) ** 2

    check_grads(f, [0.1] * 4, order=1, modes=["fwd"])
    few, calls = calls, 0
    check_grads(f, [0.1] * 4, order=1, modes=["rev"])
    assert few == calls
