"""Functions of floats with the results of IEEE 754, where Python's `math` raises. Imports nothing else of the package.

No arithmetic function here raises an error or gives a complex number. Where an argument is nan the result is nan, with
these exceptions: nan**0, 1**nan, step(nan) and share with a nan are 1, hypot(inf, nan) is inf, and where(c, x, y) is x
or y.
"""

import builtins
import math
import operator
import sys
from collections.abc import Callable, Iterable
from functools import reduce
from math import inf, nan
from numbers import Real
from typing import Any


def to_float(x: Any, what: str) -> float:
    """`x` as a Python float, inf beyond the largest; a TypeError that names `what` if `x` is not a real number."""
    if type(x) is int or isinstance(x, Real) or type(x).__name__ in ("bool", "bool_"):  # NumPy's bool is not a Real
        try:
            return float(x)
        except OverflowError:  # beyond the largest float
            large: Any = x
            return inf if large > 0 else -inf
    remedy = "use its .data" if hasattr(x, "record") else "convert it with float(), or take its elements one by one"
    shown = repr(x) if isinstance(x, str) else " ".join(str(x).split())
    raise TypeError(f"{what} takes real numbers, got {type(x).__name__} {shown:.60}: {remedy}")


def _total(function: Callable[[float], float], pole: float | None = None) -> Callable[[float], float]:
    """`function`, but -inf at `pole`, nan outside its domain, and an infinity of the sign of x if it overflows."""

    def compute(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return -inf if x == pole else nan
        except OverflowError:
            return math.copysign(inf, x)

    compute.__doc__ = function.__doc__
    return compute


exp, expm1, log, log1p = _total(math.exp), _total(math.expm1), _total(math.log, 0.0), _total(math.log1p, -1.0)
sqrt, sin, cos, tan = _total(math.sqrt), _total(math.sin), _total(math.cos), _total(math.tan)
asin, acos, atan, atan2, hypot = _total(math.asin), _total(math.acos), math.atan, math.atan2, math.hypot
sinh, tanh, _cosh = _total(math.sinh), math.tanh, _total(math.cosh)
asinh, acosh, erf = math.asinh, _total(math.acosh), math.erf
exp2, log2, log10, cbrt = _total(math.exp2), _total(math.log2, 0.0), _total(math.log10, 0.0), math.cbrt


def cosh(x: float) -> float:
    """The hyperbolic cosine; inf if it overflows, for negative x too."""
    return _cosh(abs(x))


def atanh(x: float) -> float:
    """The inverse hyperbolic tangent; inf at 1, -inf at -1, nan beyond."""
    return math.atanh(x) if abs(x) < 1.0 else math.copysign(inf, x) if abs(x) == 1.0 else nan


def floor(x: float) -> float:
    """The largest whole number that is at most x."""
    return math.copysign(math.floor(x), x) if math.isfinite(x) else x


def ceil(x: float) -> float:
    """The smallest whole number that is at least x."""
    return math.copysign(math.ceil(x), x) if math.isfinite(x) else x


def round(x: float) -> float:
    """The nearest whole number; of two equally near, the even one."""
    return math.copysign(builtins.round(x), x) if math.isfinite(x) else x


def mod(x: float, y: float) -> float:
    """x - y * floor(x / y), the remainder with the sign of y, as Python's %; nan for y = 0."""
    try:
        return x % y
    except ZeroDivisionError:
        return nan


def floordiv(x: float, y: float) -> float:
    """floor(x / y), as Python's //; x / y for y = 0."""
    try:
        return x // y
    except ZeroDivisionError:
        return div(x, y)


def div(x: float, y: float) -> float:
    """x / y; for y = 0 an infinity, negative if the signs of x and y differ, and nan for 0/0."""
    try:
        return x / y
    except ZeroDivisionError:
        return math.copysign(inf, x) * math.copysign(1.0, y) if x and x == x else nan


def pow(x: float, y: float) -> float:
    """x ** y; nan if x < 0 and y is not whole, an infinity for 0 to a negative power and for overflow."""
    try:
        return math.pow(x, y)
    except (ValueError, OverflowError):
        if x < 0 and y % 1:
            return nan
        return -inf if math.copysign(1.0, x) < 0 and y % 2 == 1 else inf


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), computed without overflow."""
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


def softplus(x: float) -> float:
    """log(1 + exp(x)), computed without overflow."""
    return relu(x) + math.log1p(math.exp(-abs(x)))


def relu(x: float) -> float:
    """The larger of x and 0. It is 0.0 at -0.0, as in JAX; PyTorch keeps the sign of that zero."""
    return 0.0 if x <= 0 else x


def step(x: float) -> float:
    """0 for x <= 0, else 1. It is 1 at nan, as PyTorch's derivative of relu is."""
    return 0.0 if x <= 0 else 1.0


def sign(x: float) -> float:
    """1 for x > 0, -1 for x < 0, else x itself: a zero or nan."""
    return 1.0 if x > 0 else -1.0 if x < 0 else x


def maximum(x: float, y: float) -> float:
    """The larger of x and y; nan if either is nan."""
    return x if x > y or x != x else y


def minimum(x: float, y: float) -> float:
    """The smaller of x and y; nan if either is nan."""
    return x if x < y or x != x else y


def share(x: float, y: float) -> float:
    """d maximum(x, y)/dx: 1 for x > y, 0 for x < y, 1/2 for x = y. 1 if either is nan, as in PyTorch."""
    return 0.5 if x == y else 0.0 if x < y else 1.0


def where(c: float, x: float, y: float) -> float:
    """x if c is not 0, else y. A nan in c counts as not 0."""
    return x if c else y


def _added(xs: Iterable[float], start: float) -> float:
    """`start` + x0 + x1 + ... from the left, as every backend adds. Python's own sum compensates since 3.12."""
    return reduce(operator.add, xs, start)


add_up = builtins.sum if sys.version_info < (3, 12) else _added


def sum(*xs: float) -> float:
    """x0 + x1 + ..., from the left."""
    return add_up(xs, -0.0)


def dot(*xy: float) -> float:
    """x0*y0 + x1*y1 + ..., from the left. The arguments are all x, then all y."""
    n = len(xy) // 2
    return add_up(map(operator.mul, xy[:n], xy[n:]), -0.0)
