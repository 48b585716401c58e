"""The public functions: primitives under their public names, and functions composed of primitives.

Every function takes Values and real numbers, mixed. Numbers alone give a float, any Value among them gives a Value.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import chain
from operator import mul
from typing import Any, Literal, Protocol, TypeAlias, overload

from autograd_lite import primitives as p
from autograd_lite.extension import core
from autograd_lite.ieee import add_up
from autograd_lite.primitives import Primitive
from autograd_lite.signatures import Unannotated
from autograd_lite.value import EAGER, LEAVES, Value, active_recorder, leaves_of, new_node, numbers_of

Scalar: TypeAlias = Value | float  # a type checker takes int for float
Rule: TypeAlias = Callable[..., tuple[Any, ...]]


class Unary(Protocol):
    """The type of a function of one number: a float gives a float, a Value gives a Value."""

    @overload
    def __call__(self, x: float, /) -> float: ...
    @overload
    def __call__(self, x: Value, /) -> Value: ...


class Binary(Protocol):
    """The type of a function of two numbers: it gives a float if both are floats, else a Value."""

    @overload
    def __call__(self, x: float, y: float, /) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, x: Scalar, y: Scalar, /) -> Value: ...


class Ternary(Protocol):
    """The type of a function of three numbers: it gives a float if all are floats, else a Value."""

    @overload
    def __call__(self, x: float, y: float, z: float, /) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, x: Scalar, y: Scalar, z: Scalar, /) -> Value: ...


class Where(Protocol):
    """The type of `where`: it gives a float if all arguments are floats, else a Value."""

    @overload
    def __call__(self, condition: float, x: float, y: float, /) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, condition: Scalar, x: Scalar, y: Scalar, /) -> Value: ...


# fmt: off
exp: Unary   = p.exp;    exp2: Unary  = p.exp2;   expm1: Unary = p.expm1;  erf: Unary   = p.erf    # noqa: E702
log: Unary   = p.log;    log2: Unary  = p.log2;   log10: Unary = p.log10;  log1p: Unary = p.log1p  # noqa: E702
sin: Unary   = p.sin;    cos: Unary   = p.cos;    tan: Unary   = p.tan;    sqrt: Unary  = p.sqrt   # noqa: E702
asin: Unary  = p.asin;   acos: Unary  = p.acos;   atan: Unary  = p.atan;   cbrt: Unary  = p.cbrt   # noqa: E702
sinh: Unary  = p.sinh;   cosh: Unary  = p.cosh;   tanh: Unary  = p.tanh;   abs: Unary   = p.abs_   # noqa: E702
asinh: Unary = p.asinh;  acosh: Unary = p.acosh;  atanh: Unary = p.atanh;  sign: Unary  = p.sign   # noqa: E702
floor: Unary = p.floor;  ceil: Unary  = p.ceil;   round: Unary = p.round_; step: Unary  = p.step   # noqa: E702
relu: Unary  = p.relu;   sigmoid: Unary = p.sigmoid;  softplus: Unary = p.softplus                 # noqa: E702
atan2: Binary = p.atan2;  hypot: Binary = p.hypot;  maximum: Binary = p.maximum;  minimum: Binary = p.minimum  # noqa: E702
where: Where = p.where
# fmt: on

# A sentence and an example for each primitive under its public name. The examples run as tests.
_DOCUMENTATION = """
exp       e to the power of x.                                              exp(0.0)             1.0
exp2      2 to the power of x.                                              exp2(3.0)            8.0
expm1     exp(x) - 1, accurate near 0.                                      expm1(1e-20)         1e-20
log       The natural logarithm; -inf at 0, nan below.                      log(1.0), log(0.0)   (0.0, -inf)
log2      The logarithm to base 2; -inf at 0, nan below.                    log2(8.0)            3.0
log10     The logarithm to base 10; -inf at 0, nan below.                   log10(1000.0)        3.0
log1p     log(1 + x), accurate near 0.                                      log1p(1e-20)         1e-20
sqrt      The square root; nan below 0.                                     sqrt(9.0)            3.0
cbrt      The cube root, of negative numbers too.                           cbrt(-8.0)           -2.0
erf       The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x.  erf(0.0)  0.0
sin       The sine of x radians.                                            sin(0.0)             0.0
cos       The cosine of x radians.                                          cos(0.0)             1.0
tan       The tangent of x radians.                                         tan(0.0)             0.0
asin      The angle in [-pi/2, pi/2] whose sine is x; nan if |x| > 1.       asin(0.0)            0.0
acos      The angle in [0, pi] whose cosine is x; nan if |x| > 1.           acos(1.0)            0.0
atan      The angle in (-pi/2, pi/2) whose tangent is x.                    atan(0.0)            0.0
atan2     The angle of the point (y, x), given as atan2(y, x), in [-pi, pi].  atan2(0.0, 1.0)    0.0
sinh      The hyperbolic sine.                                              sinh(0.0)            0.0
cosh      The hyperbolic cosine.                                            cosh(0.0)            1.0
tanh      The hyperbolic tangent.                                           tanh(1000.0)         1.0
asinh     The inverse of sinh.                                              asinh(0.0)           0.0
acosh     The inverse of cosh for x >= 1; nan below.                        acosh(1.0)           0.0
atanh     The inverse of tanh; an infinity at 1 and -1, nan beyond.         atanh(1.0)           inf
sigmoid   1 / (1 + exp(-x)), without overflow.                              sigmoid(0.0)         0.5
softplus  log(1 + exp(x)), without overflow.                                softplus(1000.0)     1000.0
relu      The larger of x and 0; its derivative at 0 is 0.                  relu(-2.0), relu(3.0)  (0.0, 3.0)
step      0 for x <= 0, 1 for x > 0; its derivative is 0.                   step(0.0), step(0.1)   (0.0, 1.0)
sign      -1, 0 or 1; its derivative is 0.                                  sign(-2.5)           -1.0
abs       The absolute value; its derivative at 0 is 0.                     abs(-2.5)            2.5
floor     The largest whole number that is at most x; its derivative is 0.  floor(-0.5)          -1.0
ceil      The smallest whole number that is at least x; its derivative is 0.  ceil(0.5)          1.0
round     The nearest whole number, the even one of two; its derivative is 0.  round(2.5)        2.0
hypot     The length of the vector (x, y), without overflow.                hypot(3.0, 4.0)      5.0
maximum   The larger of two; nan if one is nan. A tie splits the gradient in halves.   maximum(1.0, 2.0)  2.0
minimum   The smaller of two; nan if one is nan. A tie splits the gradient in halves.  minimum(1.0, 2.0)  1.0
where     x if c is true or not 0, else y; given as where(c, x, y). No gradient flows to c.  where(1 < 2, 3.0, 4.0)  3.0
"""
__test__: dict[str, str] = {}  # where doctest looks for examples, beside docstrings
for _line in _DOCUMENTATION.strip().splitlines():
    _name, _sentence, _call, _result = re.split(r" {2,}", _line)
    __test__[_name] = globals()[_name].__doc__ = f"{_sentence}\n\n>>> {_call}\n{_result}\n"


@overload
def sum(xs: Iterable[Unannotated], start: Any = 0.0) -> Any: ...
@overload
def sum(xs: Iterable[float], start: float = 0.0) -> float: ...  # type: ignore[overload-overlap]
@overload
def sum(xs: Iterable[Scalar], start: Scalar = 0.0) -> Value: ...
def sum(xs: Iterable[Any], start: Any = 0.0) -> Scalar:
    """The sum of the list `xs`, and of `start`, as in Python's own `sum`, recorded as one node; numbers give a float.

    0.0 for an empty list. A TypeError if `xs` is not a list of numbers and Values.

    >>> sum([1.0, 2.0, 4.0])
    7.0
    """
    items = _items(xs, "sum")
    if type(start) not in (int, float) or start != 0:
        items = (start, *items)
    total: Scalar = p.sum_(*items) if items else 0.0
    return total


@overload
def dot(xs: Iterable[Unannotated], ys: Iterable[Any]) -> Any: ...
@overload
def dot(xs: Iterable[float], ys: Iterable[float]) -> float: ...  # type: ignore[overload-overlap]
@overload
def dot(xs: Iterable[Scalar], ys: Iterable[Scalar]) -> Value: ...
def dot(xs: Iterable[Any], ys: Iterable[Any]) -> Scalar:
    """The dot product x0*y0 + x1*y1 + ..., recorded as one node. A ValueError if the lengths differ.

    >>> dot([1.0, 2.0], [3.0, 4.0])
    11.0
    """
    left, right = _items(xs, "dot"), _items(ys, "dot")
    if len(left) != len(right):
        raise ValueError(f"dot takes two sequences of one length, got {len(left)} and {len(right)}")
    total: Scalar = p.dot(*left, *right) if left else 0.0
    return total


def matvec(
    rows: Iterable[Iterable[Any]],
    xs: Iterable[Any],
    biases: Iterable[Any] | None = None,
    activation: Callable[[Any], Any] | None = None,
) -> list[Any]:
    """A layer of neurons: the list of activation(row . xs + bias) for each row of `rows` and its item of `biases`.

    Without `biases` nothing is added, without `activation` the sums are returned. Each neuron is one `dot` node, in
    which the bias is one more weight, times an input of 1.0; `activation` is applied to it. A ValueError if the length
    of a row differs from that of `xs`, or the number of biases from that of the rows.

    >>> matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, -1.0], biases=[0.5, 0.5])
    [-0.5, -0.5]
    """
    given: Sequence[Any] = _items(rows, "matvec")
    vector, recorder = _items(xs, "matvec"), active_recorder()
    if activation is not None and not callable(activation):
        raise TypeError(f"matvec takes a function of one number as activation, got {activation!r:.60}")
    if biases is not None:
        biases = _items(biases, "matvec")
        if len(biases) != len(given):
            raise ValueError(f"matvec takes one bias for each row, got {len(biases)} for {len(given)} rows")
    neurons = core and core.neurons(p.dot, given, vector, biases)  # None where Python has to do it
    totals = _totals(given, vector, biases) if recorder is LEAVES and neurons is None else None
    if neurons is not None:
        outputs: list[Any] = neurons
    elif totals is not None:
        if isinstance(activation, Primitive):
            return leaves_of(map(activation.compute, totals))
        if any(activation is function for function in _ACTIVATIONS):
            return leaves_of(map(activation, totals))  # type: ignore[arg-type]
        outputs = leaves_of(totals)
    else:
        vector = tuple([float(x) if type(x) is int else x for x in vector])
        right = numbers_of(vector) if recorder is EAGER else None
        if biases is not None:
            given, vector = [(*row, b) for row, b in zip(given, biases, strict=True)], (*vector, 1.0)
            right = right and [*right, 1.0]
        outputs = []
        for row in map(tuple, given):
            if len(row) != len(vector):
                bias = int(biases is not None)  # the last column is the biases'
                got = f"{len(row) - bias} and {len(vector) - bias}"
                raise ValueError(f"matvec takes rows as long as the vector, got {got}")
            left = numbers_of(row) if right and Value in map(type, row) else None
            outputs.append(new_node(p.dot, row + vector, left + right) if left and right else dot(row, vector))
    return outputs if activation is None else list(map(activation, outputs))


@overload
def mean(xs: Iterable[Unannotated]) -> Any: ...
@overload
def mean(xs: Iterable[float]) -> float: ...  # type: ignore[overload-overlap]
@overload
def mean(xs: Iterable[Scalar]) -> Value: ...
def mean(xs: Iterable[Any]) -> Scalar:
    """The arithmetic mean of the list `xs`. A ValueError if it is empty.

    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    items = _not_empty(xs, "mean")
    average: Scalar = sum(items) / len(items)
    return average


