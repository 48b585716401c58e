"""Normalising a graph: additions and products become few large sums of products, which `schedule` makes wide.

Infinities, nans and the signs of zeros stay as they are. The order of additions does not: a chain of additions becomes
one sum over its terms in another order, so the last digits may change, and so may an overflow halfway through a sum
whose total is finite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.rewrite import is_constant, rewrite
from autograd_lite.compiler.sides import without_answered
from autograd_lite.compiler.trace import Operand, Symbol, Trace, order_of, ordered
from autograd_lite.extension import core
from autograd_lite.primitives import Primitive

Term: TypeAlias = tuple[Operand, Operand]  # (x, y) for x * y, (x, None) for x


def simplify(trace: Trace, roots: Sequence[Operand]) -> list[Operand]:
    """`roots` in the normal form that `schedule` expects: nodes of `trace` that give the same numbers.

    An addition absorbs the additions and products that nothing else uses, so that they become one sum of products. In
    it, the terms that all rows share are added up first:

        sum  init, x0, x1, ...              the terms x are all in rows, or all shared
        dot  1, x0, x1, ..., init, y0, ...  the factors x are all in rows or all shared; likewise the factors y

    `detach` is removed: it only affects gradients, which are in the graph already. So is a `where` that is used on a
    side of its own condition only.
    """
    roots = without_answered(trace, order_of(roots), roots)
    found: list[Operand] | None = core.simplify(trace, roots) if core is not None else None
    return simplify_in_python(trace, roots) if found is None else found


def leaves_by_use(normal: Sequence[Operand], roots: Sequence[Operand]) -> list[Symbol]:
    """The leaves under `roots`, in the order of their first use in the graph of `normal`, the normal form of `roots`.

    So numbers that are used together, such as the weights of a neuron, follow one another. Leaves that only the graph
    of `roots` has come last: derivatives may use them.
    """
    of_normal, of_roots = (order_of(xs) for xs in (normal, roots))
    used = dict.fromkeys([*[x for node in of_normal for x in node.args], *normal, *of_roots])
    return [x for x in used if type(x) is not float and x.op is None]


def simplify_in_python(trace: Trace, roots: Sequence[Operand]) -> list[Operand]:
    """`simplify` in Python. The C core (_core_simplify.h) does the same faster, for a graph of one trace."""
    order = order_of(roots)
    uses = Counter([x for node in order for x in node.args if type(x) is not float])
    uses.update([x for x in roots if type(x) is not float])
    absorbed = set()
    for node in order:
        if _is_sum(node.op):
            for x in _addends(node):
                if type(x) is not float and uses[x] == 1 and (x.op is p.mul or _is_sum(x.op)):
                    absorbed.add(x)
    new: dict[Any, Operand] = {}
    changed: set[Symbol] = set()  # nodes that are not their own normal form
    for node in order:
        op, args = node.op, node.args
        if node in absorbed:
            continue
        if op is p.detach:
            new[node] = new[args[0]]
        elif (op is p.add and absorbed.isdisjoint(args)) or not _is_sum(op):
            new[node] = node if changed.isdisjoint(args) else trace.make(op, tuple([new.get(x, x) for x in args]))
        else:
            new[node] = _sum_of_products(trace, _terms(trace, node, absorbed, new))
        if new[node] is not node:
            changed.add(node)
    return [x if type(x) is float else new[x] for x in roots]


def _is_sum(op: Primitive | None) -> bool:
    """True of `add`, `sum` and `dot`. Not of `sub` and `neg`: x - (y - z) may be another zero than x - y + z."""
    return op is p.add or (op is not None and op.factors > 0)


def _products(node: Symbol) -> list[Term]:
    """The terms of a sum. A product is one term."""
    op, args = node.op, node.args
    if op is p.mul:
        return [args]
    if op is p.dot:
        half = len(args) // 2
        return [_without_one(x, y) for x, y in zip(args[:half], args[half:], strict=True)]
    return [(x, None) for x in args]


def _without_one(x: Operand, y: Operand) -> Term:
    """The term x * y, without a factor that is 1."""
    return (y, None) if is_constant(x, 1.0) else (x, None) if is_constant(y, 1.0) else (x, y)


def _addends(node: Symbol) -> Sequence[Operand]:
    """The terms of a sum that have no second factor."""
    return [x for x, y in _products(node) if y is None] if node.op is p.dot else node.args


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
    shared: list[Term] = []
    rows: list[Term] = []
    for term in _merged(terms):
        (rows if _row(term[0]) or _row(term[1]) else shared).append(term)
    if rows and shared:
        rows.insert(0, (_sum_of_products(trace, shared), None))
    terms = rows or shared
    plain: list[Operand] = []
    pairs: dict[tuple[bool, bool], list[Term]] = {}  # by whether the factors are in rows
    for x, y in terms:
        if y is None:
            plain.append(x)
        elif len(terms) == 1:
            return trace.make(p.mul, (x, y))
        else:
            x, y = ordered(x, y)  # so that one factor in rows is the second
            pairs.setdefault((_row(x), _row(y)), []).append((x, y))
    z = plain[0] if plain else -0.0
    if len(plain) > 1:
        z = trace.make(p.sum_ if len(plain) > 2 else p.add, tuple(plain))
    for kind in sorted(pairs):
        xs, ys = zip(*pairs[kind], strict=True)
        z = trace.make(p.dot, (1.0, *xs, z, *ys))
    return z


def _merged(terms: list[Term]) -> list[Term]:
    """`terms` with (c + c) * x in place of c * x + c * x, which the derivative of a square gives.

    Not where c is 0, whose sign would be lost, nor where the new constant overflows.
    """
    merged: list[Term] = []
    places: dict[Term, int] = {}
    for term in terms:
        x, y = term
        if y is None or (type(x) is not float and type(y) is not float):
            merged.append(term)
            continue
        c, x = (x, y) if type(x) is float else (y, x)
        n = places.setdefault((c, x), len(merged))
        if n < len(merged) and c and isfinite(total := merged[n][0] + c):
            merged[n] = total, x
        else:
            merged.append((c, x))
    return merged


def _row(x: Any) -> bool:
    """True if `x` is a Symbol whose number depends on the row of the batch."""
    return x is not None and type(x) is not float and x.row
