"""The form between a program and a source file: statements over named variables, the same for every language.

A small program becomes straight lines over named scalars. A large one becomes loops over arrays, one loop nest for each
wide instruction, so that the length of the file does not grow with the number of operations.
"""

from __future__ import annotations

import keyword
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.program import Indexed, Instruction, Program
from autograd_lite.primitives import Primitive

STRAIGHT = 60  # operations and terms up to which a program is written as straight lines
WIDE = 6  # operations and terms in an instruction, on average, from which on loops are shorter than straight lines
INLINED = 6  # operations in one expression, at most, when a variable that is read once is replaced by its expression
LINE = 8  # terms of a long sum in one statement

# --- Expressions and statements -------------------------------------------------------------------------------------


class Number(NamedTuple):
    """A number that the program contains."""

    value: float


class Name(NamedTuple):
    """A scalar variable, argument or constant."""

    name: str


class Index(NamedTuple):
    """`start + stride * variable + ...`, or that element of the integer array `table` if there is one."""

    start: int
    terms: tuple[tuple[int, str], ...] = ()
    table: str = ""


class Item(NamedTuple):
    """An element of an array."""

    array: str
    place: Index


class Call(NamedTuple):
    """A primitive applied to expressions; `sum` adds all of them up from the left."""

    op: Primitive
    args: tuple[Expression, ...]


Expression: TypeAlias = Number | Name | Item | Call


class Let(NamedTuple):
    """Define the scalar variable `name`; `varies` if a later `Add` changes it."""

    name: str
    expression: Expression
    varies: bool = False


class Add(NamedTuple):
    """Add `expression` to the scalar variable `name`."""

    name: str
    expression: Expression


class Store(NamedTuple):
    """Assign `expression` to an array element."""

    item: Item
    expression: Expression


class Loop(NamedTuple):
    """Run `body` for `variable` = 0, 1, ..., count - 1."""

    variable: str
    times: int
    body: tuple[Statement, ...]


class Comment(NamedTuple):
    """A line for the reader."""

    text: str


Statement: TypeAlias = Let | Add | Store | Loop | Comment


class Variable(NamedTuple):
    """An argument or a result: an array of `size` numbers, or one number where `size` is None."""

    name: str
    size: int | None

    @property
    def width(self) -> int:
        """How many numbers it holds."""
        return 1 if self.size is None else self.size


@dataclass
class Function:
    """One exported function. The body stores array results; `scalars` has the expressions of results of one number."""

    name: str
    about: str
    arguments: list[Variable]
    results: list[Variable]
    program: Program
    body: list[Statement] = field(default_factory=list)
    scalars: dict[str, Expression] = field(default_factory=dict)
    workspace: int = 0  # numbers in the local array `t`
    reads: set[str] = field(default_factory=set)  # the arguments that the body reads
    cases: list[tuple[list[float], list[float]]] = field(default_factory=list)  # inputs and expected results


@dataclass
class Listing:
    """One source file: named constants, constant arrays, tables of indices and functions."""

    name: str
    about: list[str]
    functions: list[Function] = field(default_factory=list)
    constants: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, list[tuple[str, list[float]]]] = field(default_factory=dict)  # rows of numbers, with a comment
    tables: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def primitives(self) -> list[Primitive]:
        """The primitives that the functions use, in the order of first use."""
        return list(dict.fromkeys(i.op for function in self.functions for i in function.program.instructions))


# --- Names ----------------------------------------------------------------------------------------------------------

RESERVED_BY_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main
test expected got failures differs printf abs floor ceil round fmod div exp exp2 expm1 log log2 log10 log1p sqrt
cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh hypot erf pow mod floordiv sigmoid softplus
relu step sign maximum minimum share where gamma j0 j1 jn y0 y1 yn signgam"""  # with what math.h and stdio.h define
RESERVED_BY_JAVASCRIPT = """await catch class debugger delete export extends finally function import in instanceof
let new null super this throw try typeof var with yield arguments eval undefined NaN Infinity Math module require
exports cases run given power roundHalfEven"""
RESERVED_BY_PYTHON = "math inf nan range print list max min zip sum len dot copysign power round_half_even"
RESERVED = {*keyword.kwlist, *f"{RESERVED_BY_C} {RESERVED_BY_JAVASCRIPT} {RESERVED_BY_PYTHON}".split()}
OWN = re.compile(r"[ijkt]|[vz]\d+|at\d+|c\d+")  # names that a listing uses itself


def identifier(label: str, taken: set[str]) -> str:
    """`label` as a name that is valid in every language and not `taken`; it is added to `taken`."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", label).strip("_") or "x"
    name = f"x_{name}" if name[0].isdigit() else name
    name = f"{name}_" if name in RESERVED or OWN.fullmatch(name) else name
    base, n = name, 2
    while name in taken:
        name, n = f"{base}_{n}", n + 1
    taken.add(name)
    return name


