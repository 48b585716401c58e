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
KINDS = tuple(_kernel.KINDS)  # of blocks of rows side by side that this machine can run, the largest last


def load(program: Program, threads: int = 1, kind: str | None = None) -> _kernel.Program:
    """The program in the kernel: its `run_into(n, rows, captured, results, sums)` writes into what it is given.

    A batch is cut into pieces for `threads` of them: the order of additions, and so the last digits of the sums, depend
    on how many. `kind` is the largest of KINDS to use, if not the last.
    """
    for instruction in program.check().instructions:
        if PRIMITIVES.get(instruction.op.name) is not instruction.op:
            raise UnknownPrimitiveError("the kernel", instruction.op.name)
    return _kernel.Program(*program.encode(_kernel.OPCODES), threads=threads, kind=kind)


def executor(
    program: Program, threads: int = 1, kind: str | None = None
) -> Callable[[int, Buffer, Buffer], tuple[array[float], array[float]]]:
    """The function that runs `program`: see `autograd_lite.compiler`, and `load`."""
    write = writer(program, threads, kind)
    width, sums_width = len(program.results), len(program.sums)

    def run(n: int, rows: Buffer, captured: Buffer) -> tuple[array[float], array[float]]:
        results, sums = _ZERO * (n * width), _ZERO * sums_width
        write(n, rows, captured, results, sums)
        return results, sums

    return run


def writer(program: Program, threads: int = 1, kind: str | None = None) -> Callable[..., None]:
    """The function that runs `program` and writes what that gives: see `autograd_lite.compiler`, and `load`."""
    write: Callable[..., None] = load(program, threads, kind).run_into
    return write
