"""Conditions in a trace: a compiled `cond` is the graph of both functions, and a `where` that chooses.

What only one function needs is a *side* of the condition: `sides.py` finds it, and executors skip it where they can.
Each operand of a function goes through a `where`, too, which is 0 where the function is not chosen. Reverse mode goes
back through these `where`s: so the derivatives of a function lie on its side, and its infinities are dropped where it
is not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite import primitives as p
from autograd_lite.calls import Call, item
from autograd_lite.compiler.loops import Loop, loop_node
from autograd_lite.compiler.sides import on_side
from autograd_lite.compiler.trace import Operand, Symbol, Trace, order_of


def branch(trace: Trace, roots: Sequence[Operand], condition: Symbol, taken: bool, begin: int) -> list[Operand]:
    """`roots`, which a function of `cond` returned, from operands that are 0 where the other function is chosen.

    The function made the nodes after the Symbol number `begin`, all of them anew (`Trace.anew`). It is chosen where
    `condition` is not 0 if `taken`, else where it is 0. Numbers that all rows share, such as weights, are read as they
    are if `condition` depends on the row, so that layers remain products of matrices: the operations that read them
    have a `where` around their other operands and their result instead.
    """
    order = order_of(roots)
    inside: set[Any] = set()
    for node in order:
        if node.op is None or node.index <= begin:
            continue
        endless = isinstance(node.op, Loop) and node.op.may_not_end
        needed = node.row or not condition.row or endless or not inside.isdisjoint(node.args)
        if needed and (node.op is not item or node.args[0] in inside):
            inside.add(node)
    new: dict[Any, Operand] = {}

    def chosen(x: Operand) -> Operand:
        return on_side(trace, condition, taken, x)

    def read(x: Operand) -> Operand:
        if type(x) is float or x in inside:
            return new.get(x, x)
        return x if isinstance(x.op, Call) or (condition.row and not x.row) else chosen(x)

    for node in order:
        op, args = node.op, node.args
        if node not in inside:
            continue
        known = [new.get(x, x) for x in args]
        if isinstance(op, Loop) and op.may_not_end:
            new[node] = _loop(trace, op, [read(x) for x in args], condition, taken)
        elif op is item or isinstance(op, Call) or not _mixes(known):
            read_args = [read(x) for x in args]
            if op is p.where:
                read_args[0] = known[0]  # no gradient flows to it
            new[node] = trace.make(op, tuple(read_args))
        else:
            read_args = [x if type(x) is float or not x.row else chosen(x) for x in known]
            if op is p.where:
                read_args[0] = known[0]
            new[node] = chosen(trace.make(op, tuple(read_args)))
    return [new.get(x, x) for x in roots]


def _mixes(args: Sequence[Operand]) -> bool:
    """Whether some of `args` depend on the row, and others are numbers that all rows share."""
    return len({x.row for x in args if type(x) is not float}) == 2


def _loop(trace: Trace, op: Loop, args: Sequence[Operand], condition: Symbol, taken: bool) -> Symbol:
    """The loop `op` on `args`. Where `condition` chooses the other function, it takes no step if it is a while_loop,
    nor does any while_loop in its body.
    """
    body, chosen, count = op.body, Symbol(trace, row=True), len(op.body.states)
    new: dict[Any, Operand] = {}
    for node in op.order:
        known = [new.get(x, x) for x in node.args]
        if isinstance(node.op, Loop) and node.op.may_not_end:
            new[node] = _loop(trace, node.op, known, chosen, taken)
        elif any(x in new for x in node.args):
            new[node] = trace.make(node.op, tuple(known))
    outputs = [new.get(x, x) for x in body.outputs]
    if op.conditional:
        outputs = [on_side(trace, chosen, taken, x) for x in outputs]
    constants = [*zip(body.constants, args[count:], strict=False), (chosen, condition)]
    loop = loop_node(op.name, trace, op.n, op.reverse, body.states, args[:count], [new.get(x, x) for x in body.next],
                  outputs, constants, op.columns_of(args), body.labels, op.title)  # fmt: skip
    assert isinstance(loop.op, Loop)
    loop.op.residuals = [new.get(x, x) for x in op.residuals]  # columns of the new loop have the same numbers
    return loop