# --- From a program to statements -----------------------------------------------------------------------------------


class Segment(NamedTuple):
    """The addresses from `start` up to `end` are the elements of the array `name`."""

    start: int
    end: int
    name: str


def terms(program: Program) -> int:
    """How many operations and terms of sums the program has."""
    return sum(i.width * i.shape[2] for i in program.instructions)


def fill(listing: Listing, function: Function, captured: Sequence[Expression], numbers: Sequence[float]) -> None:
    """Write the body of `function`. `captured` says how to read each captured number, `numbers` what they are."""
    count = terms(function.program)
    if count <= STRAIGHT or count < WIDE * len(function.program.instructions):
        _straight(function, captured)
    else:
        _loops(listing, function, captured, numbers)


def read(variable: Variable, n: int) -> Expression:
    """The expression for number `n` of an argument or result."""
    return Name(variable.name) if variable.size is None else Item(variable.name, Index(n))


def _straight(function: Function, captured: Sequence[Expression]) -> None:
    """The body as one statement for each number, but numbers that are read once go into the expression that does."""
    program = function.program
    known: list[Expression] = [Number(x) for x in program.constants]
    known += captured
    known += [Number(0.0)] * (program.shared - len(known))  # until they are computed
    known += [read(variable, n) for variable in function.arguments for n in range(variable.width)]
    known += [Number(0.0)] * (program.rows - len(known))
    uses = Counter(program.results)
    for instruction in program.instructions:
        for n in range(len(instruction.operands)):
            uses.update(instruction.addresses(n))
    for address in range(program.shared, program.shared + program.inputs):
        if uses[address]:
            function.reads.add(_array_of(known[address]))
    sizes: dict[int, int] = {}
    named = 0
    for instruction in (*program.once, *program.each):
        for address, reads in _numbers(instruction):
            expression = _expression(instruction.op, [known[a] for a in reads])
            parts = expression.args if isinstance(expression, Call) and expression.op is p.sum_ else ()
            size = max(len(parts), 1) + sum(sizes.get(a, 0) for a in reads)
            if uses[address] == 1 and size <= INLINED:
                known[address], sizes[address] = expression, size
                continue
            name = f"v{named}"
            known[address] = Name(name)
            named += 1
            if len(parts) <= LINE:
                function.body.append(Let(name, expression))
                continue
            function.body.append(Let(name, Call(p.sum_, parts[:LINE]), varies=True))
            function.body += [Add(name, part) for part in parts[LINE:]]
    place = 0
    for result in function.results:
        if result.size is None:
            function.scalars[result.name] = known[program.results[place]]
        else:
            for n in range(result.size):
                function.body.append(Store(Item(result.name, Index(n)), known[program.results[place + n]]))
        place += result.width


def _array_of(expression: Expression) -> str:
    return expression.name if isinstance(expression, Name) else getattr(expression, "array", "")


def _numbers(instruction: Instruction) -> Iterator[tuple[int, list[int]]]:
    """Each result's address, and the addresses that it reads: of a reduction, the start and then the factors."""
    columns = [list(instruction.addresses(n)) for n in range(len(instruction.operands))]
    length = instruction.shape[2]
    for n in range(instruction.width):
        if instruction.op.factors:
            factors = zip(*[column[n * length : (n + 1) * length] for column in columns[1:]], strict=True)
            yield instruction.dst + n, [columns[0][n], *[a for pair in factors for a in pair]]
        else:
            yield instruction.dst + n, [column[n] for column in columns]


def _expression(op: Primitive, args: list[Expression]) -> Expression:
    """`op` on `args`, which `_numbers` gave: a reduction as a sum of products."""
    if op is p.detach:
        return args[0]
    if not op.factors:
        return Call(op, tuple(args))
    start, rest = args[0], args[1:]
    parts: list[Expression] = list(rest)
    if op is p.dot:
        parts = [_product(x, y) for x, y in zip(rest[::2], rest[1::2], strict=True)]
    if not _is_negative_zero(start):
        parts.insert(0, start)
    return parts[0] if len(parts) == 1 else Call(p.sum_, tuple(parts))


