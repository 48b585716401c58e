"""The common part of the exported languages: expressions and statements as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

from autograd_lite import primitives as p
from autograd_lite.compiler.export.listing import (
    Add,
    Comment,
    Count,
    Entry,
    Expression,
    Function,
    If,
    Index,
    Item,
    Let,
    Listing,
    Loop,
    Name,
    Number,
    Statement,
    Stop,
    Store,
    Variable,
    While,
)
from autograd_lite.primitives import Primitive

WIDTH = 110  # characters in a line, at most, where a line can be broken
CONDITION, SUM, PRODUCT, SIGN, ATOM = range(5)  # how tightly an expression binds

# An operation that is written with operators: how tightly it binds, the text, how tightly each argument must bind.
Operator = tuple[int, str, tuple[int, ...]]
OPERATORS: dict[Primitive, Operator] = {
    p.add: (SUM, "{} + {}", (SUM, PRODUCT)),
    p.sub: (SUM, "{} - {}", (SUM, PRODUCT)),
    p.mul: (PRODUCT, "{} * {}", (PRODUCT, SIGN)),
    p.neg: (SIGN, "-{}", (ATOM,)),
}


class Language:
    """How one language writes a listing. A subclass gives the table of its functions and the text of its statements.

    `functions` maps the name of a primitive to the name of the function to call and the source of its definition, which
    is "" if the language has the function.
    """

    operators: Mapping[Primitive, Operator] = OPERATORS
    functions: Mapping[str, tuple[str, str]] = {}

    def listing(self, listing: Listing) -> str:
        """The whole file."""
        raise NotImplementedError

    def number(self, x: float) -> str:
        """A number as a literal."""
        raise NotImplementedError

    def let(self, statement: Let) -> str:
        """The definition of a variable."""
        raise NotImplementedError

    def declared(self, name: str, size: int, largest: int | None = None) -> str:
        """What stands before the numbers of a constant array of that size; `largest` is the largest of integers."""
        raise NotImplementedError

    def loop(self, loop: Loop) -> str:
        """The head of a loop."""
        x, n = loop.variable, loop.times
        if loop.reverse:
            return f"for ({self.counter} {x} = {n - 1}; {x} >= 0; {x}--) {{"
        return f"for ({self.counter} {x} = 0; {x} < {n}; {x}++) {{"

    def count(self, count: Count) -> str:
        """The counter of a loop as a number."""
        return self.index(Index(count.start, ((1, count.counter),)))

    def comment(self, text: str) -> str:
        """A line for the reader."""
        return f"// {text}"

    def break_if(self, condition: str) -> str:
        """A statement that leaves a loop."""
        return f"if ({condition}) break;"

    def branch(self, condition: str) -> str:
        """The head of a block that runs if `condition` holds."""
        return f"if ({condition}) {{"

    def head_of(self, x: Loop | While | If) -> str:
        """The line before a block."""
        if isinstance(x, If):
            return self.branch(f"{self.expression(x.condition, SUM)} {'!=' if x.taken else '=='} {self.number(0.0)}")
        return self.loop(x) if isinstance(x, Loop) else self.endless

    counter = ""  # the keyword that defines the counter of a loop
    endless = "for (;;) {"  # the head of a loop that only a `Stop` ends
    end = "}"  # closes a block; "" if the language has no such line
    terminator = ";"  # after an assignment
    closing = "];"  # closes a constant array

    # --- Expressions ------------------------------------------------------------------------------------------------

    def expression(self, x: Expression, binding: int = CONDITION) -> str:
        """`x` as text, in brackets if it binds less tightly than `binding`."""
        level, text = self.text(x)
        return text if level >= binding else f"({text})"

    def text(self, x: Expression) -> tuple[int, str]:
        """`x` as text, and how tightly that binds."""
        if isinstance(x, Number):
            text = self.number(x.value)
            return (SIGN if text.startswith("-") else ATOM), text
        if isinstance(x, Name):
            return ATOM, x.name
        if isinstance(x, Item):
            return ATOM, f"{x.array}[{self.index(x.place)}]"
        if isinstance(x, Count):
            return SUM, self.count(x)
        if x.op is p.sum_:
            return SUM, " + ".join([self.expression(arg, PRODUCT if n else SUM) for n, arg in enumerate(x.args)])
        if x.op in self.operators:
            level, form, bindings = self.operators[x.op]
            args = [self.expression(arg, binding) for arg, binding in zip(x.args, bindings, strict=True)]
            return level, form.format(*args)
        return ATOM, f"{self.called(x.op)}({', '.join([self.expression(arg) for arg in x.args])})"

    def called(self, op: Primitive) -> str:
        """The function that computes `op`."""
        return self.functions[op.name][0]

    def index(self, index: Index) -> str:
        """An index into an array."""
        parts = []
        for stride, variable in index.terms:
            name = f"{variable.table}[{self.index(variable.place)}]" if isinstance(variable, Entry) else variable
            parts.append(name if stride == 1 else f"-{name}" if stride == -1 else f"{stride} * {name}")
        if index.start or not parts:
            parts.append(str(index.start))
        return " + ".join(parts).replace("+ -", "- ")

    # --- Statements -------------------------------------------------------------------------------------------------

    def statements(self, body: Iterable[Statement], indent: int = 1) -> Iterator[str]:
        """The lines of `body`."""
        space = "    " * indent
        for x in body:
            if isinstance(x, Loop | While | If):
                yield space + self.head_of(x)
                yield from self.statements(x.body, indent + 1)
                if self.end:
                    yield space + self.end
            elif isinstance(x, Comment):
                yield space + self.comment(x.text)
            elif isinstance(x, Stop):
                yield space + self.break_if(f"{self.expression(x.condition, SUM)} == {self.number(0.0)}")
            elif isinstance(x, Let):
                yield from self.broken(space + self.let(x))
            elif isinstance(x, Add):
                yield from self.broken(f"{space}{x.name} += {self.expression(x.expression)}{self.terminator}")
            else:
                assert isinstance(x, Store)
                assigned = f"{self.expression(x.item)} = {self.expression(x.expression)}{self.terminator}"
                yield from self.broken(space + assigned)

    def broken(self, line: str) -> list[str]:
        """A statement on several lines, if it is too long for one."""
        indent = " " * (8 + len(line) - len(line.lstrip()))
        return wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

    def definitions(self, listing: Listing) -> list[str]:
        """The definitions of the functions that the listing needs and the language does not have."""
        found: dict[str, str] = {}
        for op in listing.primitives:
            if op in self.operators or op.factors:
                continue
            definition = self.functions[op.name][1]
            for needed in self.needs(definition):
                found.setdefault(needed, self.functions[needed][1])
            if definition:
                found.setdefault(op.name, definition)
        return [text for text in found.values() if text]

    def needs(self, definition: str) -> list[str]:
        """The primitives that a definition calls: those after `needs:` in its first line."""
        first = definition.partition("\n")[0]
        return first.partition("needs: ")[2].replace(" */", "").split() if "needs: " in first else []

    def constant_arrays(self, listing: Listing) -> Iterator[list[str]]:
        """The lines of each constant array and each table of indices."""
        for name, rows in listing.arrays.items():
            lines = [self.declared(name, sum(len(row) for _, row in rows))]
            for comment, row in rows:
                lines += [f"    {self.comment(comment)}"] if comment else []
                lines += self.rows(row, "    ")
            yield [*lines, self.closing]
        for name, table in listing.tables.items():
            yield [self.declared(name, len(table), max(table)), *self.rows(table, "    ", str), self.closing]

    def rows(self, numbers: Sequence[float], indent: str, write: Callable[[float], str] | None = None) -> list[str]:
        """Numbers between commas, as many on a line as there is room for."""
        text = ", ".join([(write or self.number)(x) for x in numbers]) + ","
        return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
                    break_on_hyphens=False)  # fmt: skip

    def braced(self, numbers: Sequence[float], before: str, after: str, indent: str) -> list[str]:
        """`before`, the numbers between commas, and `after`: on one line if there is room."""
        line = f"{indent}{before}{', '.join(map(self.number, numbers))}{after}"
        if len(line) <= WIDTH:
            return [line]
        return [indent + before, *self.rows(numbers, indent + "    "), indent + after]

    def given(self, arguments: list[Variable], inputs: list[float], indent: str) -> list[str]:
        """The arguments of a call, in lines."""
        lines, at = [], 0
        for variable in arguments:
            values = inputs[at : at + variable.width]
            at += variable.width
            brackets = ("", ",") if variable.size is None else ("[", "],")
            lines += self.braced(values, *brackets, indent)
        return lines

    def heading(self, function: Function) -> list[str]:
        """The lines of the comment above a function."""
        return wrap(function.about, WIDTH - 4)
