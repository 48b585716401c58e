"""From programs to statements: the body of an exported function.

A program has wide instructions. A short one becomes straight lines over named scalars. In a long one each wide
instruction becomes a loop nest over arrays, so that the length of the file does not grow with the number of operations.

A loop of the function stays a loop: the program of its body is written once, inside a `for` or a `while`. Its states
are variables, and the numbers that its steps store for later are in arrays.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, groupby
from typing import NamedTuple, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.backends import Backend
from autograd_lite.compiler.export.listing import (
    OWN,
    Add,
    Call,
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
    assigned_in,
    identifier,
    names_in,
    parts,
    renamed,
    without_dead,
)
from autograd_lite.compiler.pipeline import LoopPlan, Pipeline
from autograd_lite.compiler.program import Guard, Instruction, Program
from autograd_lite.primitives import Primitive

STRAIGHT = 60  # operations and terms up to which a program is written as straight lines
WIDE = 6  # operations and terms in an instruction, on average, from which on loops are shorter than straight lines
INLINED = 6  # operations in one expression, at most, when a variable that is read once is replaced by its expression
LINE = 8  # terms of a long sum in one statement, and operations of an instruction that is not worth a loop
COPIES = 4  # assignments from which on a loop is written for them
SCALARS = 6  # states with one name that are variables; more of them are an array

ZERO, ONE = Number(0.0), Number(1.0)
PYTHON = Backend("python", {})
Axis: TypeAlias = tuple[str, int]  # the counter of a loop, and how many steps it has


class Part(NamedTuple):
    """Where numbers of a sweep go: `size` of them, from `first` on, to the result number `result`.

    Run n writes the elements n * `step`, n * `step` + `stride`, and so on, of that result.
    """

    result: int
    first: int
    size: int
    step: int
    stride: int


class Sweep(NamedTuple):
    """A program that is run several times, and the places to which its results go.

    Its last inputs are seeds, one for each run: seed n is 1.0 in run n and 0.0 in the others. A `single` run has none.
    """

    program: Program | Pipeline
    runs: int
    parts: list[Part]
    single: bool = False


def whole(program: Program | Pipeline, results: Sequence[Variable]) -> Sweep:
    """The only run of a program that computes all `results`, one after the other."""
    firsts = accumulate([x.width for x in results], initial=0)
    places = [Part(n, first, x.width, 0, 1) for n, (x, first) in enumerate(zip(results, firsts, strict=False))]
    return Sweep(program, 1, places, True)


def expected(
    sweeps: Sequence[Sweep], results: Sequence[Variable], inputs: Sequence[float], captured: Sequence[float]
) -> list[float]:
    """The numbers of `results`, one after the other, computed by the executor in Python."""
    found = [[0.0] * x.width for x in results]
    for program, runs, places, single in sweeps:
        seeds = [[float(n == k) for k in range(runs)] if not single else [] for n in range(runs)]
        rows = array("d", [x for row in seeds for x in (*inputs, *row)])
        numbers, _ = PYTHON.executor(program)(runs, rows, array("d", captured))
        width = len(numbers) // runs
        for n in range(runs):
            for result, first, size, step, stride in places:
                for k in range(size):
                    found[result][n * step + k * stride] = numbers[n * width + first + k]
    return [x for numbers in found for x in numbers]


def write(
    listing: Listing,
    function: Function,
    sweeps: Sequence[Sweep],
    taken: set[str],
    captured: Sequence[Expression],
    numbers: Sequence[float],
) -> None:
    """Fill the body of `function`, which runs `sweeps`.

    `captured` has the expression that reads each captured number, and `numbers` the numbers. `taken` are the names
    that are in use; those of local variables are added.
    """
    _Writer(listing, function, taken, captured, numbers).write(sweeps)


def shared_numbers(program: Program, captured: Sequence[float]) -> list[float]:
    """The numbers that all rows share: constants, captured, and those that are computed from them once."""
    if not program.once:
        return [*program.constants, *captured]
    once = Program(
        constants=program.constants,
        captured=program.captured,
        inputs=0,
        once=program.once,
        each=(),
        total=(),
        results=array("i", range(program.shared)),
        sums=array("i"),
    )
    return list(PYTHON.executor(once)(1, array("d"), array("d", captured))[0])


class _Writer:
    """Writes the body of one function. `body` is the block that is being written."""

    def __init__(
        self,
        listing: Listing,
        function: Function,
        taken: set[str],
        captured: Sequence[Expression],
        numbers: Sequence[float],
    ) -> None:
        self.listing, self.function, self.taken = listing, function, taken
        self.captured, self.numbers = captured, numbers
        self.body: list[Statement] = []
        self.counters: list[str] = []  # of loops, by how many other loops contain them
        self.depth = self.variables = self.sums = 0
        self.fixed = {*listing.constants, *listing.arrays, *[x.name for x in function.arguments]}
        self.known: dict[Expression, Name] = {}  # variables outside of loops

    def write(self, sweeps: Sequence[Sweep]) -> None:
        """Write everything."""
        function = self.function
        inputs = [x for argument in function.arguments for x in elements(argument)]
        in_place: dict[str, str] = {}
        for sweep in sweeps:
            if not sweep.single:
                self.sweep(sweep, inputs)
                continue
            found = self.run(sweep.program, inputs, self.captured, self.numbers, {})
            for part in sweep.parts:
                xs, result = found[part.first : part.first + part.size], function.results[part.result]
                if result.size is None:
                    function.scalars[result.name] = xs[0]
                elif (name := self.local_array(xs)) and name not in in_place:
                    in_place[name] = result.name
                else:
                    self.copy(Item(result.name, Index(0)), xs)
        wanted = {*in_place, *[x.name for x in function.results], *names_in(list(function.scalars.values()))}
        function.body = [renamed(x, in_place) for x in without_dead(self.body, wanted)]
        function.scalars = {name: renamed(x, in_place) for name, x in function.scalars.items()}
        used = {x.array for x in parts(function.body) if isinstance(x, Item)}
        function.arrays = {name: size for name, size in function.arrays.items() if name in used}

    def sweep(self, sweep: Sweep, inputs: Sequence[Expression]) -> None:
        """Write the runs of a program as a loop. Operations that are the same in all of them come before it."""
        if sweep.runs == 1:
            self.sweep_results(sweep, [*inputs, ONE], "")
            return
        counter, seed = self.counter(), self.array("seed", sweep.runs)
        outer, self.body, self.depth = self.body, [], self.depth + 1
        self.copy(Item(seed, Index(0)), [ZERO] * sweep.runs)
        self.add(Store(Item(seed, Index(0, ((1, counter),))), ONE))
        self.sweep_results(sweep, [*inputs, *[Item(seed, Index(k)) for k in range(sweep.runs)]], counter)
        before, inside = _invariant(self.body, {counter, seed})
        self.body, self.depth = [*outer, *before], self.depth - 1
        names = ", ".join([self.function.results[x.result].name for x in sweep.parts if x.step])
        self.add(Comment(f"{names}: {'row by row' if any(x.step > 1 for x in sweep.parts) else 'column by column'}"))
        self.add(Loop(counter, sweep.runs, tuple(inside)))

    def sweep_results(self, sweep: Sweep, inputs: Sequence[Expression], counter: str) -> None:
        """Write one run, and the assignments to the results."""
        found = self.run(sweep.program, inputs, self.captured, self.numbers, {})
        for result, first, size, step, stride in sweep.parts:
            terms = ((step, counter),) if step and counter else ()
            target = Item(self.function.results[result].name, Index(0, terms))
            self.copy(target, found[first : first + size], stride)

    def local_array(self, xs: Sequence[Expression]) -> str:
        """The name of the local array whose elements are `xs`; "" if there is none."""
        name = xs[0].array if isinstance(xs[0], Item) else ""
        return name if list(xs) == [Item(name, Index(n)) for n in range(self.function.arrays.get(name, 0))] else ""

    def add(self, statement: Statement) -> None:
        """Add to the block."""
        self.body.append(statement)

    def let(self, label: str, expression: Expression) -> Expression:
        """`expression`, as a new variable if it is more than a name, a number or an element of an array."""
        if not isinstance(expression, Call | Count):
            return expression
        if expression in self.known:
            return self.known[expression]
        name = Name(identifier(label, self.taken))
        self.add(Let(name.name, expression))
        if not self.depth and self.fixed.issuperset(names_in(expression)):
            self.known[expression] = name
        return name

    def array(self, label: str, size: int) -> str:
        """The name of a new local array."""
        name = identifier(label, self.taken)
        self.function.arrays[name] = size
        return name

    # --- Programs and loops -----------------------------------------------------------------------------------------

    def run(
        self,
        program: Program | Pipeline,
        inputs: Sequence[Expression],
        captured: Sequence[Expression],
        numbers: Sequence[float],
        hints: dict[int, str],
    ) -> list[Expression]:
        """The results of `program`, whose captured numbers are `numbers`; `hints` are names for some of the results."""
        if isinstance(program, Program):
            return _Block(self, program, inputs, captured, numbers, hints).results()
        tables: list[list[Expression]] = []
        fixed: dict[int, Sequence[float]] = {}  # the numbers of tables that depend on no argument

        def given(reads: Sequence[int], rows: bool) -> tuple[list[Expression], list[Expression], list[float]]:
            return (
                [*inputs, *[x for k in reads if k not in fixed for x in tables[k]]] if rows else [],
                [*captured, *[x for k in reads if k in fixed for x in tables[k]]],
                [*numbers, *[x for k in reads if k in fixed for x in fixed[k]]],
            )

        for stage in program.stages:
            if stage.shared:
                arguments, _ = PYTHON.executor(stage.program)(1, array("d"), array("d", given(stage.reads, False)[2]))
                known = [fixed.get(k, ()) for k in range(len(tables))]
                for table in PYTHON.looper(stage.plan)(1, arguments, known):
                    fixed[len(tables)] = table
                    tables.append([Number(x) for x in table])
            else:
                tables += self.loop(stage.plan, self.run(stage.program, *given(stage.reads, True), {}), tables)
        return self.run(program.last, *given(program.reads, True), hints)

    def loop(
        self, plan: LoopPlan, args: Sequence[Expression], tables: Sequence[Sequence[Expression]]
    ) -> tuple[list[Expression], list[Expression]]:
        """Write the loop of `plan`; return the expressions for the numbers of its two tables."""
        n, S = plan.n, plan.states
        first, labels = args[:S], [x or "state" for x in plan.labels]
        given = [self.let(label, x) for label, x in zip(labels[S:], args[S : S + plan.constants], strict=False)]
        counter = self.counter()
        for source, label in zip(plan.columns, labels[S + len(given) :], strict=False):
            numbers = args if source.table < 0 else tables[source.table]
            given.append(self.column(numbers[source.start : source.start + n], counter, label))
        self.add(Comment(_title(plan)))
        states = self.states(labels[:S], first)
        outer, self.body, self.depth = self.body, [], self.depth + 1
        given = [self.let(label, x) for label, x in zip(labels[S:], given, strict=False)]
        hints = {k: f"new_{label}" for k, label in enumerate(labels[:S]) if isinstance(states[k], Name)}
        found = self.run(plan.body, [*states, *given], (), (), hints)
        if plan.conditional:
            self.stop(found.pop())
        stored = self.store(labels[S + len(given) :], found[S:], n, counter)
        last, moving = list(states), list(range(S))
        for k, (state, x) in enumerate(zip(states, first, strict=True)):
            start = _whole(x)
            if start is None or plan.conditional or plan.reverse or not _counts(state, found[k]):
                continue
            # The state is the counter of the loop.
            outer.remove(Let(_variable(state), x, varies=True))
            self.body.insert(0, Let(_variable(state), Count(counter, start)))
            moving.remove(k)
            last[k] = Number(float(start + n))
            for column, y in zip(stored, found[S:], strict=True):
                column[:] = [Number(float(start + step)) for step in range(n)] if y == state else column
        self.assign([states[k] for k in moving], [found[k] for k in moving])
        body, self.body, self.depth = tuple(self.body), outer, self.depth - 1
        statement: Statement = While(body) if plan.conditional else Loop(counter, n, body, plan.reverse)
        if plan.guarded:
            condition: Expression = args[-1]
            taken = True
            while isinstance(condition, Call) and condition.op is p.where and {*condition.args[1:]} == {ONE, ZERO}:
                taken = taken == (condition.args[1] == ONE)
                condition = condition.args[0]
            statement = If(condition, taken, (statement,))
        self.add(statement)
        kept, others = stored[: plan.kept], stored[plan.kept :]
        return [*last, *[x for column in kept for x in column]], [x for column in others for x in column]

    def counter(self) -> str:
        """The name of the counter of a loop at this depth."""
        if self.depth == len(self.counters):
            self.counters.append(identifier("n", self.taken))
        return self.counters[self.depth]

    def states(self, labels: Sequence[str], first: Sequence[Expression]) -> list[Expression]:
        """Variables for the states of a loop that begin with `first`: scalars, or an array for many of one name."""
        states: list[Expression] = []
        for stem, count in stems(labels):
            at = len(states)
            if count > SCALARS:
                name = self.array(stem, count)
                self.copy(Item(name, Index(0)), first[at : at + count])
                states += [Item(name, Index(k)) for k in range(count)]
                continue
            for label, x in zip(labels[at : at + count], first[at : at + count], strict=True):
                name = identifier(label, self.taken)
                self.add(Let(name, x, varies=True))
                states.append(Name(name))
        return states

    def column(self, xs: Sequence[Expression], counter: str, label: str) -> Expression:
        """The expression that reads, in each step of a loop, the one of `xs` that belongs to the step."""
        start = _whole(xs[0])
        if len(xs) > 1 and start is not None and all(x == Number(start + n) for n, x in enumerate(xs)):
            return Count(counter, start)
        return self.at(xs, [(counter, len(xs))], label)

    def store(self, labels: Sequence[str], xs: Sequence[Expression], n: int, counter: str) -> list[list[Expression]]:
        """Store `xs` in each of the `n` steps of a loop; return for each the expressions that read it at each step."""
        columns: list[list[Expression]] = []
        for stem, count in stems(labels[: len(xs)]):
            at = len(columns)
            x = xs[at]
            named = isinstance(x, Name) and not OWN.fullmatch(x.name)
            label = (stem or "x") if count > 1 else x.name if named else labels[at]  # type: ignore[union-attr]
            name = self.array(f"{label}_at", n * count)
            self.copy(Item(name, Index(0, ((count, counter),))), xs[at : at + count])
            for k in range(count):
                column: list[Expression] = [Item(name, Index(count * step + k)) for step in range(n)]
                columns.append(column)
        return columns

    def stop(self, condition: Expression) -> None:
        """End the loop where `condition` is 0: as early in the step as it is known."""
        while isinstance(condition, Call) and condition.op is p.where and condition.args[1:] == (ONE, ZERO):
            condition = condition.args[0]
        needed = set(names_in(condition))
        places = [n for n, x in enumerate(self.body) if not needed.isdisjoint(assigned_in(x))]
        self.body.insert(max(places, default=-1) + 1, Stop(condition))

    def assign(self, states: Sequence[Expression], xs: Sequence[Expression]) -> None:
        """Assign `xs`, which may read the states, to the states, all at the same time."""
        pending: dict[str, list[Expression]] = {}
        for state, x in zip(states, xs, strict=True):
            pending.setdefault(_variable(state), []).append(x)
        arrays = {_variable(x) for x in states if isinstance(x, Item)}
        for name in list(pending):
            if pending[name] == [x for x in states if _variable(x) == name]:
                del pending[name]  # they stay as they are
            elif name in arrays and name in names_in(pending[name]):
                pending[name] = self.aside(name, pending[name], True)
        while pending:
            reads = {name: set(names_in(x)) for name, x in pending.items()}
            free = [x for x in pending if not any(x in reads[other] for other in pending if other != x)]
            if not free:  # then some of them read others: put the first that does into a new variable
                name = next(x for x in pending if not reads[x].isdisjoint(pending.keys() - {x}))
                pending[name] = self.aside(name, pending[name], name in arrays)
                continue
            new = pending.pop(free[0])
            if free[0] in arrays:
                self.copy(Item(free[0], Index(0)), new)
            else:
                self.add(Store(Name(free[0]), new[0]))

    def aside(self, name: str, xs: Sequence[Expression], is_array: bool) -> list[Expression]:
        """Put `xs` into new variables, or into an array."""
        if is_array:
            copy = self.array(f"next_{name}", len(xs))
            self.copy(Item(copy, Index(0)), xs)
            return [Item(copy, Index(k)) for k in range(len(xs))]
        copy = identifier(f"next_{name}", self.taken)
        self.add(Let(copy, xs[0]))
        return [Name(copy)]

    # --- Arrays -----------------------------------------------------------------------------------------------------

    def copy(self, target: Item, xs: Sequence[Expression], stride: int = 1) -> None:
        """Assign `xs` to every `stride`-th element of an array, from `target` on: in loops where that is shorter."""
        at = 0
        while at < len(xs):
            end = len(xs) if len(xs) > 2 * COPIES and _alike(xs) else _run_end(xs, at)
            place = target.place._replace(start=target.place.start + at * stride)
            if end - at < COPIES:
                self.add(Store(Item(target.array, place), xs[at]))
                at += 1
                continue
            read = self.at(xs[at:end], [("i", end - at)])
            place = place._replace(terms=(*place.terms, (stride, "i")))
            self.add(Loop("i", end - at, (Store(Item(target.array, place), read),)))
            at = end

    def at(
        self, xs: Sequence[Expression], axes: Sequence[Axis], label: str = "t", numbers: Sequence[float] | None = None
    ) -> Expression:
        """The expression that reads the one of `xs` that belongs to the counters of `axes`, whose last runs fastest.

        `numbers` are those of `xs` if they are known. Otherwise `xs` that are not in one array are copied into one.
        """
        if _constant(xs):
            return xs[0]
        first = xs[0]
        if not _in_one_array(xs):
            numbers = [x.value for x in xs if isinstance(x, Number)] if numbers is None else numbers
            if len(numbers) == len(xs):
                name = self.constants(numbers)
            else:
                name = self.array(label, len(xs))
                self.copy(Item(name, Index(0)), xs)
            xs = [first := Item(name, Index(0)), *[Item(name, Index(n)) for n in range(1, len(xs))]]
        assert isinstance(first, Item)
        starts = [x.place.start for x in xs if isinstance(x, Item)]
        return Item(first.array, Index(0, first.place.terms).plus(self.place(starts, axes)))

    def place(self, starts: Sequence[int], axes: Sequence[Axis]) -> Index:
        """The index that runs through `starts`: by a table, if they are not regular."""
        terms, regular = _regular(starts, axes)
        if regular:
            return Index(starts[0], terms)
        tables, found = self.listing.tables, tuple(starts)
        name = next((name for name, table in tables.items() if table == found), f"at{len(tables)}")
        tables[name] = found
        return Index(0, ((1, Entry(name, Index(0, _regular(range(len(starts)), axes)[0]))),))

    def constants(self, values: Sequence[float]) -> str:
        """The name of a constant array with these numbers."""
        arrays, key = self.listing.arrays, array("d", values).tobytes()
        for name, rows in arrays.items():
            if array("d", [x for _, row in rows for x in row]).tobytes() == key:
                return name
        name = f"c{len(arrays)}"
        arrays[name] = [("", list(values))]
        return name


class _Block:
    """Writes one program. `known` has the expression for the number at each address, once it is computed."""

    def __init__(
        self,
        writer: _Writer,
        program: Program,
        inputs: Sequence[Expression],
        captured: Sequence[Expression],
        numbers: Sequence[float],
        hints: dict[int, str],
    ) -> None:
        self.writer, self.program, self.numbers = writer, program, numbers
        self.known: list[Expression] = [*[Number(x) for x in program.constants], *captured]
        self.known += [ZERO] * (program.shared - len(self.known))  # until they are computed
        self.known += inputs
        self.known += [ZERO] * (program.rows - len(self.known))
        self.hints = {program.results[n]: name for n, name in hints.items()}
        self.sizes: dict[int, int] = {}  # the number of operations in an expression that is not in a variable
        self.uses = Counter(program.results)
        for instruction in program.instructions:
            for n in range(len(instruction.operands)):
                self.uses.update(instruction.addresses(n))
        count = sum(i.width * i.shape[2] for i in program.instructions)
        self.straight = count <= STRAIGHT or count < WIDE * len(program.instructions)
        self.indexed: set[int] = set()  # addresses that a loop nest reads by an index
        self.workspace = ""  # the array in which the results of loop nests are

    @cached_property
    def values(self) -> list[float]:
        """The numbers at the addresses that all rows share."""
        return shared_numbers(self.program, self.numbers)

    def results(self) -> list[Expression]:
        """Write the instructions; return the expressions for the results."""
        program = self.program
        for instruction in program.each if not self.straight else ():
            if self.is_wide(instruction):
                for n in range(len(instruction.operands)):
                    addresses = set(instruction.addresses(n))
                    self.indexed |= addresses if len(addresses) > 1 else set()
        guards = program.guards if self.straight else ()
        self.uses.update([guard.condition for guard in guards])
        blocks: list[tuple[Guard, list[Statement]]] = []  # the open guards, and the block around each
        instructions = (*program.once, *program.each)
        for n, instruction in enumerate(instructions):
            for guard in [guard for guard in guards if guard.begin == n]:
                blocks.append((guard, self.writer.body))
                self.writer.body = []
            if n >= len(program.once):
                (self.nest if self.is_wide(instruction) else self.lines)(instruction)
            elif self.is_wide(instruction):
                for address in range(instruction.dst, instruction.dst + instruction.width):
                    self.known[address] = Number(self.values[address])
            else:
                self.lines(instruction)
            while blocks and blocks[-1][0].end == n + 1:
                self.close(*blocks.pop())
        return [self.known[address] for address in program.results]

    def close(self, guard: Guard, around: list[Statement]) -> None:
        """End the block of a guard. The variables in it that something outside reads are defined before it."""
        body, self.writer.body = self.writer.body, around
        inside = self.program.instructions[guard.begin : guard.end]
        made = [address for i in inside for address in range(i.dst, i.dst + i.width)]
        own: Counter[int] = Counter()
        for instruction in inside:
            for n in range(len(instruction.operands)):
                own.update(instruction.addresses(n))
        outside = {name for a in made if self.uses[a] > own[a] for name in names_in(self.known[a])}
        inner: list[Statement] = []
        for x in body:
            if isinstance(x, Let) and x.name in outside:
                self.writer.add(Let(x.name, ZERO, varies=True))
                inner.append(Store(Name(x.name), x.expression))
            else:
                inner.append(x)
        if inner:
            self.writer.add(If(self.known[guard.condition], guard.taken, tuple(inner)))

    def is_wide(self, instruction: Instruction) -> bool:
        """Whether an instruction is written as a loop nest: of straight lines, a long sum over arrays only."""
        count = instruction.shape[2]
        if not self.straight or count <= LINE:
            return not self.straight and instruction.width * count > LINE
        operands = [[self.known[a] for a in instruction.addresses(n)] for n in range(1, len(instruction.operands))]
        return all(_in_one_array(xs) or _constant(xs) for xs in operands)

    def in_workspace(self, count: int) -> Item:
        """The first of `count` new elements of the workspace."""
        arrays = self.writer.function.arrays
        if not self.workspace:
            taken = self.writer.taken
            self.workspace = next(x for x in ("t", *[f"t{n}" for n in range(2, len(taken) + 3)]) if x not in taken)
            taken.add(self.workspace)
            arrays[self.workspace] = 0
        arrays[self.workspace] += count
        return Item(self.workspace, Index(arrays[self.workspace] - count))

    def lines(self, instruction: Instruction) -> None:
        """One statement for each number, but a number that is read once goes into the expression that reads it."""
        add = self.writer.add
        for address, reads in _numbers(instruction):
            expression = _expression(instruction.op, [self.known[a] for a in reads])
            if address in self.indexed:
                self.known[address] = item = self.in_workspace(1)
                add(Store(item, expression))
                continue
            terms = expression.args if isinstance(expression, Call) and expression.op is p.sum_ else ()
            size = max(len(terms), 1) + sum(self.sizes.get(a, 0) for a in reads)
            if (self.uses[address] == 1 and size <= INLINED) or not isinstance(expression, Call):
                self.known[address], self.sizes[address] = expression, size
                continue
            name = self.variable(address)
            self.known[address] = Name(name)
            if len(terms) <= LINE:
                add(Let(name, expression))
                continue
            add(Let(name, Call(p.sum_, terms[:LINE]), varies=True))
            for term in terms[LINE:]:
                add(Add(name, term))

    def variable(self, address: int) -> str:
        """A new name for the number at `address`."""
        if address in self.hints:
            return identifier(self.hints[address], self.writer.taken)
        self.writer.variables += 1
        return f"v{self.writer.variables - 1}"

    def nest(self, instruction: Instruction) -> None:
        """The loop nest of one instruction."""
        op, (J, I, K) = instruction.op, instruction.shape  # noqa: E741
        args = [self.operand(instruction, n) for n in range(len(instruction.operands))]
        body: list[Statement] = []
        if op.factors and K > 1:
            z = Name(f"z{self.writer.sums}")  # a name of its own, as it may stand outside of any loop
            self.writer.sums += 1
            term = _product(*args[1:]) if op is p.dot else args[1]
            body = [Let(z.name, args[0], varies=True), Loop("k", K, (Add(z.name, term),))]
            expression: Expression = z
        else:
            expression = _expression(op, args)
        if instruction.width == 1 and instruction.dst not in self.indexed:
            self.writer.body += body
            self.known[instruction.dst] = expression
            return
        target = self.in_workspace(instruction.width)
        for n in range(instruction.width):
            self.known[instruction.dst + n] = Item(target.array, Index(target.place.start + n))
        terms, _ = _regular(range(instruction.width), [("j", J), ("i", I)])
        body.append(Store(Item(target.array, Index(target.place.start, terms)), expression))
        for counter, count in (("i", I), ("j", J)):
            body = [Loop(counter, count, tuple(body))] if count > 1 else body
        self.writer.body += body

    def operand(self, instruction: Instruction, n: int) -> Expression:
        """The expression for operand `n` inside the loop nest over j, i and k."""
        addresses = list(instruction.addresses(n))
        numbers = [self.values[a] for a in addresses] if max(addresses) < self.program.shared else None
        axes = list(zip("jik", instruction.points(n), strict=True))
        return self.writer.at([self.known[a] for a in addresses], axes, numbers=numbers)


# ---- expressions


def elements(variable: Variable) -> list[Expression]:
    """The expressions for the numbers of an argument."""
    if variable.size is None:
        return [Name(variable.name)]
    return [Item(variable.name, Index(n)) for n in range(variable.size)]


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
    if op is p.mul:
        return _product(*args)
    if not op.factors:
        return Call(op, tuple(args))
    start, rest = args[0], args[1:]
    parts: list[Expression] = list(rest)
    if op is p.dot:
        parts = [_product(x, y) for x, y in zip(rest[::2], rest[1::2], strict=True)]
    if _key(start) != "-0.0":
        parts.insert(0, start)
    return parts[0] if len(parts) == 1 else Call(p.sum_, tuple(parts))


def _product(x: Expression, y: Expression) -> Expression:
    """x * y; only the other where one of them is the number 1."""
    for one, other in ((x, y), (y, x)):
        if one == ONE:
            return other
    return Call(p.mul, (x, y))


def _counts(state: Expression, new: Expression) -> bool:
    """Whether each step adds 1 to a state."""
    if not isinstance(new, Call) or not isinstance(state, Name):
        return False
    return new.op in (p.add, p.sum_) and new.args in ((state, ONE), (ONE, state))


def _whole(x: Expression) -> int | None:
    """The whole number that `x` is; None if it is not one. -0.0 is not one: no integer has a sign beside that."""
    whole = isinstance(x, Number) and x.value.is_integer() and _key(x) != "-0.0"
    return int(x.value) if whole else None  # type: ignore[union-attr]


def _title(plan: LoopPlan) -> str:
    """The text of the comment above a loop."""
    title = plan.title.removesuffix(" of <lambda>")
    if plan.conditional:
        return f"{title}, until its condition fails"
    return f"{title}: {plan.n} steps{', from the last to the first' if plan.reverse else ''}"


def _variable(state: Expression) -> str:
    assert isinstance(state, Name | Item)
    return state.name if isinstance(state, Name) else state.array


# ---- expressions side by side


def _key(x: Expression) -> object:
    """`x`, but numbers by their text, so that 0.0 and -0.0 differ, and nan is nan."""
    return repr(x.value) if isinstance(x, Number) else x


def _constant(xs: Sequence[Expression]) -> bool:
    """Whether all of `xs` are the same."""
    return len(set(map(_key, xs))) == 1


def _in_one_array(xs: Sequence[Expression]) -> bool:
    """Whether all of `xs` are elements of one array whose indices differ by whole numbers."""
    return all(isinstance(x, Item) for x in xs) and len({(x.array, x.place.terms) for x in xs}) == 1  # type: ignore[union-attr]


def _alike(xs: Sequence[Expression]) -> bool:
    """Whether one loop can read all of `xs`."""
    return _in_one_array(xs) or all(isinstance(x, Number) for x in xs)


def _run_end(xs: Sequence[Expression], begin: int) -> int:
    """The end of the longest run from `begin` on of equal expressions, or of regular elements of one array."""
    end = begin + 1
    while end < len(xs) and _key(xs[end]) == _key(xs[begin]):
        end += 1
    if end > begin + 1:
        return end
    while end < len(xs) and _in_one_array([xs[begin], xs[end]]):
        starts = [x.place.start for x in (xs[begin], xs[begin + 1], xs[end - 1], xs[end]) if isinstance(x, Item)]
        if starts[3] - starts[2] != starts[1] - starts[0]:
            break
        end += 1
    return end


def _regular(starts: Sequence[int], axes: Sequence[Axis]) -> tuple[tuple[tuple[int, str], ...], bool]:
    """The terms of an index that runs through `starts` along `axes`, and whether they give all of `starts`."""
    terms: list[tuple[int, str]] = []
    size, expected = 1, [starts[0]]
    for counter, count in reversed(axes):
        stride = starts[size] - starts[0] if count > 1 else 0
        if stride:
            terms.insert(0, (stride, counter))
        expected = [x + n * stride for n in range(count) for x in expected]
        size *= count
    return tuple(terms), list(starts) == expected


def _invariant(body: Sequence[Statement], varying: set[str]) -> tuple[list[Statement], list[Statement]]:
    """The statements that depend on none of the variables `varying`, and the others."""
    simple = [x for x in body if not isinstance(x, Comment)]
    while True:
        depend = [x for x in simple if not varying.isdisjoint({*names_in(x), *[y for y in parts(x) if type(y) is str]})]
        more = {name for x in depend for name in assigned_in(x)}
        if more <= varying:
            break
        varying = varying | more
    before: list[Statement] = []
    inside: list[Statement] = []
    comments: list[Statement] = []
    for x in body:
        if isinstance(x, Comment):
            comments.append(x)
            continue
        (inside if not varying.isdisjoint(assigned_in(x)) else before).extend([*comments, x])
        comments = []
    return before, inside


def stems(labels: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The labels without the index at their end, and how many in a row have this in common."""
    for stem, group in groupby(labels, key=lambda label: re.sub(r"[\[\]().\d_]*$", "", label)):
        yield stem, len(list(group))
