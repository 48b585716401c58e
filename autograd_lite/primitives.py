"""The table of primitives: for each operation its function of floats, and its partial derivatives.

Derivatives are written here and nowhere else. A rule is a function of the result `z` and the arguments, made of ordinary
operators and other primitives. So the same rule runs on floats (`backward`), on Values (gradients that are graphs
themselves) and on traced symbols (the compiler).
"""

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

from autograd_lite import ieee
from autograd_lite.extension import adopt, core
from autograd_lite.ieee import to_float as to_float


class Primitive:
    """A differentiable operation `z = op(x, y, ...)`: a row of the table.

    `compute(*floats) -> float` never raises in the table. `partials(z, *args)` is the tuple of dz/darg, with None for an argument
    that no gradient flows to. `arity` is the number of arguments, None for any number of them.

    `selects`: where a partial is 0 the gradient is dropped, not multiplied, so that 0 * inf does not give nan.
    `commutative`: op(x, y) and op(y, x) are the same to the last bit.
    `factors`: how many arguments make one term of a reduction: 1 for `sum`, 2 for `dot`, 0 for every other operation.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[..., Any],
        partials: Callable[..., tuple[Any, ...]],
        selects: bool = False,
        commutative: bool = False,
        factors: int = 0,
        arity: int | None = 0,
    ) -> None:
        """A row. An `arity` of 0 stands for the number of arguments that the rule `partials` takes beside `z`."""
        self.name, self.compute, self.partials = name, compute, partials
        self.selects, self.commutative, self.factors = selects, commutative, factors
        self.arity = arity if arity != 0 else arity_of(partials, beside=1)
        self.__doc__ = compute.__doc__

    def __call__(self, *args: Any) -> Any:
        """The result for `args`: a float if all are numbers, the recorded Value if one is a Value.

        A TypeError for a wrong number of arguments.
        """
        if len(args) != self.arity and self.arity is not None:
            raise TypeError(f"{self.name} takes {self.arity} argument{'s' * (self.arity > 1)}, got {len(args)}")
        for arg in args:
            if type(arg) is not float and hasattr(arg, "record"):
                return arg.record(self, args)
        return self.compute(*[arg if type(arg) is float else to_float(arg, self.name) for arg in args])

    def __repr__(self) -> str:
        return self.name

    def __deepcopy__(self, memo: Any) -> "Primitive":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A primitive is pickled by its name."""
        if PRIMITIVES.get(self.name) is not self:
            raise TypeError(
                f"{self} cannot be saved, as it was compiled, or defined again: save the leaves, and call the function again"
            )
        return primitive_named, (self.name,)


if core is not None:
    adopt(globals(), "Primitive")


class Result(Primitive):
    """Result `index` of the call `result_of`, which has several results. Each call has operations of its own.

    `partials` differentiates this result alone. `result_of.pull(cotangents, args)` pulls several back at once: from
    pairs of a result's index and its cotangent to a list with the cotangent of each argument, None where it is 0.
    `result_of.push(tangents, args)` goes from pairs of an argument's index and its tangent to the tangents of all
    results; it returns None where the caller has to use `partials`. (In a trace a call is a `Call`: see calls.py.)
    """

    def __init__(
        self, name: str, compute: Callable[..., Any], partials: Callable[..., Any], result_of: Any, index: int
    ) -> None:
        super().__init__(name, compute, partials, arity=None)
        self.result_of, self.index = result_of, index


def primitive_named(name: str) -> Primitive:
    """The primitive of that name; a ValueError if there is none."""
    if name not in PRIMITIVES:
        raise ValueError(f"no primitive is called {name!r} here: import the module that defines it first")
    return PRIMITIVES[name]


