"""The table of primitives: each one's number from numbers, and its partial derivatives. Imports nothing of ours.

This is the only place where a derivative is written. A rule is a function of the result `z` and the arguments,
in ordinary operators and other primitives, so that one rule runs on floats (`backward`), on Values (gradients
that are graphs, hence any order), forwards (`jvp`), and on traced symbols inside the compiler.
"""

import math
import operator
from collections.abc import Callable
from math import inf, nan
from numbers import Real
from typing import Any


class Primitive:
    """A differentiable operation `z = op(x, y, ...)`.

    `compute(*floats) -> float` follows IEEE 754 and never raises; `partials(z, *args)` is the tuple of dz/darg, with
    None for an argument through which nothing flows. One that `selects` hands each argument's derivative on or holds
    it back: where its partial is 0 nothing passes, not even `0 * inf`. Calling the primitive takes real numbers
    and gives a float, or takes at least one recorder of operations (a Value) and gives what that records.
    """

    __slots__ = ("compute", "name", "partials", "selects")

    def __init__(
        self, name: str, compute: Callable[..., float], partials: Callable[..., tuple[Any, ...]], selects: bool = False
    ) -> None:
        self.name, self.compute, self.partials, self.selects = name, compute, partials, selects

    def __call__(self, *args: Any) -> Any:
        for arg in args:
            if type(arg) is not float:
                break
        else:
            return self.compute(*args)
        recorder = next((arg for arg in args if hasattr(arg, "record")), None)
        if recorder is not None:
            return recorder.record(self, args)
        return self.compute(*[to_float(arg, self.name) for arg in args])

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.name,)


def _named(name: str) -> Primitive:
    if name not in PRIMITIVES:
        raise ValueError(f"no primitive is called {name!r} here: import the module that defines it first")
    return PRIMITIVES[name]


def to_float(x: Any, what: str) -> float:
    """`x` as a Python float; a TypeError that names `what` if `x` is not a real number."""
    if isinstance(x, Real) or type(x).__name__ in ("bool", "bool_"):  # NumPy's bool is no Real
        return float(x)
    hint = "; use its .data or .detach()" if hasattr(x, "record") else ""
    raise TypeError(f"{what} takes real numbers, got {type(x).__name__} {str(x)[:60]!r}{hint}")


