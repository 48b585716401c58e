"""Simplifying a graph, with nothing that would change an infinity, a NaN or the sign of a zero.

But for one thing: a chain of additions becomes one sum, whose terms are added up in another order. What rounding takes
from it may differ, and so may where it overflows, if it does before its end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive

if TYPE_CHECKING:
    from autograd_lite.compiler.trace import Symbol, Trace

Simpler: TypeAlias = Any  # an operand, or (op, args) of which each arg may be such a pair again, or None
Operand: TypeAlias = Any  # a Symbol, or a float
Term: TypeAlias = tuple[Operand, Operand]  # x or, where y is not None, x * y


# --- One operation -----------------------------------------------------------------------------------------------


def rewrite(op: Primitive, args: tuple[Any, ...]) -> Simpler:
    """What `op` on `args` is for every number, if it is something simpler; None if it is not."""
    for x in args:
        if type(x) is not float:
            rule = RULES.get(op)
            return rule(*args) if rule is not None else None
    return op.compute(*args)


def _is(x: Any, number: float) -> bool:
    return type(x) is float and x == number and math.copysign(1.0, x) == math.copysign(1.0, number)


def _add(x: Any, y: Any) -> Simpler:
    return y if _is(x, -0.0) else x if _is(y, -0.0) else None  # 0.0 is not neutral: -0.0 + 0.0 = 0.0


def _sub(x: Any, y: Any) -> Simpler:
    if type(y) is not float and y.op is p.neg:
        return p.add, (x, y.args[0])
    return x if _is(y, 0.0) else (p.neg, (y,)) if _is(x, -0.0) else None


def _mul(x: Any, y: Any) -> Simpler:
    for c, other in ((x, y), (y, x)):
        if _is(c, 1.0):
            return other
        if _is(c, -1.0):
            return p.neg, (other,)
        if type(c) is not float and type(other) is not float and other.op is p.where:
            condition, if_true, if_false = other.args
            if c is condition and c.op is p.step and type(if_false) is float:  # the condition is 1 or 0
                return p.where, (c, if_true, if_false * 0.0)
    return None  # 0 * x stays: it is NaN where x is infinite


def _div(x: Any, y: Any) -> Simpler:
    exact = type(y) is float and abs(math.frexp(y)[0]) == 0.5 and 2.0**-1000 < abs(y) < 2.0**1000  # a power of two
    return (p.mul, (x, 1.0 / y)) if exact else None


def _pow_const(x: Any, n: Any) -> Simpler:
    return {
        -1.0: (p.div, (1.0, x)),
        0.0: 1.0,
        1.0: x,
        2.0: (p.mul, (x, x)),
        3.0: (p.mul, (x, (p.mul, (x, x)))),
    }.get(n)


def _neg(x: Any) -> Simpler:
    return x.args[0] if x.op is p.neg else None


def _where(c: Any, x: Any, y: Any) -> Simpler:
    if type(c) is float:
        return x if c else y
    if x is y:
        return x
    if c.op is p.where and type(c.args[1]) is float and type(c.args[2]) is float:
        condition, if_true, if_false = c.args
        if bool(if_true) != bool(if_false):
            return p.where, ((condition, x, y) if if_true else (condition, y, x))
    return None


RULES: dict[Primitive, Callable[..., Simpler]] = {
    p.add: _add,
    p.sub: _sub,
    p.mul: _mul,
    p.div: _div,
    p.pow_const: _pow_const,
    p.neg: _neg,
    p.where: _where,
}


# --- The whole graph ---------------------------------------------------------------------------------------------


def simplify(trace: Trace, roots: Sequence[Operand]) -> list[Operand]:
    """The same numbers from a graph in normal form, made in `trace`: what schedule.py expects.

    Additions and products that only one other addition uses become one sum of products with it, in which what all rows
    share is added up first:

        sum  init, x0, x1, ...              the terms x all in rows, or all shared
        dot  1, x0, x1, ..., init, y0, ...  the factors x all shared or all in rows, and so the factors y

    `detach` is gone: it matters to gradients only, and they are in the graph by now.
    """
    order = topological_order(*[x for x in roots if type(x) is not float])
    uses = Counter(x for x in roots if type(x) is not float)
    for node in order:
        uses.update([x for x in node.args if type(x) is not float])
    absorbed = {
        x
        for node in order
        if node.op in _LINEAR
        for x in _addends(node)
        if type(x) is not float and uses[x] == 1 and (x.op in _LINEAR or x.op is p.mul)
    }
    new: dict[Any, Operand] = {}
    for node in order:
        if node.op is None:
            new[node] = node
        elif node not in absorbed:
            if node.op in _LINEAR:
                new[node] = _sum_of_products(trace, _terms(trace, node, absorbed, new))
            elif node.op is p.detach:
                new[node] = new[node.args[0]]
            else:
                new[node] = trace.make(node.op, tuple([x if type(x) is float else new[x] for x in node.args]))
    return [x if type(x) is float else new[x] for x in roots]


_LINEAR = {p.add, p.sum_, p.dot}  # not sub and neg: x - (y - z) is not x - y + z where that rounds to another zero


def _products(node: Symbol) -> list[Term]:
    """A linear node (or a product) as the terms it adds up."""
    op, args = node.op, node.args
    if op is p.mul:
        return [args]
    if op is p.dot:
        half = len(args) // 2
        return [_without_one(x, y) for x, y in zip(args[:half], args[half:], strict=True)]
    return [(x, None) for x in args]


def _without_one(x: Operand, y: Operand) -> Term:
    return (y, None) if _is(x, 1.0) else (x, None) if _is(y, 1.0) else (x, y)


def _addends(node: Symbol) -> list[Operand]:
    return [x for x, y in _products(node) if y is None]


def _terms(trace: Trace, root: Symbol, absorbed: set[Operand], new: dict[Any, Operand]) -> list[Term]:
    """The terms of `root`, those of the nodes absorbed into it included, from left to right, in operands of `new`."""
    terms: list[Term] = []
    stack = _products(root)[::-1]
    while stack:
        x, y = stack.pop()
        if y is None and x in absorbed:
            stack.extend(reversed(_products(x)))
            continue
        x, y = new.get(x, x), new.get(y, y)  # a float is its own
        if y is not None and rewrite(p.mul, (x, y)) is not None:
            x, y = trace.make(p.mul, (x, y)), None
        terms.append((x, y))
    return terms


def _sum_of_products(trace: Trace, terms: list[Term]) -> Operand:
    """The sum of x, or x * y where y is not None, over `terms`."""
    rows = [(x, y) for x, y in terms if _row(x) or _row(y)]
    if rows and len(rows) < len(terms):
        shared = [(x, y) for x, y in terms if not (_row(x) or _row(y))]
        terms = [(_sum_of_products(trace, shared), None), *rows]
    plain = [x for x, y in terms if y is None]
    pairs = [trace.ordered(x, y) for x, y in terms if y is not None]
    if len(pairs) == 1 and not plain:
        return trace.make(p.mul, pairs[0])
    z = plain[0] if plain else -0.0
    if len(plain) > 1:
        z = trace.make(p.sum_ if len(plain) > 2 else p.add, tuple(plain))
    for kind in ((False, False), (False, True), (True, True)):
        chosen = [pair for pair in pairs if (_row(pair[0]), _row(pair[1])) == kind]
        if chosen:
            xs, ys = zip(*chosen, strict=True)
            z = trace.make(p.dot, (1.0, *xs, z, *ys))
    return z


def _row(x: Any) -> bool:
    return x is not None and type(x) is not float and x.row