@overload
def norm(xs: Iterable[Unannotated]) -> Any: ...
@overload
def norm(xs: Iterable[float]) -> float: ...  # type: ignore[overload-overlap]
@overload
def norm(xs: Iterable[Scalar]) -> Value: ...
def norm(xs: Iterable[Any]) -> Scalar:
    """The Euclidean length of the list `xs`. Its gradient at the origin is 0, as in PyTorch.

    >>> norm([3.0, 4.0])
    5.0
    """
    items = _items(xs, "norm")
    square = dot(items, items)
    length: Scalar = where(square, sqrt(where(square, square, 1.0)), 0.0)
    return length


@overload
def logsumexp(xs: Iterable[Unannotated]) -> Any: ...
@overload
def logsumexp(xs: Iterable[float]) -> float: ...  # type: ignore[overload-overlap]
@overload
def logsumexp(xs: Iterable[Scalar]) -> Value: ...
def logsumexp(xs: Iterable[Any]) -> Scalar:
    """log(exp(x0) + exp(x1) + ...) of the list `xs`, without overflow. A ValueError if it is empty.

    >>> logsumexp([1000.0, 1000.0]) == 1000.0 + math.log(2.0)
    True
    """
    items = _not_empty(xs, "logsumexp")
    peak = p.detach(maximum(minimum(_largest(items), sys.float_info.max), -sys.float_info.max))
    total: Scalar = peak + log(sum([exp(x - peak) for x in items]))
    return total


