"""The table of primitives: each one's number from numbers, and its partial derivatives.

Here alone derivatives are written. A rule is a function of the result `z` and the arguments, in ordinary operators and
other primitives, so that it runs on floats (`backward`), on Values (gradients that are graphs), and on traced symbols.
"""

import operator
from collections.abc import Callable
from typing import Any

from autograd_lite import ieee
from autograd_lite.ieee import to_float as to_float


class Primitive:
    """A differentiable operation `z = op(x, y, ...)`.

    `compute(*floats) -> float` never raises; `partials(z, *args)` is the tuple of dz/darg, with None where nothing flows.
    Through one that `selects` nothing passes where a partial is 0, not even `0 * inf`.
    """

    def __init__(
        self, name: str, compute: Callable[..., float], partials: Callable[..., tuple[Any, ...]], selects: bool = False
    ) -> None:
        self.name, self.compute, self.partials, self.selects = name, compute, partials, selects
        self.__doc__ = compute.__doc__

    def __call__(self, *args: Any) -> Any:
        """A float of real numbers; where any of `args` is a Value, what that records."""
        for arg in args:
            if type(arg) is not float and hasattr(arg, "record"):
                return arg.record(self, args)
        return self.compute(*[arg if type(arg) is float else to_float(arg, self.name) for arg in args])

    def __repr__(self) -> str:
        return self.name


def _pow_partials(z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    dx, dy = y * pow_(x, y - 1.0), z * log(x)
    return where(x, dx, where(y, dx, 0.0)), where(x, dy, where(step(-y), dy, 0.0))


# A name ends in _ where Python has it already. At a kink PyTorch's convention holds: relu'(0) = 0, abs'(0) = 0, a tie
# of maximum or minimum is split in halves, d(x**0)/dx = 0, and d(0**y)/dy = 0 for y >= 0.
# fmt: off
cos: Primitive; sin: Primitive; cosh: Primitive; div: Primitive; log: Primitive; pow_const: Primitive  # noqa: E702
pow_: Primitive; share: Primitive; sigmoid: Primitive; sign: Primitive; step: Primitive; where: Primitive  # noqa: E702
add       = Primitive("add",       operator.add,   lambda z, x, y: (1.0, 1.0))
sub       = Primitive("sub",       operator.sub,   lambda z, x, y: (1.0, -1.0))
mul       = Primitive("mul",       operator.mul,   lambda z, x, y: (y, x))
div       = Primitive("div",       ieee.div,       lambda z, x, y: (div(1.0, y), -div(z, y)))
neg       = Primitive("neg",       operator.neg,   lambda z, x: (-1.0,))
pow_const = Primitive("pow_const", ieee.pow,       lambda z, x, n: (n * pow_const(x, n - 1.0) if n else None, None))
pow_      = Primitive("pow",       ieee.pow,       _pow_partials)
exp       = Primitive("exp",       ieee.exp,       lambda z, x: (z,))
log       = Primitive("log",       ieee.log,       lambda z, x: (div(1.0, x),))
log1p     = Primitive("log1p",     ieee.log1p,     lambda z, x: (div(1.0, 1.0 + x),))
expm1     = Primitive("expm1",     ieee.expm1,     lambda z, x: (exp(x),))
sqrt      = Primitive("sqrt",      ieee.sqrt,      lambda z, x: (div(0.5, z),))
sin       = Primitive("sin",       ieee.sin,       lambda z, x: (cos(x),))
cos       = Primitive("cos",       ieee.cos,       lambda z, x: (-sin(x),))
tan       = Primitive("tan",       ieee.tan,       lambda z, x: (1.0 + z * z,))
asin      = Primitive("asin",      ieee.asin,      lambda z, x: (div(1.0, sqrt(1.0 - x * x)),))
acos      = Primitive("acos",      ieee.acos,      lambda z, x: (div(-1.0, sqrt(1.0 - x * x)),))
atan      = Primitive("atan",      ieee.atan,      lambda z, x: (div(1.0, 1.0 + x * x),))
sinh      = Primitive("sinh",      ieee.sinh,      lambda z, x: (cosh(x),))
cosh      = Primitive("cosh",      ieee.cosh,      lambda z, x: (sinh(x),))
tanh      = Primitive("tanh",      ieee.tanh,      lambda z, x: (1.0 - z * z,))
sigmoid   = Primitive("sigmoid",   ieee.sigmoid,   lambda z, x: (z * (1.0 - z),))
softplus  = Primitive("softplus",  ieee.softplus,  lambda z, x: (sigmoid(x),))
relu      = Primitive("relu",      ieee.relu,      lambda z, x: (step(x),), selects=True)
step      = Primitive("step",      ieee.step,      lambda z, x: (None,))
sign      = Primitive("sign",      ieee.sign,      lambda z, x: (None,))
abs_      = Primitive("abs",       operator.abs,   lambda z, x: (sign(x),))
maximum   = Primitive("maximum",   ieee.maximum,   lambda z, x, y: (share(x, y), share(y, x)), selects=True)
minimum   = Primitive("minimum",   ieee.minimum,   lambda z, x, y: (share(y, x), share(x, y)), selects=True)
share     = Primitive("share",     ieee.share,     lambda z, x, y: (None, None))
where     = Primitive("where",     ieee.where,     lambda z, c, x, y: (None, where(c, 1.0, 0.0), where(c, 0.0, 1.0)), selects=True)
detach    = Primitive("detach",    operator.pos,   lambda z, x: (None,))
sum_      = Primitive("sum",       ieee.sum,       lambda z, *xs: (1.0,) * len(xs))
dot       = Primitive("dot",       ieee.dot,       lambda z, *xy: xy[len(xy) // 2:] + xy[:len(xy) // 2])
# fmt: on
PRIMITIVES = {row.name: row for row in list(globals().values()) if isinstance(row, Primitive)}
