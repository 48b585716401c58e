"""Tracing the rule of a row of the table into instructions, which the C core executes in its sweep.

So a derivative is still written once: in primitives.py.
"""

from __future__ import annotations

from typing import Any, NoReturn

from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive
from autograd_lite.recording import recording_with
from autograd_lite.value import Recorder, Value, node_of


class Register(Value):
    """A Value without a number: an argument of a rule, or what the rule makes of its arguments."""

    __slots__ = ()

    def _no_number(self, *_: Any) -> NoReturn:
        raise TypeError("a rule that is traced has no numbers yet")

    data = grad = property(_no_number, _no_number)
    __bool__ = __float__ = __int__ = __index__ = _no_number


class _Rule(Recorder):
    """Records the operations of a rule as a graph of Registers."""

    symbolic = True

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        return node_of(op, args, None, Register)

    def fresh(self, x: Any) -> Value:
        return x if isinstance(x, Register) else Value(x)


Operand = int | float  # the number of a register, or a constant
Partial = tuple[list[tuple[Any, ...]], Operand] | None  # instructions (op, *operands), and where the partial is found


def traced(op: Primitive, n: int, last: float | None) -> list[Partial] | None:
    """The partials of `op` on `n` arguments as instructions, one entry for each argument; None if that cannot be done.

    Register 0 is the result z, registers 1 to n are the arguments, and each instruction writes the next one. An entry
    is None where no gradient flows. If `last` is not None, it is the last argument, a constant.
    """
    z, *xs = [node_of(None, (), None, Register) for _ in range(n + 1)]
    args: list[Any] = [*xs[:-1], last] if last is not None else xs
    with recording_with(_Rule()):
        try:
            partials = op.partials(z, *args)
        except Exception:  # the rule branches on a number: only the numbers themselves can tell how
            return None
    if not isinstance(partials, tuple) or len(partials) != n:
        return None
    inputs = {x: i for i, x in enumerate([z, *xs])}
    found = [_instructions(partial, inputs) for partial in partials]
    return None if NotImplemented in found else found


def _instructions(partial: Any, inputs: dict[Any, int]) -> Any:
    if partial is None:
        return None
    if not isinstance(partial, Register):
        return ([], partial) if type(partial) is float else NotImplemented
    registers = dict(inputs)
    instructions = []
    for node in topological_order(partial):
        if node.op is not None:
            operands = [x if type(x) is float else registers[x] for x in node.args]
            instructions.append((node.op, *operands))
            registers[node] = len(registers)
    return instructions, registers[partial]
