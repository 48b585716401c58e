"""What people call: the primitives under their public names, and the functions built from them.

Every function takes Values and real numbers, mixed as you like; of plain numbers alone it makes a plain float.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from operator import mul
from typing import Any, TypeAlias, TypeVar

from autograd_lite import primitives as p
from autograd_lite.ieee import add_up
from autograd_lite.primitives import Primitive
from autograd_lite.value import EAGER, LEAVES, Value, active_recorder, new_node

Scalar: TypeAlias = Any  # a Value, or a real number
Rule: TypeAlias = Callable[..., tuple[Any, ...]]
F = TypeVar("F", bound=Callable[..., float])

exp, log, log1p, expm1, sqrt = p.exp, p.log, p.log1p, p.expm1, p.sqrt
sin, cos, tan, asin, acos, atan = p.sin, p.cos, p.tan, p.asin, p.acos, p.atan
sinh, cosh, tanh = p.sinh, p.cosh, p.tanh
sigmoid, softplus, relu, step, abs, sign = p.sigmoid, p.softplus, p.relu, p.step, p.abs_, p.sign
maximum, minimum, where = p.maximum, p.minimum, p.where


def sum(xs: Iterable[Scalar]) -> Scalar:
    """The sum of `xs` as one node; 0.0 if there are none."""
    xs = _items(xs, "sum")
    return p.sum_(*xs) if xs else 0.0


def dot(xs: Iterable[Scalar], ys: Iterable[Scalar]) -> Scalar:
    """x0*y0 + x1*y1 + ... as one node; a ValueError if the lengths differ."""
    xs, ys = _items(xs, "dot"), _items(ys, "dot")
    if len(xs) != len(ys):
        raise ValueError(f"dot takes two sequences of one length, got {len(xs)} and {len(ys)}")
    return p.dot(*xs, *ys) if xs else 0.0


def matvec(
    rows: Iterable[Iterable[Scalar]],
    xs: Iterable[Scalar],
    biases: Iterable[Scalar] | None = None,
    activation: Callable[[Scalar], Scalar] | None = None,
) -> list[Scalar]:
    """activation(row . xs + bias) for each row and its bias, in one go: a layer of neurons.

    One node each: what `dot` gives of the row, its bias behind it, and `xs`, a 1 behind them; and what `activation`
    makes of it. A ValueError if a row is not as long as `xs`, or there are not as many biases as rows.
    """
    given, xs, recorder = list(rows), _items(xs, "matvec"), active_recorder()
    if biases is not None:
        biases = _items(biases, "matvec")
        if len(biases) != len(given):
            raise ValueError(f"matvec takes one bias for each row, got {len(biases)} for {len(given)} rows")
    totals = _totals(given, xs, biases) if recorder is LEAVES else None
    if totals is not None:
        if isinstance(activation, Primitive):
            return _leaves(map(activation.compute, totals))
        if getattr(activation, "__module__", "") == __name__:  # one of those below: they take floats, too
            return _leaves(map(activation, totals))  # type: ignore[arg-type]
        outputs = _leaves(totals)
    else:
        xs = tuple([float(x) if type(x) is int else x for x in xs])
        right = _numbers(xs) if recorder is EAGER else None
        if biases is not None:
            given, xs = [(*row, b) for row, b in zip(given, biases, strict=True)], (*xs, 1.0)
            right = right and [*right, 1.0]
        outputs = []
        for row in map(tuple, given):
            if len(row) != len(xs):
                n = biases is not None
                raise ValueError(f"matvec takes rows as long as the vector, got {len(row) - n} and {len(xs) - n}")
            left = _numbers(row) if right and Value in map(type, row) else None
            outputs.append(new_node(p.dot, row + xs, left + right) if left and right else dot(row, xs))
    return outputs if activation is None else [activation(z) for z in outputs]


def mean(xs: Iterable[Scalar]) -> Scalar:
    """The arithmetic mean of `xs`."""
    xs = _some(xs, "mean")
    return sum(xs) / len(xs)


def norm(xs: Iterable[Scalar]) -> Scalar:
    """The Euclidean length of `xs`. Its gradient at the origin is 0, as PyTorch's."""
    xs = _items(xs, "norm")
    square = dot(xs, xs)
    return where(square, sqrt(where(square, square, 1.0)), 0.0)


def logsumexp(xs: Iterable[Scalar]) -> Scalar:
    """log(exp(x0) + exp(x1) + ...), without overflow."""
    xs = _some(xs, "logsumexp")
    peak = p.detach(maximum(minimum(_largest(xs), sys.float_info.max), -sys.float_info.max))
    return peak + log(sum([exp(x - peak) for x in xs]))


def softmax(xs: Iterable[Scalar]) -> list[Scalar]:
    """exp(x) / sum of exp(x) for each of `xs`, without overflow."""
    xs = _some(xs, "softmax")
    peak = p.detach(_largest(xs))
    exps = [exp(x - peak) for x in xs]
    total = sum(exps)
    return [e / total for e in exps]


