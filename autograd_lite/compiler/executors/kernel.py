"""The kernel executor: hands a program to the C extension (kernel.c) and allocates its buffers."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

from autograd_lite.compiler import _kernel
from autograd_lite.compiler.program import Program, UnknownPrimitiveError
from autograd_lite.primitives import PRIMITIVES

Buffer: TypeAlias = Any  # an object with the buffer protocol
_ZERO = array("d", [0.0])
KINDS = tuple(_kernel.KINDS)  # the block kinds that this machine can run, largest last


def load(program: Program, threads: int = 1, kind: str | None = None) -> _kernel.Program:
    """The program in the kernel, an object with the method `run_into(n, rows, captured, results, sums)`.

    `threads` threads share the rows of a batch; the order of additions, and so the last digits of the sums, depend on
    how many there are. `kind` is the largest of KINDS to use, by default the last.
    """
    for instruction in program.check().instructions:
        if PRIMITIVES.get(instruction.op.name) is not instruction.op:
            raise UnknownPrimitiveError("the kernel", instruction.op.name)
    return _kernel.Program(*program.encode(_kernel.OPCODES), threads=threads, kind=kind)


def executor(
    program: Program, threads: int = 1, kind: str | None = None
) -> Callable[[int, Buffer, Buffer], tuple[array[float], array[float]]]:
    """The function that runs `program`: see `Executor` and `load`."""
    write = writer(program, threads, kind)
    width, sums_width = len(program.results), len(program.sums)

    def run(n: int, rows: Buffer, captured: Buffer) -> tuple[array[float], array[float]]:
        results, sums = _ZERO * (n * width), _ZERO * sums_width
        write(n, rows, captured, results, sums)
        return results, sums

    return run


def writer(program: Program, threads: int = 1, kind: str | None = None) -> Callable[..., None]:
    """The function that runs `program` and fills buffers: see `Executor` and `load`."""
    write: Callable[..., None] = load(program, threads, kind).run_into
    return write