def _ieee(function: Callable[[float], float], pole: float | None = None) -> Callable[[float], float]:
    """`function` with the results of IEEE 754 where Python's `math` raises: -inf at `pole`, nan outside the domain."""

    def compute(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return -inf if x == pole else nan
        except OverflowError:
            return math.copysign(inf, x)

    return compute


def _div(x: float, y: float) -> float:
    try:
        return x / y
    except ZeroDivisionError:
        return math.copysign(inf, x) * math.copysign(1.0, y) if x and x == x else nan


def _pow(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except (ValueError, OverflowError):  # 0**-1, (-1)**0.5, 1e300**2
        return (-inf if math.copysign(1.0, x) < 0 and y % 2 == 1 else inf) if x == 0 or y % 1 == 0 or x > 0 else nan


def _sigmoid(x: float) -> float:
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


def _softplus(x: float) -> float:
    return _relu(x) + math.log1p(math.exp(-abs(x)))


def _relu(x: float) -> float:
    return 0.0 if x <= 0 else x


def _dot(*xy: float) -> float:
    return sum(map(operator.mul, xy[: len(xy) // 2], xy[len(xy) // 2 :]), -0.0)


def _pow_partials(z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    dx, dy = y * pow_(x, y - 1.0), z * log(x)
    return where(x, dx, where(y, dx, 0.0)), where(x, dy, where(step(-y), dy, 0.0))


# A name ends in _ where Python has it already. At a kink PyTorch's convention holds: relu'(0) = 0, abs'(0) = 0, a tie
# of maximum or minimum is split in halves, d(x**0)/dx = 0, and d(0**y)/dy = 0 for y >= 0.
# fmt: off
add       = Primitive("add",       operator.add,                            lambda z, x, y: (1.0, 1.0))
sub       = Primitive("sub",       operator.sub,                            lambda z, x, y: (1.0, -1.0))
mul       = Primitive("mul",       operator.mul,                            lambda z, x, y: (y, x))
div       = Primitive("div",       _div,                                    lambda z, x, y: (div(1.0, y), -div(z, y)))
neg       = Primitive("neg",       operator.neg,                            lambda z, x: (-1.0,))
pow_const = Primitive("pow_const", _pow,                                    lambda z, x, n: (n * pow_const(x, n - 1.0) if n else None, None))
pow_      = Primitive("pow",       _pow,                                    _pow_partials)
exp       = Primitive("exp",       _ieee(math.exp),                         lambda z, x: (z,))
log       = Primitive("log",       _ieee(math.log, pole=0.0),               lambda z, x: (div(1.0, x),))
log1p     = Primitive("log1p",     _ieee(math.log1p, pole=-1.0),            lambda z, x: (div(1.0, 1.0 + x),))
expm1     = Primitive("expm1",     _ieee(math.expm1),                       lambda z, x: (z + 1.0,))
sqrt      = Primitive("sqrt",      _ieee(math.sqrt),                        lambda z, x: (div(0.5, z),))
sin       = Primitive("sin",       _ieee(math.sin),                         lambda z, x: (cos(x),))
cos       = Primitive("cos",       _ieee(math.cos),                         lambda z, x: (-sin(x),))
tan       = Primitive("tan",       _ieee(math.tan),                         lambda z, x: (1.0 + z * z,))
asin      = Primitive("asin",      _ieee(math.asin),                        lambda z, x: (div(1.0, sqrt(1.0 - x * x)),))
acos      = Primitive("acos",      _ieee(math.acos),                        lambda z, x: (div(-1.0, sqrt(1.0 - x * x)),))
atan      = Primitive("atan",      math.atan,                               lambda z, x: (div(1.0, 1.0 + x * x),))
sinh      = Primitive("sinh",      _ieee(math.sinh),                        lambda z, x: (cosh(x),))
cosh      = Primitive("cosh",      lambda x: _ieee(math.cosh)(abs(x)),      lambda z, x: (sinh(x),))
tanh      = Primitive("tanh",      math.tanh,                               lambda z, x: (1.0 - z * z,))
sigmoid   = Primitive("sigmoid",   _sigmoid,                                lambda z, x: (z * (1.0 - z),))
softplus  = Primitive("softplus",  _softplus,                               lambda z, x: (sigmoid(x),))
relu      = Primitive("relu",      _relu,                                   lambda z, x: (where(step(x), 1.0, 0.0),), selects=True)
step      = Primitive("step",      lambda x: 1.0 if x > 0 else x - x if x != x else 0.0,  lambda z, x: (None,))
sign      = Primitive("sign",      lambda x: 1.0 if x > 0 else -1.0 if x < 0 else x,      lambda z, x: (None,))
abs_      = Primitive("abs",       abs,                                     lambda z, x: (sign(x),))
maximum   = Primitive("maximum",   lambda x, y: x if x > y or x != x else y,  lambda z, x, y: (share(x, y), share(y, x)), selects=True)
minimum   = Primitive("minimum",   lambda x, y: x if x < y or x != x else y,  lambda z, x, y: (share(y, x), share(x, y)), selects=True)
share     = Primitive("share",     lambda x, y: 0.5 if x == y else 0.0 if x < y else 1.0, lambda z, x, y: (None, None))
where     = Primitive("where",     lambda c, x, y: x if c else y,           lambda z, c, x, y: (None, where(c, 1.0, 0.0), where(c, 0.0, 1.0)), selects=True)
detach    = Primitive("detach",    float,                                   lambda z, x: (None,))
sum_      = Primitive("sum",       lambda *xs: sum(xs, -0.0),               lambda z, *xs: (1.0,) * len(xs))
dot       = Primitive("dot",       _dot,                                    lambda z, *xy: xy[len(xy) // 2:] + xy[:len(xy) // 2])
# fmt: on
PRIMITIVES = {row.name: row for row in list(globals().values()) if isinstance(row, Primitive)}
