"""The form between a program and a source file: statements over named variables, the same for every language."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from autograd_lite.primitives import Primitive

# --- Expressions and statements -------------------------------------------------------------------------------------


class Number(NamedTuple):
    """A number that the program contains."""

    value: float


class Name(NamedTuple):
    """A scalar variable, argument or constant."""

    name: str


class Index(NamedTuple):
    """`start + stride * variable + ...`. A variable is the counter of a loop, or an Entry of a table."""

    start: int
    terms: tuple[tuple[int, str | Entry], ...] = ()

    def plus(self, other: Index) -> Index:
        """The sum of the two."""
        return Index(self.start + other.start, self.terms + other.terms)


class Entry(NamedTuple):
    """An element of an array of integers."""

    table: str
    place: Index


class Item(NamedTuple):
    """An element of an array."""

    array: str
    place: Index


class Call(NamedTuple):
    """A primitive applied to expressions; `sum` adds all of them up from the left."""

    op: Primitive
    args: tuple[Expression, ...]


class Count(NamedTuple):
    """The counter of a loop plus `start`, as a number. Only a `Let` has it."""

    counter: str
    start: int


Expression: TypeAlias = Number | Name | Item | Call | Count


class Let(NamedTuple):
    """Define the scalar variable `name`; `varies` if a later statement changes it."""

    name: str
    expression: Expression
    varies: bool = False


class Add(NamedTuple):
    """Add `expression` to the scalar variable `name`."""

    name: str
    expression: Expression


class Store(NamedTuple):
    """Assign `expression` to an array element or a scalar variable."""

    item: Item | Name
    expression: Expression


class Loop(NamedTuple):
    """Run `body` for `variable` = 0, 1, ..., times - 1, or in the other direction if `reverse`."""

    variable: str
    times: int
    body: tuple[Statement, ...]
    reverse: bool = False


class While(NamedTuple):
    """Run `body` again and again, until a `Stop` in it ends that."""

    body: tuple[Statement, ...]


class Stop(NamedTuple):
    """Leave the `While` that contains this if `condition` is 0."""

    condition: Expression


class If(NamedTuple):
    """Run `body` if `condition` is not 0, or, unless `taken`, if it is 0."""

    condition: Expression
    taken: bool
    body: tuple[Statement, ...]


class Comment(NamedTuple):
    """A line for the reader."""

    text: str


Statement: TypeAlias = Let | Add | Store | Loop | While | Stop | If | Comment


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
    body: list[Statement] = field(default_factory=list)
    scalars: dict[str, Expression] = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)  # the sizes of its local arrays
    cases: list[tuple[list[float], list[float]]] = field(default_factory=list)  # inputs and expected results

    @property
    def reads(self) -> set[str]:
        """The names of the variables and arrays that the function reads."""
        return set(names_in([*self.body, *self.scalars.values()]))


@dataclass
class Listing:
    """One source file: named constants, constant arrays, tables of indices and functions."""

    name: str
    about: list[str]
    functions: list[Function] = field(default_factory=list)
    constants: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, list[tuple[str, list[float]]]] = field(default_factory=dict)  # rows of numbers, with a comment
    tables: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def leave_out_unused(self) -> None:
        """Remove the constants, arrays and tables that no function reads."""
        used = {name for function in self.functions for name in function.reads}
        used |= {x.table for f in self.functions for x in parts([*f.body, *f.scalars.values()]) if isinstance(x, Entry)}
        for names in (self.constants, self.arrays, self.tables):
            for name in [x for x in names if x not in used]:
                del names[name]

    @property
    def primitives(self) -> list[Primitive]:
        """The primitives that the functions use, in the order of first use."""
        found = [x.op for f in self.functions for x in parts([*f.body, *f.scalars.values()]) if isinstance(x, Call)]
        return list(dict.fromkeys(found))


# --- Walks ----------------------------------------------------------------------------------------------------------


def parts(x: Any) -> Iterator[Any]:
    """`x`, an expression, a statement, or a sequence of them, and everything in it."""
    yield x
    if isinstance(x, tuple | list):
        for part in x:
            yield from parts(part)


def names_in(x: Any) -> Iterator[str]:
    """The names of the variables and arrays whose numbers `x` reads. A `Store` does not read what it assigns to."""
    if isinstance(x, Name):
        yield x.name
    elif isinstance(x, Item):
        yield x.array
    elif isinstance(x, Store):
        yield from names_in(x.expression)
    elif isinstance(x, tuple | list):
        for part in x:
            yield from names_in(part)


def renamed(x: Any, names: dict[str, str]) -> Any:
    """`x` with other names for arrays."""
    if isinstance(x, Item):
        return x._replace(array=names.get(x.array, x.array))
    if isinstance(x, tuple):
        new = [renamed(part, names) for part in x]
        return type(x)(*new) if hasattr(x, "_fields") else tuple(new)
    return x


def assigned_in(x: Any) -> set[str]:
    """The names of the variables and arrays that `x` assigns to."""
    found = set()
    for part in parts(x):
        if isinstance(part, Let | Add):
            found.add(part.name)
        elif isinstance(part, Store):
            found.add(part.item.name if isinstance(part.item, Name) else part.item.array)
    return found


def without_dead(body: Iterable[Statement], wanted: set[str]) -> list[Statement]:
    """`body` without the statements that change nothing in the variables and arrays `wanted`."""
    simple = [(assigned_in(x), set(names_in(x))) for x in parts(list(body)) if isinstance(x, Let | Add | Store)]
    simple += [(assigned_in(x), set(names_in(x.condition))) for x in parts(list(body)) if isinstance(x, If)]
    live = {*wanted, *[name for x in parts(list(body)) if isinstance(x, Stop) for name in names_in(x)]}
    while True:
        more = {name for assigned, reads in simple if not live.isdisjoint(assigned) for name in reads}
        if more <= live:
            return _kept(body, live)
        live |= more


def _kept(body: Iterable[Statement], live: set[str]) -> list[Statement]:
    kept: list[Statement] = []
    for x in body:
        if isinstance(x, Loop | While | If):
            inner = _kept(x.body, live)
            if inner:
                kept.append(x._replace(body=tuple(inner)))
            elif kept and isinstance(kept[-1], Comment):
                kept.pop()
        elif isinstance(x, Stop | Comment) or not live.isdisjoint(assigned_in(x)):
            kept.append(x)
    return kept


# --- Names ----------------------------------------------------------------------------------------------------------

RESERVED_BY_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main
test expected got failures differs printf abs floor ceil round fmod div exp exp2 expm1 log log2 log10 log1p sqrt
cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh hypot erf pow mod floordiv sigmoid softplus
relu step sign maximum minimum share where gamma j0 j1 jn y0 y1 yn signgam fabs fmin fmax fdim fma rint nearbyint trunc
remainder remquo lgamma tgamma erfc frexp ldexp modf scalbn scalbln ilogb logb nextafter nexttoward nan lrint llrint
lround llround isnan isinf isfinite isnormal signbit fpclassify copysign expf logf sqrtf powf sinf cosf tanf fabsf NAN
INFINITY HUGE_VAL NULL EOF FILE BUFSIZ stdin stdout stderr remove rename puts putchar putc getc getchar gets fopen
fclose fflush fread fwrite fprintf scanf sprintf sscanf snprintf"""  # and names that math.h and stdio.h define
RESERVED_BY_JAVASCRIPT = """await catch class debugger delete export extends finally function import in instanceof
let new null super this throw try typeof var with yield arguments eval undefined NaN Infinity Math module require
exports cases run given power roundHalfEven Array Float64Array Object Number String console process"""
RESERVED_BY_PYTHON = """math inf nan range print list max min zip sum len dot copysign power round_half_even reversed
enumerate isinstance tuple SystemExit ValueError OverflowError ZeroDivisionError CASES"""
RESERVED = {*keyword.kwlist, *f"{RESERVED_BY_C} {RESERVED_BY_JAVASCRIPT} {RESERVED_BY_PYTHON}".split()}
OWN = re.compile(r"[ijk]|t\d*|[vz]\d+|at\d+|c\d+")  # names that a listing uses itself


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
