"""A user's own primitive: a function of floats and its partials, which then works in every mode."""

import copy
import math
import pickle
from typing import Any

import pytest

import autograd_lite as al
from autograd_lite import Value, check_grads, grad, hessian, jvp, primitive
from autograd_lite.primitives import PRIMITIVES


@primitive(partials=lambda z, x: (3 * x**2,))
def third_power(x: float) -> float:
    return x * x * x


@primitive(partials=lambda z, x, y: (x / z, y / z))
def hypotenuse(x: float, y: float) -> float:
    return math.hypot(x, y)


@primitive(partials=lambda z, x, scale: (scale * al.cos(x), None))
def wave(x: float, scale: float) -> float:
    return scale * math.sin(x)


def test_a_primitive_takes_floats_and_values() -> None:
    assert (third_power(2), type(third_power(2))) == (8.0, float)
    x = Value(2.0)
    y = third_power(x) + 1
    y.backward()
    assert (y.data, x.grad) == (9.0, 12.0)


@primitive(partials=lambda z, x, y: (al.where(x < y, 2.0 * x, al.cos(x)), al.where(x >= y, 3.0, y * y)))
def bent(x: float, y: float) -> float:
    return (x * x if x < y else math.sin(x)) + (3.0 * y if x >= y else y**3 / 3.0)


@pytest.mark.parametrize(("x", "y"), [(0.5, 2.0), (2.0, 0.5), (0.5, 0.5)])
def test_a_rule_may_compare(x: float, y: float) -> None:
    first = [2 * x, y * y] if x < y else [math.cos(x), 3.0]
    second = [[2.0, 0.0], [0.0, 2.0 * y]] if x < y else [[-math.sin(x), 0.0], [0.0, 0.0]]
    a, b = Value(x), Value(y)
    bent(a, b).backward()
    assert [a.grad, b.grad] == first
    for way in (lambda f: f, al.jit):
        assert way(grad(bent, argnums=(0, 1)))(x, y) == pytest.approx(first)
        assert way(hessian(lambda p: bent(*p)))([x, y]) == [pytest.approx(row) for row in second]


def test_a_primitive_in_second_order_and_forward_mode() -> None:
    assert grad(grad(grad(third_power)))(2.0) == 6.0
    assert jvp(third_power, (2.0,), (0.5,)) == (8.0, 6.0)
    assert hessian(lambda x: hypotenuse(*x))([3.0, 4.0])[0] == pytest.approx([16 / 125, -12 / 125], rel=1e-14)


def test_no_gradient_flows_to_an_argument_with_partial_none() -> None:
    assert grad(wave, (0, 1))(0.0, 2.0) == (2.0, 0.0)


@pytest.mark.parametrize("f", [third_power, hypotenuse, lambda x: wave(x, 2.0)])
def test_check_grads_passes(f: Any) -> None:
    check_grads(f, *[0.7, 1.3][: 2 if f is hypotenuse else 1])


def test_check_grads_catches_a_wrong_rule() -> None:
    @primitive(partials=lambda z, x: (2 * x**2,))
    def wrong_power(x: float) -> float:
        return x * x * x

    with pytest.raises(AssertionError, match=r"the rule of wrong_power is wrong: .* its partial by argument 0"):
        check_grads(lambda x: 1 + wrong_power(x) * x, 2.0)
    del PRIMITIVES["wrong_power"]


def test_graphs_with_a_primitive_are_copied_and_pickled() -> None:
    y = third_power(Value(2.0)) * 2
    assert copy.deepcopy(y).data == pickle.loads(pickle.dumps(y)).data == 16.0


def test_the_same_module_may_redefine_a_primitive() -> None:
    for power in (4.0, 5.0):

        @primitive(partials=lambda z, x, power=power: (power * x ** (power - 1),))
        def again(x: float, power: float = power) -> float:
            return x**power

        assert grad(again)(1.0) == power
    del PRIMITIVES["again"]


def define(name: str, partials: Any, function: Any = lambda x: x) -> Any:
    function.__name__ = name
    op = primitive(partials=partials)(function)
    del PRIMITIVES[name]
    return op


def test_a_partial_is_a_float_or_an_error() -> None:
    @primitive(partials=lambda z, x: (x > 0,))
    def positive_part(x: float) -> float:
        return max(x, 0.0)

    @primitive(partials=lambda z, x: ("s",))
    def lettered(x: float) -> float:
        return x

    assert type(grad(positive_part)(1.0)) is float
    with pytest.raises(TypeError, match="the partial of lettered takes real numbers, got str 's'"):
        grad(lettered)(1.0)


def test_bad_input_to_primitive() -> None:
    with pytest.raises(TypeError, match=r"primitive takes partials=a function of \(z, \*args\), got tuple"):
        primitive(partials=(1.0,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a primitive 'tanh' exists already: choose another name"):
        define("tanh", lambda z, x: (1.0,))
    with pytest.raises(TypeError, match="the partials of flat must be a tuple of 1, one per argument, got 2"):
        grad(define("flat", lambda z, x: 2.0))(1.0)
    with pytest.raises(TypeError, match="the partials of many must be a tuple of 1, one per argument, got"):
        define("many", lambda z, x: (1.0, 2.0))(Value(1.0)).backward()
    with pytest.raises(TypeError, match="the result of nothing takes real numbers, got NoneType None"):
        define("nothing", lambda z, x: (1.0,), lambda x: None)(Value(1.0))


def test_a_rule_on_floats_must_not_use_a_value_from_outside() -> None:
    w = Value(2.0)
    scaled = al.primitive(partials=lambda z, x: (w * x,))(lambda x: 2.0 * x)
    x = Value(3.0)
    with pytest.raises(TypeError, match=r"the partial of <lambda> takes real numbers, got Value .*: use its \.data"):
        scaled(x).backward()
    assert x.grad == 0.0
