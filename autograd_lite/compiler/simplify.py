"""Normalising a graph: additions and products become few large sums of products, which `schedule` makes wide.

Infinities, nans and the signs of zeros stay as they are. The order of additions does not: a chain of additions becomes
one sum over its terms in another order, so the last digits may change, and so may an overflow halfway through a sum
whose total is finite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.rewrite import is_constant, rewrite
from autograd_lite.compiler.trace import Symbol, Trace
from autograd_lite.graph import topological_order

Operand: TypeAlias = Any  # a Symbol, or a float
Term: TypeAlias = tuple[Operand, Operand]  # (x, y) for x * y, (x, None) for x


def simplify(trace: Trace, roots: Sequence[Operand]) -> list[Operand]:
    """`roots` in the normal form that `schedule` expects: nodes of `trace` that give the same numbers.

    An addition absorbs the additions and products that nothing else uses, so that they become one sum of products. In
    it, the terms that all rows share are added up first:

        sum  init, x0, x1, ...              the terms x are all in rows, or all shared
        dot  1, x0, x1, ..., init, y0, ...  the factors x are all in rows or all shared; likewise the factors y

    `detach` is removed: it only affects gradients, which are in the graph already.
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
    """The terms that a linear node or a product adds up."""
    op, args = node.op, node.args
    if op is p.mul:
        return [args]
    if op is p.dot:
        half = len(args) // 2
        return [_without_one(x, y) for x, y in zip(args[:half], args[half:], strict=True)]
    return [(x, None) for x in args]


def _without_one(x: Operand, y: Operand) -> Term:
    return (y, None) if is_constant(x, 1.0) else (x, None) if is_constant(y, 1.0) else (x, y)


def _addends(node: Symbol) -> list[Operand]:
    return [x for x, y in _products(node) if y is None]


def _terms(trace: Trace, root: Symbol, absorbed: set[Operand], new: dict[Any, Operand]) -> list[Term]:
    """The terms of `root` from left to right, with those of the nodes it absorbed, as operands of `new`."""
    terms: list[Term] = []
    stack = _products(root)[::-1]
    while stack:
        x, y = stack.pop()
        if y is None and x in absorbed:
            stack.extend(reversed(_products(x)))
            continue
        x, y = new.get(x, x), new.get(y, y)  # floats are not in `new`
        if y is not None and rewrite(p.mul, (x, y)) is not None:
            x, y = trace.make(p.mul, (x, y)), None
        terms.append((x, y))
    return terms


def _sum_of_products(trace: Trace, terms: list[Term]) -> Operand:
    """The operand for the sum of `terms`, normalised."""
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