def arity_of(function: Callable[..., Any], beside: int = 0) -> int | None:
    """The number of arguments that `function` takes, less `beside`; None if it is not fixed or unknown."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions written in C do not say
        return None
    fixed = all(x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD) and x.default is x.empty for x in parameters)
    return len(parameters) - beside if fixed else None


def _pow_partials(z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    dx, dy = y * pow_(x, y - 1.0), z * log(x)
    regular = step(x) - step(-x)  # 0 where x is 0 or nan, and there d(x**0)/dx is 0
    return where(regular, dx, where(y, dx, 0.0)), where(x, dy, where(step(-y), dy, 0.0))


def _atan2_partials(z: Any, y: Any, x: Any) -> tuple[Any, Any]:
    r = hypot(x, y)
    r = where(r, r, math.inf)  # PyTorch's convention: both derivatives are 0 at the origin
    return div(div(x, r), r), -div(div(y, r), r)


LN2, LN10, SLOPE_OF_ERF = math.log(2.0), math.log(10.0), 2.0 / math.sqrt(math.pi)

# A name ends in _ where Python uses it for something else. At a kink PyTorch's convention holds: relu'(0) = 0,
# abs'(0) = abs'(nan) = 0, a tie of maximum or minimum is split in halves, d(x**0)/dx = 0, and d(0**y)/dy = 0 for y >= 0.
# fmt: off
# Rules use rows that are defined below them: these lines are for type checkers.
cos: Primitive; sin: Primitive; cosh: Primitive; div: Primitive; log: Primitive; pow_const: Primitive  # noqa: E702
hypot: Primitive; floordiv: Primitive; pow_: Primitive; share: Primitive; sigmoid: Primitive; step: Primitive; where: Primitive  # noqa: E702
add       = Primitive("add",       operator.add,   lambda z, x, y: (1.0, 1.0), commutative=True)
sub       = Primitive("sub",       operator.sub,   lambda z, x, y: (1.0, -1.0))
mul       = Primitive("mul",       operator.mul,   lambda z, x, y: (y, x), commutative=True)
div       = Primitive("div",       ieee.div,       lambda z, x, y: (div(1.0, y), -div(z, y)))
mod       = Primitive("mod",       ieee.mod,       lambda z, x, y: (1.0, -floordiv(x, y)))
floordiv  = Primitive("floordiv",  ieee.floordiv,  lambda z, x, y: (None, None))
neg       = Primitive("neg",       operator.neg,   lambda z, x: (-1.0,))
pow_const = Primitive("pow_const", ieee.pow,       lambda z, x, n: (n * pow_const(x, n - 1.0) if n else None, None))
pow_      = Primitive("pow",       ieee.pow,       _pow_partials)
hypot     = Primitive("hypot",     ieee.hypot,     lambda z, x, y: (div(x, z), div(y, z)))
exp       = Primitive("exp",       ieee.exp,       lambda z, x: (z,))
log       = Primitive("log",       ieee.log,       lambda z, x: (div(1.0, x),))
exp2      = Primitive("exp2",      ieee.exp2,      lambda z, x: (z * LN2,))
log2      = Primitive("log2",      ieee.log2,      lambda z, x: (div(1.0, x * LN2),))
log10     = Primitive("log10",     ieee.log10,     lambda z, x: (div(1.0, x * LN10),))
log1p     = Primitive("log1p",     ieee.log1p,     lambda z, x: (div(1.0, 1.0 + x),))
expm1     = Primitive("expm1",     ieee.expm1,     lambda z, x: (exp(x),))
sqrt      = Primitive("sqrt",      ieee.sqrt,      lambda z, x: (div(0.5, z),))
cbrt      = Primitive("cbrt",      ieee.cbrt,      lambda z, x: (div(1.0, 3.0 * z * z),))
sin       = Primitive("sin",       ieee.sin,       lambda z, x: (cos(x),))
cos       = Primitive("cos",       ieee.cos,       lambda z, x: (-sin(x),))
tan       = Primitive("tan",       ieee.tan,       lambda z, x: (1.0 + z * z,))
asin      = Primitive("asin",      ieee.asin,      lambda z, x: (div(1.0, sqrt(1.0 - x * x)),))
acos      = Primitive("acos",      ieee.acos,      lambda z, x: (div(-1.0, sqrt(1.0 - x * x)),))
atan      = Primitive("atan",      ieee.atan,      lambda z, x: (div(1.0, 1.0 + x * x),))
atan2     = Primitive("atan2",     ieee.atan2,     _atan2_partials)
sinh      = Primitive("sinh",      ieee.sinh,      lambda z, x: (cosh(x),))
cosh      = Primitive("cosh",      ieee.cosh,      lambda z, x: (sinh(x),))
tanh      = Primitive("tanh",      ieee.tanh,      lambda z, x: (1.0 - z * z,))
asinh     = Primitive("asinh",     ieee.asinh,     lambda z, x: (div(1.0, hypot(1.0, x)),))
acosh     = Primitive("acosh",     ieee.acosh,     lambda z, x: (div(1.0, sqrt(x - 1.0) * sqrt(x + 1.0)),))
atanh     = Primitive("atanh",     ieee.atanh,     lambda z, x: (div(1.0, (1.0 - x) * (1.0 + x)),))
erf       = Primitive("erf",       ieee.erf,       lambda z, x: (SLOPE_OF_ERF * exp(-x * x),))
sigmoid   = Primitive("sigmoid",   ieee.sigmoid,   lambda z, x: (z * (1.0 - z),))
softplus  = Primitive("softplus",  ieee.softplus,  lambda z, x: (sigmoid(x),))
relu      = Primitive("relu",      ieee.relu,      lambda z, x: (step(x),), selects=True)
step      = Primitive("step",      ieee.step,      lambda z, x: (None,))
sign      = Primitive("sign",      ieee.sign,      lambda z, x: (None,))
abs_      = Primitive("abs",       operator.abs,   lambda z, x: (step(x) - step(-x),))
floor     = Primitive("floor",     ieee.floor,     lambda z, x: (None,))
ceil      = Primitive("ceil",      ieee.ceil,      lambda z, x: (None,))
round_    = Primitive("round",     ieee.round,     lambda z, x: (None,))
maximum   = Primitive("maximum",   ieee.maximum,   lambda z, x, y: (share(x, y), share(y, x)), selects=True)
minimum   = Primitive("minimum",   ieee.minimum,   lambda z, x, y: (share(y, x), share(x, y)), selects=True)
share     = Primitive("share",     ieee.share,     lambda z, x, y: (None, None))
where     = Primitive("where",     ieee.where,     lambda z, c, x, y: (None, where(c, 1.0, 0.0), where(c, 0.0, 1.0)), selects=True)
detach    = Primitive("detach",    operator.pos,   lambda z, x: (None,))
sum_      = Primitive("sum",       ieee.sum,       lambda z, *xs: (1.0,) * len(xs), factors=1)
dot       = Primitive("dot",       ieee.dot,       lambda z, *xy: xy[len(xy) // 2:] + xy[:len(xy) // 2], factors=2)
# fmt: on
PRIMITIVES = {row.name: row for row in list(globals().values()) if isinstance(row, Primitive)}
if core is not None:
    core.register(PRIMITIVES)
