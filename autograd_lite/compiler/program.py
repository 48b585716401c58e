"""Program: the data structure that every executor runs, a short list of wide instructions over flat addresses."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from autograd_lite.compiler.errors import CompileError
from autograd_lite.primitives import Primitive

Shape: TypeAlias = tuple[int, int, int]


class UnknownPrimitiveError(CompileError, ValueError):
    """The executor lacks a primitive of the program. The arguments are the names of the executor and the primitive."""

    def __str__(self) -> str:
        executor, primitive = self.args
        return f"{executor} has no primitive {primitive!r}: use the python or the numpy backend"


class Strided(NamedTuple):
    """An operand whose address at (j, i, k) is `start + j * outer + i * inner + k * depth`."""

    start: int
    outer: int = 0
    inner: int = 0
    depth: int = 0


class Indexed(NamedTuple):
    """An operand whose addresses are listed, in the order of the loop nest (k fastest, then i, then j)."""

    addresses: array[int]


Operand: TypeAlias = Strided | Indexed


class Instruction(NamedTuple):
    """`op` at every point of a loop nest J x I, its results at the addresses `dst + j * I + i`.

    `sum` and `dot`, whose terms have `op.factors` factors, reduce over k < K and take a first operand to start from:

        sum(init, x):      z[j, i] = init[j, i] + x[j, i, 0] + ... + x[j, i, K-1]
        dot(init, x, y):   z[j, i] = init[j, i] + x[j, i, 0] * y[j, i, 0] + ... + x[j, i, K-1] * y[j, i, K-1]

    Any other op is applied to one number from each operand, and then K is 1. `init` does not depend on k: its `depth`
    is 0, and if it is Indexed it lists J*I addresses where a reduced operand lists J*I*K.
    """

    op: Primitive
    dst: int
    shape: Shape
    operands: tuple[Operand, ...]

    @property
    def width(self) -> int:
        """How many results there are."""
        return self.shape[0] * self.shape[1]

    def points(self, n: int) -> Shape:
        """The loop nest of operand `n`."""
        J, I, K = self.shape  # noqa: E741
        return (J, I, K if n and self.op.factors else 1)

    def addresses(self, n: int) -> Iterator[int]:
        """The addresses of operand `n`, in the order of the loop nest."""
        operand = self.operands[n]
        if isinstance(operand, Indexed):
            return iter(operand.addresses)
        start, outer, inner, depth = operand
        J, I, K = self.points(n)  # noqa: E741
        return (start + j * outer + i * inner + k * depth for j in range(J) for i in range(I) for k in range(K))


class Guard(NamedTuple):
    """Instructions that may be skipped: number `begin` to number `end` - 1.

    If `taken`, they are needed only where the number at the address `condition` is not 0; else only where it is 0.
    Where they are not needed, only `where` instructions read their results, and these select their other argument.
    """

    begin: int
    end: int
    condition: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A computation on `captured` numbers, the same for every row, and on rows of `inputs` numbers each.

    A number has an address. The address space has six regions, one after the other:

        constants   numbers of the program
        captured    numbers given with every call
        once        results of the `once` instructions, which run once in a call
        inputs      the numbers of a row
        each        results of the `each` instructions, which run for each row
        total       results of the `total` instructions, which run for each row and are added up over the rows

    The first three are *shared* by all rows (`shared` is where they end), the next two have a number in each row
    (`rows` is where they end), and the last has one number at the end: the sum of the instruction's results over the
    rows, one term for each row, also where all operands are shared. Nothing reads the total region.

    Instructions are in order. Each writes the next addresses of its region, so that together they fill it without a
    gap, and reads only what was there before. All addresses of one operand are shared, or all are in rows; `once`
    instructions read only shared ones.

    An executor may skip the instructions of a guard where they are not needed. Guards count the instructions as
    `instructions` lists them; those of one guard are all `once` or all `each`. Guards are sorted by `begin`, and of two
    that overlap the second lies inside the first.

    A call gives the numbers at the addresses `results`, shared or in rows, for each row; and the numbers at the
    addresses `sums`, in the total region, once.
    """

    constants: tuple[float, ...]
    captured: int
    inputs: int
    once: tuple[Instruction, ...]
    each: tuple[Instruction, ...]
    total: tuple[Instruction, ...]
    results: array[int]
    sums: array[int]
    guards: tuple[Guard, ...] = ()

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All of them, in order."""
        return self.once + self.each + self.total

    @property
    def shared(self) -> int:
        """The first address that is not shared by all rows: that of the first input."""
        return len(self.constants) + self.captured + sum(i.width for i in self.once)

    @property
    def rows(self) -> int:
        """The end of the addresses that have a number in each row."""
        return self.shared + self.inputs + sum(i.width for i in self.each)

    @property
    def size(self) -> int:
        """The number of addresses."""
        return self.rows + sum(i.width for i in self.total)

    def __str__(self) -> str:
        lines = [
            f"{len(self.instructions)} instructions over {self.size} addresses: {len(self.constants)} constants, "
            f"{self.captured} captured, {self.inputs} inputs per row"
        ]
        titles = ["once"] * len(self.once) + ["each"] * len(self.each) + ["total"] * len(self.total)
        for n, (title, instruction) in enumerate(zip(titles, self.instructions, strict=True)):
            for guard in self.guards:
                if guard.begin == n:
                    relation = "is not" if guard.taken else "is"
                    lines.append(f"{title:<6}if {guard.condition} {relation} 0, the next {guard.end - n}:")
            lines.append(f"{title:<6}{_show(instruction)}")
        return "\n".join(lines)


def _show(instruction: Instruction) -> str:
    """`dot  16 x 1 x 2  -> 342..357   from 2+3j, 0+3j+k, 339+k`."""
    operands = []
    for n, operand in enumerate(instruction.operands):
        if isinstance(operand, Indexed):
            operands.append(f"[{len(operand.addresses)} addresses]")
        else:
            terms = zip(operand[1:], "jik", instruction.points(n), strict=True)
            steps = [f"{stride:+d}{axis}".replace("1" + axis, axis) if abs(stride) == 1 else f"{stride:+d}{axis}"
                     for stride, axis, length in terms if stride and length > 1]  # fmt: skip
            operands.append(f"{operand.start}{''.join(steps)}")
    shape = " x ".join(map(str, instruction.shape))
    last = instruction.dst + instruction.width - 1
    return f"{instruction.op.name:<10}{shape:<16}-> {f'{instruction.dst}..{last}':<14}from {', '.join(operands)}"
