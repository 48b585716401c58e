"""The executors: each runs a `Program` on buffers of numbers. They differ at most in the last digits of sums.

`straightline` writes the program out as Python, `arrays` runs it on NumPy's arrays or those of a module like it, and
`kernel` hands it to the C extension. A new executor is a module with the functions of `Executor`, and a line in
`backends.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from autograd_lite.compiler.pipeline import LoopPlan, Pipeline
from autograd_lite.compiler.program import Program

Run: TypeAlias = Callable[[int, Any, Any], tuple[Any, Any]]
RunLoop: TypeAlias = Callable[[int, Any, Any], tuple[Any, Any]]
Write: TypeAlias = Callable[[int, Any, Any, Any, Any], None]


class Executor(Protocol):
    """The functions that a module of this package provides.

    `executor` and `writer` take a program, `looper` a plan; all take the executor's own options. They raise
    UnknownPrimitiveError if the executor lacks a primitive.

    `rows` holds n rows of `program.inputs` float64, row after row; `captured` holds `program.captured` float64. Both
    are contiguous buffers (`array("d")`, a NumPy array). `rows` may be a tuple of buffers instead, whose rows stand
    side by side: each buffer holds some columns.
    """

    def executor(self, program: Program, **options: Any) -> Run:
        """A function `run(n, rows, captured) -> (results, sums)`.

        `results` is a flat buffer of n rows of `len(program.results)` numbers, `sums` one of `len(program.sums)`.
        """
        ...

    def writer(self, program: Program, **options: Any) -> Write:
        """A function `write(n, rows, captured, results, sums)`, which fills the buffers `results` and `sums`.

        `results` may be a tuple of buffers side by side, like `rows`.
        """
        ...

    def looper(self, plan: LoopPlan, executor: Callable[[Program | Pipeline], Run], **options: Any) -> RunLoop:
        """A function `loop(n, arguments, tables) -> (results, others)`, which runs the loop of `plan` on n rows.

        `arguments` holds n rows of the loop's first states, constants and columns, `tables` the buffers of the loops
        before it. `executor` gives the function that runs a body. `LoopPlan` says what the two results hold.
        """
        ...
