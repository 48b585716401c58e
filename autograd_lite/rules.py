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
    """A Value without a number: an argument of a rule, or a result of the rule's operations."""

    __slots__ = ()

    def _no_number(self, *_: Any) -> NoReturn:
        raise TypeError("a rule that is traced has no numbers yet")

    data = grad = property(_no_number, _no_number)
    __bool__ = __float__ = __int__ = __index__ = _no_number


class _RuleRecorder(Recorder):
    """Records the operations of a rule as a graph of Registers."""

    symbolic = True

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        return node_of(op, args, None, Register)


Operand = int | float  # the index of a register, or a constant
Partial = tuple[list[tuple[Any, ...]], Operand] | None  # instructions (op, *operands), and the operand with the partial


def traced(op: Primitive, n: int, last: float | None) -> list[Partial] | None:
    """The partials of `op`, a row of the table, on `n` arguments as instructions, one entry for each argument.

    None for `pow_const` without `last`, whose rule branches on the exponent: it is traced with each exponent.
    Register 0 is the result z, registers 1 to n are the arguments, and each instruction writes the next one. An entry
    is None where no gradient flows. If `last` is not None, it is the last argument, a constant.
    """
    z, *xs = [node_of(None, (), None, Register) for _ in range(n + 1)]
    args: list[Any] = [*xs[:-1], last] if last is not None else xs
    with recording_with(_RuleRecorder()):
        try:
            partials = op.partials(z, *args)
        except TypeError:  # also for a number of arguments that `op` does not take
            return None
    inputs = {x: i for i, x in enumerate([z, *xs])}
    return [_instructions(partial, inputs) for partial in partials]


def _instructions(partial: Any, inputs: dict[Any, int]) -> Partial:
    if partial is None:
        return None
    if not isinstance(partial, Register):
        return [], partial
    registers = dict(inputs)
    instructions = []
    for node in topological_order(partial):
        if node.op is not None:
            operands = [x if type(x) is float else registers[x] for x in node.args]
            instructions.append((node.op, *operands))
            registers[node] = len(registers)
    return instructions, registers[partial]