@overload
def softmax(xs: Iterable[Unannotated]) -> list[Any]: ...
@overload
def softmax(xs: Iterable[float]) -> list[float]: ...  # type: ignore[overload-overlap]
@overload
def softmax(xs: Iterable[Scalar]) -> list[Value]: ...
def softmax(xs: Iterable[Any]) -> Any:
    """The list of exp(x) / (sum of all exp(x)) for the list `xs`, without overflow. A ValueError if it is empty.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    items = _not_empty(xs, "softmax")
    peak = p.detach(_largest(items))
    exps = [exp(x - peak) for x in items]
    total = sum(exps)
    return [e / total for e in exps]


@overload
def log_softmax(xs: Iterable[Unannotated]) -> list[Any]: ...
@overload
def log_softmax(xs: Iterable[float]) -> list[float]: ...  # type: ignore[overload-overlap]
@overload
def log_softmax(xs: Iterable[Scalar]) -> list[Value]: ...
def log_softmax(xs: Iterable[Any]) -> Any:
    """The list of log(softmax(xs)), without overflow, and without log(0) where softmax underflows.

    >>> log_softmax([0.0, -1000.0])
    [0.0, -1000.0]
    """
    items = _not_empty(xs, "log_softmax")
    peak = p.detach(_largest(items))
    shifted = [x - peak for x in items]
    total = log(sum([exp(x) for x in shifted]))
    return [x - total for x in shifted]


@overload
def silu(x: float) -> float: ...
@overload
def silu(x: Value) -> Value: ...
def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish (Ramachandran et al. 2017, arXiv:1710.05941).

    >>> silu(0.0)
    0.0
    """
    return x * sigmoid(x)


