"""Local rewriting: one operation on known operands, as something simpler.

No rule changes an infinity, a nan or the sign of a zero. `_pow_const` may change the last digit, `_add` a number below
the smallest normal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.calls import Call
from autograd_lite.primitives import Primitive

Simpler: TypeAlias = Any  # an operand; or (op, args), in which an argument may be such a pair again; or None


def rewrite(op: Primitive, args: Sequence[Any]) -> Simpler:
    """`op` on `args` as something simpler; None if no rule applies.

    With floats alone the result is the float that `op` computes.
    """
    for x in args:
        if type(x) is not float:
            rule = RULES.get(op)
            return rule.rewrite(*args) if rule is not None else None
    return None if isinstance(op, Call) else op.compute(*args)


def is_constant(x: Any, number: float) -> bool:
    """True if the operand `x` is the float `number`, with the same sign if that is a zero."""
    return type(x) is float and x == number and math.copysign(1.0, x) == math.copysign(1.0, number)


def _negated(x: Any) -> bool:
    """True if the operand `x` is the negative of another one."""
    return type(x) is not float and x.op is p.neg


def _negative(x: Any) -> Any:
    """The negative of a float, or of a Symbol that is `_negated`."""
    return -x if type(x) is float else x.args[0]


def _float_first(x: Any, y: Any) -> tuple[Any, Any]:
    """The two operands; if one of them is a float, that one first."""
    return (x, y) if type(x) is float else (y, x)


# The rules. `c` is a float; `x` and `y` are operands; at least one of them is a Symbol.


def _add(x: Any, y: Any) -> Simpler:
    """x + -0.0 = x; c*x + c*x = 2c*x; x + -y = x - y."""
    c, other = _float_first(x, y)
    if is_constant(c, -0.0):  # 0.0 is not neutral: -0.0 + 0.0 = 0.0
        return other
    if x is y and x.op is p.mul and type(x.args[0]) is float and math.isfinite(2.0 * x.args[0]):
        return p.mul, (2.0 * x.args[0], x.args[1])
    return (p.sub, (x, y.args[0])) if _negated(y) else (p.sub, (y, x.args[0])) if _negated(x) else None


def _sub(x: Any, y: Any) -> Simpler:
    """x - -y = x + y; x - 0.0 = x; -0.0 - y = -y."""
    if _negated(y):
        return p.add, (x, y.args[0])
    return x if is_constant(y, 0.0) else (p.neg, (y,)) if is_constant(x, -0.0) else None


def _mul(x: Any, y: Any) -> Simpler:
    """c * -x = -c * x; c * (x + x) = 2c * x; 1 * x = x; -1 * x = -x; -x * -y = x * y.

    And step(x) * where(step(x), y, c) = where(step(x), y, 0 * c).
    """
    if type(x) is float or type(y) is float:
        c, other = _float_first(x, y)
        op = other.op
        if op is p.neg:
            return p.mul, (-c, other.args[0])
        if op is p.add and abs(c) >= 1.0:  # for a smaller c, x + x may be infinite where 2 c x is not
            first, second = other.args
            if first is second and math.isfinite(2.0 * c):
                return p.mul, (2.0 * c, first)
        return other if c == 1.0 else (p.neg, (other,)) if c == -1.0 else None  # 0 * x is nan where x is infinite
    ops = x.op, y.op
    if ops == (p.neg, p.neg):
        return p.mul, (x.args[0], y.args[0])
    if p.step in ops and p.where in ops:
        c, other = (x, y) if x.op is p.step else (y, x)
        condition, if_true, if_false = other.args
        if c is condition and type(if_false) is float:  # the condition is 1 or 0
            return p.where, (c, if_true, if_false * 0.0)
    return None


def _div(x: Any, y: Any) -> Simpler:
    """c / -y = -c / y; -x / -y = x / y; -x / c = x / -c; x / 2**n = x * 2**-n."""
    if _negated(y) and (type(x) is float or x.op is p.neg):
        return p.div, (_negative(x), y.args[0])
    if _negated(x) and type(y) is float:
        return p.div, (x.args[0], -y)
    exact = type(y) is float and abs(math.frexp(y)[0]) == 0.5 and 2.0**-1000 < abs(y) < 2.0**1000  # a power of two
    return (p.mul, (x, 1.0 / y)) if exact else None


def _pow_const(x: Any, n: Any) -> Simpler:
    """x**-1 = 1/x; x**0 = 1; x**1 = x; x**2 = x*x; x**3 = x*(x*x)."""
    return {
        -1.0: (p.div, (1.0, x)),
        0.0: 1.0,
        1.0: x,
        2.0: (p.mul, (x, x)),
        3.0: (p.mul, (x, (p.mul, (x, x)))),
    }.get(n)


def _neg(x: Any) -> Simpler:
    """-(c*x) = -c * x; --x = x."""
    if x.op is p.mul and type(x.args[0]) is float:
        return p.mul, (-x.args[0], x.args[1])
    return x.args[0] if x.op is p.neg else None


def _where(c: Any, x: Any, y: Any) -> Simpler:
    """A constant condition; equal results; a condition that is itself a choice between zero and a constant."""
    if type(c) is float:
        return x if c else y
    if x is y:
        return x
    if c.op is p.where and type(c.args[1]) is float and type(c.args[2]) is float:
        condition, if_true, if_false = c.args
        if bool(if_true) != bool(if_false):
            return p.where, ((condition, x, y) if if_true else (condition, y, x))
    return None


class Rule(NamedTuple):
    """How operations of one primitive are rewritten, and what `rewrite` looks for among the operands.

    `rewrite` returns None unless an operand is one of `numbers` (0.0 includes -0.0) or the result of one of
    `primitives`, and the C core calls it for such operands only. If `numbers` or `primitives` is None, it is called for
    all operands.
    """

    rewrite: Callable[..., Simpler]
    numbers: tuple[float, ...] | None = None
    primitives: tuple[Primitive, ...] | None = None


# fmt: off
RULES: dict[Primitive, Rule] = {
    p.add:       Rule(_add, numbers=(0.0,), primitives=(p.neg, p.mul)),
    p.sub:       Rule(_sub, numbers=(0.0,), primitives=(p.neg,)),
    p.mul:       Rule(_mul, numbers=(1.0, -1.0), primitives=(p.neg, p.add, p.where)),
    p.div:       Rule(_div),
    p.pow_const: Rule(_pow_const, numbers=(-1.0, 0.0, 1.0, 2.0, 3.0), primitives=()),
    p.neg:       Rule(_neg, numbers=(), primitives=(p.neg, p.mul)),
    p.where:     Rule(_where),
}
# fmt: on
