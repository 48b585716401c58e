from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

Buffer: TypeAlias = Any  # whatever has the buffer protocol
Table: TypeAlias = Buffer | tuple[Buffer, ...]
OPCODES: str
KINDS: str

class Program:
    def __new__(
        cls,
        layout: array[int],
        code: array[int],
        tables: array[int],
        results: array[int],
        sums: array[int],
        constants: array[float],
        threads: int = 1,
        kind: str | None = None,
    ) -> Program: ...
    def call(
        self, arguments: Any, results: Any, array_type: Any, finish: Callable[[bytearray], Any] | None, args: Any, /
    ) -> Any: ...
    def run_into(self, n: int, rows: Table, captured: Buffer, results: Table, sums: Buffer, /) -> None: ...
    def loop(
        self, n: int, layout: array[int], arguments: Buffer, tables: Table, results: Buffer, others: Buffer, /
    ) -> None: ...
    def follow(
        self,
        inputs: int,
        stages: tuple[tuple[Program, array[int], bool, Program, array[int]], ...],
        reads: array[int],
        /,
    ) -> None: ...
