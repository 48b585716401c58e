"""The executor in C. Here a program is handed to the kernel and buffers are made for it; kernel.c does the rest."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

from autograd_lite.compiler import _kernel
from autograd_lite.compiler.program import Program, UnknownPrimitiveError
from autograd_lite.primitives import PRIMITIVES

Buffer: TypeAlias = Any  # whatever has the buffer protocol
_ZERO = array("d", [0.0])
LANES = tuple(_kernel.LANES)  # how many rows this machine can have side by side


def load(program: Program, threads: int = 1, lanes: int = 0) -> _kernel.Program:
    """The program in the kernel: its `run_into(n, rows, captured, results, sums)` writes into buffers that are given.

    A batch is cut into pieces for `threads` of them: the order of additions, and so the last digits of the sums, depend
    on how many. `lanes` is the largest number of rows to have side by side, of LANES, and 0 is the largest there is.
    """
    for instruction in program.check().instructions:
        if PRIMITIVES.get(instruction.op.name) is not instruction.op:
            raise UnknownPrimitiveError(f"the kernel has no primitive {instruction.op.name!r}: it is not in the table")
    return _kernel.Program(*program.encode(_kernel.OPCODES), threads=threads, lanes=lanes)


def executor(
    program: Program, threads: int = 1, lanes: int = 0
) -> Callable[[int, Buffer, Buffer], tuple[array[float], array[float]]]:
    """The function that runs `program`: see `autograd_lite.compiler`, and `load`."""
    run_into = load(program, threads, lanes).run_into
    width, sums_width = len(program.results), len(program.sums)

    def run(n: int, rows: Buffer, captured: Buffer) -> tuple[array[float], array[float]]:
        results, sums = _ZERO * (n * width), _ZERO * sums_width
        run_into(n, rows, captured, results, sums)
        return results, sums

    return run