@overload
def gelu(x: float, approximate: Literal["none", "tanh"] = "none") -> float: ...
@overload
def gelu(x: Value, approximate: Literal["none", "tanh"] = "none") -> Value: ...
def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Any:
    """x * Phi(x), Phi the cumulative distribution function of the standard normal distribution.

    With `approximate="tanh"` it is the approximation by tanh of Hendrycks and Gimpel (2016, arXiv:1606.08415). Names
    and meaning are PyTorch's.

    >>> print(f"{gelu(1.0):.6f} {gelu(1.0, approximate='tanh'):.6f}")
    0.841345 0.841192
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu takes approximate='none' or 'tanh', got {approximate!r}")
    if approximate == "none":
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


@overload
def elu(x: float, alpha: float = 1.0) -> float: ...
@overload
def elu(x: Value, alpha: float = 1.0) -> Value: ...
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015, arXiv:1511.07289).

    >>> elu(2.0), elu(-1000.0)
    (2.0, -1.0)
    """
    positive = step(x)
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


@overload
def leaky_relu(x: float, negative_slope: float = 0.01) -> float: ...
@overload
def leaky_relu(x: Value, negative_slope: float = 0.01) -> Value: ...
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x for x > 0, else negative_slope * x.

    >>> leaky_relu(2.0), leaky_relu(-2.0)
    (2.0, -0.02)
    """
    return where(step(x), x, negative_slope * x)


_ACTIVATIONS = (silu, gelu, elu, leaky_relu)  # `matvec` may call them on floats


class _Decorator(Protocol):
    """The type of the decorator: it turns a function of floats into a primitive with the same number of arguments."""

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[[float], float], /
    ) -> Unary: ...
    @overload
    def __call__(self, function: Callable[[float, float], float], /) -> Binary: ...
    @overload
    def __call__(self, function: Callable[[float, float, float], float], /) -> Ternary: ...
    @overload
    def __call__(self, function: Callable[..., float], /) -> Primitive: ...


def primitive(partials: Rule) -> _Decorator:
    """Decorate a function of floats to make it a primitive with the derivatives `partials(z, *args)`, a tuple.

    >>> @primitive(partials=lambda z, x: (3 * x**2,))
    ... def cubed(x):
    ...     return x * x * x
    >>> x = Value(2.0)
    >>> cubed(x).backward()
    >>> x.grad
    12.0

    The primitive works in every mode, to any order, if the rule uses autograd_lite's functions, not math's. None in the
    tuple marks an argument that no gradient flows to. On floats the rule gives floats: it may not use a Value from
    outside. `check_grads(cubed, 2.0)` tests the rule.

    A ValueError if the name is taken, unless the same module defines it again. A TypeError at the first use of a rule
    that does not return a tuple with one derivative for each argument.
    """
    if not callable(partials):
        raise TypeError(f"primitive takes partials=a function of (z, *args), got {type(partials).__name__}")

    def decorate(function: Callable[..., float]) -> Any:
        name = getattr(function, "__name__", None)
        if not callable(function) or name is None:
            raise TypeError(f"write @primitive(partials=...) above a function with a name, not above {function!r}")
        row = p.PRIMITIVES.get(name)
        if row is not None and (row in vars(p).values() or row.compute.__module__ != function.__module__):
            raise ValueError(f"a primitive {name!r} exists already: choose another name")

        @wraps(function)
        def compute(*args: float) -> float:
            return p.to_float(function(*args), f"the result of {name}")

        def checked(z: Any, *args: Any) -> tuple[Any, ...]:
            found = partials(z, *args)
            if not isinstance(found, tuple) or len(found) != len(args):
                raise TypeError(f"the partials of {name} must be a tuple of {len(args)}, one per argument, got {found}")
            if all(dx is None or isinstance(dx, float) for dx in found):
                return found
            on_values = any(hasattr(x, "record") for x in (z, *args))  # on floats a rule gives floats
            what = f"the partial of {name}"
            return tuple(
                [dx if dx is None or (on_values and hasattr(dx, "record")) else p.to_float(dx, what) for dx in found]
            )

        op = p.PRIMITIVES[name] = Primitive(name, compute, checked, arity=p.arity_of(function))
        return op

    return decorate


def _totals(rows: Sequence[Any], xs: tuple[Any, ...], biases: Any) -> list[float] | None:
    """The number of each row's dot product with `xs`, plus its bias, in the order in which the `dot` node adds.

    None unless every row is a sequence of Values and floats, with a Value among them, as long as `xs`, and `xs` and
    `biases` are Values and floats.
    """
    right = numbers_of(xs)
    added = [-0.0] * len(rows) if biases is None else numbers_of(biases)
    try:
        if not right or added is None or {*map(len, rows)} != {len(right)}:
            return None
        if not all(type(row[0]) is Value or Value in map(type, row) for row in rows):
            return None
        numbers = numbers_of(tuple(chain.from_iterable(rows)))
    except TypeError:
        return None
    if numbers is None:
        return None
    weights = iter(numbers)
    return [add_up(map(mul, right, weights), -0.0) + b for b in added]


def _items(xs: Any, function: str) -> tuple[Any, ...]:
    """The items of `xs`; a TypeError that names `function` if `xs` is not iterable."""
    if type(xs) is list or isinstance(xs, Iterable):  # isinstance is slow, and `xs` is usually a list
        return tuple(xs)
    raise TypeError(f"{function} takes a list of numbers, got {type(xs).__name__}")


def _not_empty(xs: Any, function: str) -> Sequence[Any]:
    """The items of `xs`; a ValueError that names `function` if there are none."""
    items = _items(xs, function)
    if not items:
        raise ValueError(f"{function} of an empty list")
    return items


def _largest(xs: Sequence[Any]) -> Any:
    """The largest of `xs`: a float, or a Value in a trace, where Values have no numbers."""
    if not active_recorder().symbolic:
        xs = [x.data if isinstance(x, Value) else x for x in xs]
    while len(xs) > 1:  # in pairs, so that a compiled program has few levels
        xs = [*map(maximum, xs[::2], xs[1::2]), *xs[len(xs) // 2 * 2 :]]
    return xs[0]