def log_softmax(xs: Iterable[Scalar]) -> list[Scalar]:
    """log(softmax(xs)), without overflow, and without underflow to log(0)."""
    xs = _some(xs, "log_softmax")
    peak = p.detach(_largest(xs))
    shifted = [x - peak for x in xs]
    total = log(sum([exp(x) for x in shifted]))
    return [x - total for x in shifted]


def silu(x: Scalar) -> Scalar:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: Scalar) -> Scalar:
    """x times the normal distribution function, in its tanh form (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def elu(x: Scalar, alpha: float = 1.0) -> Scalar:
    """x for x > 0, else alpha * (exp(x) - 1)."""
    positive = step(x)
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


def leaky_relu(x: Scalar, negative_slope: float = 0.01) -> Scalar:
    """x for x > 0, else negative_slope * x."""
    return where(step(x), x, negative_slope * x)


def primitive(partials: Rule) -> Callable[[F], Primitive]:
    """Make a function of floats a primitive of your own: `partials(z, *args)` is the tuple of its derivatives.

        @primitive(partials=lambda z, x: (3 * x**2,))
        def cube(x):
            return x * x * x

    It then works in every mode that the rule's own operations allow; use autograd_lite's functions in the rule, not
    math's. None in the tuple marks an argument through which nothing flows. `check_grads(cube, 2.0)` tests it.

    The name must be new, unless the same module defines it again. A TypeError at the first use of a rule that gives no
    tuple, or one of another length than the arguments.
    """
    if not callable(partials):
        raise TypeError(f"primitive takes partials=a function of (z, *args), got {type(partials).__name__}")

    def decorate(function: F) -> Primitive:
        name = getattr(function, "__name__", None)
        if not callable(function) or name is None:
            raise TypeError(f"write @primitive(partials=...) above a function with a name, not above {function!r}")
        row = p.PRIMITIVES.get(name)
        if row is not None and (row in vars(p).values() or row.compute.__module__ != function.__module__):
            raise ValueError(f"there is a primitive {name!r} already: choose another name")

        @wraps(function)
        def compute(*args: float) -> float:
            return p.to_float(function(*args), f"the result of {name}")

        def checked(z: Any, *args: Any) -> tuple[Any, ...]:
            rule = partials(z, *args)
            if not isinstance(rule, tuple) or len(rule) != len(args):
                raise TypeError(f"the partials of {name} must be a tuple of {len(args)}, one per argument, got {rule}")
            if all(dx is None or isinstance(dx, float | Value) for dx in rule):
                return rule
            return tuple([dx if isinstance(dx, Value) else p.to_float(dx, f"the partial of {name}") for dx in rule])

        op = p.PRIMITIVES[name] = Primitive(name, compute, checked)
        return op

    return decorate


def _numbers(xs: tuple[Scalar, ...]) -> list[Any] | None:
    """The numbers of Values and floats; None if there is anything else."""
    if xs and type(xs[0]) is Value:  # and so are the others, as a rule
        try:
            return [x.data for x in xs if x._x is not None]  # nothing but a Value has an _x
        except AttributeError:
            pass
    numbers = [x.data if type(x) is Value else x if type(x) is float else None for x in xs]
    return None if None in numbers else numbers


def _totals(rows: list[Any], xs: tuple[Scalar, ...], biases: tuple[Scalar, ...] | None) -> list[float] | None:
    """The number of each row's dot product with `xs`, plus its bias.

    None if not all rows are sequences of Values, as long as `xs`, or one of the other numbers is of another kind.
    """
    right = _numbers(xs)
    added = [-0.0] * len(rows) if biases is None else _numbers(biases)
    try:
        if not right or added is None or {*map(len, rows)} != {len(right)}:
            return None
        weights = iter([w.data for row in rows for w in row if w._x is not None])
    except (AttributeError, TypeError):
        return None
    return [add_up(map(mul, right, weights), -0.0) + b for b in added]


def _leaves(numbers: Iterable[float]) -> list[Value]:
    """`Value(number)` of each, in half the time."""
    leaves, new = [], object.__new__
    for number in numbers:
        z = new(Value)
        z.data = number
        z.grad = 0.0
        z.label = ""
        z.op, z._x, z._y = None, (), None
        leaves.append(z)
    return leaves


def _items(xs: Iterable[Scalar], what: str) -> tuple[Scalar, ...]:
    if type(xs) is list or isinstance(xs, Iterable):  # a list need not be asked
        return tuple(xs)
    raise TypeError(f"{what} takes a list of numbers, got {type(xs).__name__}")


def _some(xs: Iterable[Scalar], what: str) -> Sequence[Scalar]:
    xs = _items(xs, what)
    if not xs:
        raise ValueError(f"{what} of an empty list")
    return xs


def _largest(xs: Sequence[Scalar]) -> Scalar:
    """The largest of `xs`: a float, or in a trace, where Values have no number, a Value."""
    if not active_recorder().symbolic:
        xs = [x.data if isinstance(x, Value) else x for x in xs]
    while len(xs) > 1:  # in pairs, so that a program has few levels
        xs = [*map(maximum, xs[::2], xs[1::2]), *xs[len(xs) // 2 * 2 :]]
    return xs[0]