def _product(x: Expression, y: Expression) -> Expression:
    """x * y; only the other where one of them is the number 1."""
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Number) and one.value == 1.0:
            return other
    return Call(p.mul, (x, y))


def _is_negative_zero(x: Expression) -> bool:
    return isinstance(x, Number) and str(x.value) == "-0.0"


def _loops(listing: Listing, function: Function, captured: Sequence[Expression], numbers: Sequence[float]) -> None:
    """The body as one loop nest for each instruction, over arrays."""
    program = function.program
    function.workspace = program.rows - program.shared - program.inputs
    segments: list[Segment] = []
    start = program.shared
    for variable in function.arguments:
        segments.append(Segment(start, start + variable.width, variable.name))
        start += variable.width
    segments.append(Segment(start, program.rows, "t"))
    writer = _Loops(listing, function, segments, captured, numbers)
    if any(writer.straddles(list(i.addresses(n))) for i in program.each for n in range(len(i.operands))):
        for variable in function.arguments:
            offset = next(s.start for s in segments if s.name == variable.name) - program.shared
            writer.copy("t", offset, variable)
        function.workspace += program.inputs
        writer.segments = [Segment(program.shared, program.rows, "t")]
    for instruction in program.each:
        writer.emit(instruction)
    writer.results()


class _Loops:
    """Writes instructions as loop nests."""

    def __init__(
        self,
        listing: Listing,
        function: Function,
        segments: list[Segment],
        captured: Sequence[Expression],
        numbers: Sequence[float],
    ) -> None:
        self.listing, self.function, self.segments = listing, function, segments
        self.arguments = {variable.name: variable for variable in function.arguments}
        program = function.program
        self.first = len(program.constants)
        self.captured, self.shared = captured, list(numbers)

    def segment(self, low: int, high: int) -> Segment | None:
        """The array that has all the addresses from `low` to `high`."""
        return next((s for s in self.segments if s.start <= low and high < s.end), None)

    def straddles(self, addresses: Sequence[int]) -> bool:
        """Whether no single array has all of `addresses`, which have a number in each row."""
        low, high = min(addresses), max(addresses)
        return low >= self.function.program.shared and self.segment(low, high) is None

    def copy(self, target: str, offset: int, variable: Variable) -> None:
        """Copy an argument into an array."""
        self.function.reads.add(variable.name)
        if variable.size is None:
            self.add(Store(Item(target, Index(offset)), Name(variable.name)))
        else:
            at = Item(variable.name, Index(0, ((1, "i"),)))
            self.add(Loop("i", variable.size, (Store(Item(target, Index(offset, ((1, "i"),))), at),)))

    def add(self, statement: Statement) -> None:
        """Add to the body."""
        self.function.body.append(statement)

    def operand(self, instruction: Instruction, n: int) -> Expression:
        """How operand `n` is read inside the loop nest over j, i and k."""
        operand = instruction.operands[n]
        J, I, K = instruction.points(n)  # noqa: E741
        addresses = list(instruction.addresses(n))
        low, high = min(addresses), max(addresses)
        if high < self.function.program.shared:
            return self.shared_operand(addresses, (J, I, K))
        segment = self.segment(low, high)
        assert segment is not None
        argument = self.arguments.get(segment.name)
        if argument is not None:
            self.function.reads.add(segment.name)
            if argument.size is None:
                return Name(segment.name)
        if isinstance(operand, Indexed):
            return Item(segment.name, self.indexed([a - segment.start for a in addresses], (J, I, K)))
        start, *strides = operand
        return Item(segment.name, _index(start - segment.start, strides, (J, I, K)))

    def shared_operand(self, addresses: list[int], points: tuple[int, int, int]) -> Expression:
        """How numbers that are constants of the file are read: as a literal, from the captured ones, or a new array."""
        values = [self.shared[a] for a in addresses]
        if len(set(addresses)) == 1:
            at = addresses[0] - self.first
            return self.captured[at] if 0 <= at < len(self.captured) else Number(values[0])
        J, I, K = points  # noqa: E741
        at = addresses[0] - self.first
        first = self.captured[at] if 0 <= at < len(self.captured) else None
        low, high = min(addresses), max(addresses)
        if isinstance(first, Item) and self.first <= low and high < self.first + len(self.captured):
            strides = [
                addresses[I * K] - addresses[0] if J > 1 else 0,
                addresses[K] - addresses[0] if I > 1 else 0,
                addresses[1] - addresses[0] if K > 1 else 0,
            ]
            regular = [
                addresses[0] + j * strides[0] + i * strides[1] + k * strides[2]
                for j in range(J) for i in range(I) for k in range(K)
            ]  # fmt: skip
            if regular == addresses:
                return Item(first.array, _index(at, strides, points))
            return Item(first.array, self.indexed([a - self.first for a in addresses], points))
        name = self.array(values)
        return Item(name, _index(0, (I * K, K, 1), points))

    def indexed(self, addresses: list[int], points: tuple[int, int, int]) -> Index:
        """An index by a table of `addresses`, in the order of the loop nest."""
        found = tuple(addresses)
        tables = self.listing.tables
        name = next((name for name, table in tables.items() if table == found), f"at{len(tables)}")
        tables[name] = found
        return _index(0, (points[1] * points[2], points[2], 1), points)._replace(table=name)

    def array(self, values: list[float]) -> str:
        """The name of a constant array with these numbers."""
        arrays, key = self.listing.arrays, array("d", values).tobytes()
        for name, rows in arrays.items():
            if array("d", [x for _, row in rows for x in row]).tobytes() == key:
                return name
        name = f"c{len(arrays)}"
        arrays[name] = [("", values)]
        return name

    def emit(self, instruction: Instruction) -> None:
        """The loop nest of one instruction."""
        op, (J, I, K) = instruction.op, instruction.shape  # noqa: E741
        args = [self.operand(instruction, n) for n in range(len(instruction.operands))]
        segment = self.segment(instruction.dst, instruction.dst + instruction.width - 1)
        assert segment is not None
        target = Item("t", _index(instruction.dst - segment.start, (I, 1, 0), (J, I, 1)))
        if op.factors and K > 1:
            term = _product(*args[1:]) if op is p.dot else args[1]
            z = f"z{instruction.dst}"  # a name of its own, as it may stand outside of any loop
            body: tuple[Statement, ...] = (
                Let(z, args[0], varies=True),
                Loop("k", K, (Add(z, term),)),
                Store(target, Name(z)),
            )
        else:
            body = (Store(target, _expression(op, args)),)
        if I > 1:
            body = (Loop("i", I, body),)
        if J > 1:
            body = (Loop("j", J, body),)
        self.function.body.extend(body)

    def results(self) -> None:
        """Copy the results to where the caller wants them."""
        program, place = self.function.program, 0
        for result in self.function.results:
            addresses = list(program.results[place : place + result.width])
            place += result.width
            if result.size is None:
                self.function.scalars[result.name] = self.one(addresses[0])
                continue
            step = addresses[1] - addresses[0] if len(addresses) > 1 else 0
            segment = self.segment(min(addresses), max(addresses))
            if segment is None or segment.name in self.arguments or len(addresses) < 4:
                for n, address in enumerate(addresses):
                    self.add(Store(Item(result.name, Index(n)), self.one(address)))
                continue
            relative = [a - segment.start for a in addresses]
            points = (1, len(addresses), 1)
            if addresses == [addresses[0] + step * n for n in range(len(addresses))]:
                index = _index(relative[0], (0, step, 0), points)
            else:
                index = self.indexed(relative, points)
            target = Item(result.name, Index(0, ((1, "i"),)))
            self.add(Loop("i", len(addresses), (Store(target, Item(segment.name, index)),)))

    def one(self, address: int) -> Expression:
        """How the number at one address is read."""
        if address < self.function.program.shared:
            return self.shared_operand([address], (1, 1, 1))
        segment = self.segment(address, address)
        assert segment is not None
        argument = self.arguments.get(segment.name)
        if argument is None:
            return Item(segment.name, Index(address - segment.start))
        self.function.reads.add(segment.name)
        return read(argument, address - segment.start)


def _index(start: int, strides: Sequence[int], points: tuple[int, int, int]) -> Index:
    """The index at (j, i, k), without the axes that have one point or do not change it."""
    axes = zip(strides, "jik", points, strict=True)
    return Index(start, tuple([(stride, axis) for stride, axis, count in axes if stride and count > 1]))
