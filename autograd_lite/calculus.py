"""Derivatives as graphs: every result here is made of Values, so it can be differentiated, drawn and compiled again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite import primitives as p
from autograd_lite.graph import topological_order
from autograd_lite.value import Value

Terms = tuple[list[Any], list[Any]]


def gradients(y: Value, xs: Sequence[Value]) -> list[Value]:
    """dy/dx for each of `xs`, as Values that are recorded graphs themselves; 0 where y does not depend on x.

    `xs` may be leaves or nodes in between. The chain rule is that of `backward`, with the rules of the table run on
    Values in place of floats: the cotangent of a node is one sum of products over the nodes that use it.
    """
    active = set(xs)
    order = topological_order(y)
    for node in order:
        if not active.isdisjoint(node.args):
            active.add(node)
    terms: dict[Value, Terms] = {y: ([1.0], [1.0])}
    cotangents: dict[Value, Any] = {}
    for node in reversed(order):
        if node in active and node in terms:
            g = cotangents[node] = sum_of_products(*terms.pop(node))
            if node.op is not None:
                for arg, partial in zip(node.args, node.op.partials(node, *node.args), strict=True):
                    if type(arg) is not float and partial is not None and arg in active:
                        gs, partials = terms.setdefault(arg, ([], []))
                        gate(node.op, g, partial, gs, partials)
    return [g if isinstance(g, Value) else Value(g) for g in (cotangents.get(x, 0.0) for x in xs)]


def gate(op: p.Primitive, g: Any, partial: Any, gs: list[Any], partials: list[Any]) -> None:
    """Add the term g * partial to two lists of factors; where `op` selects, let nothing through a partial of 0."""
    if not op.selects:
        gs.append(g)
        partials.append(partial)
    elif type(partial) is not float:
        gs.append(p.where(partial, g * partial, 0.0))
        partials.append(1.0)
    elif partial:
        gs.append(g)
        partials.append(partial)


def sum_of_products(xs: list[Any], ys: list[Any]) -> Any:
    """x0*y0 + x1*y1 + ... as at most one node, without the multiplications by 1."""
    if len(xs) == 1:
        (x,), (y,) = xs, ys
        return y if type(x) is float and x == 1.0 else x if type(y) is float and y == 1.0 else x * y
    if all(type(y) is float and y == 1.0 for y in ys):
        return p.sum_(*xs) if xs else 0.0
    return p.dot(*xs, *ys)
