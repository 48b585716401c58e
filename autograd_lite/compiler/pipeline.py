"""From a graph with loops to programs: the body of each loop is a program, and so is each part between two loops.

A loop is run after the program that computes its arguments. Its results are inputs of the programs after it. A loop
that no row changes runs once for all rows. If only one side of a condition needs a loop, the condition is one more
argument of the loop, which is skipped where the other side is chosen.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from autograd_lite.calls import item
from autograd_lite.compiler.arguments import floats
from autograd_lite.compiler.loops import Loop
from autograd_lite.compiler.program import Instruction, Program
from autograd_lite.compiler.schedule import schedule
from autograd_lite.compiler.sides import Side, Sides, on_side
from autograd_lite.compiler.simplify import simplify
from autograd_lite.compiler.trace import Symbol, Trace, order_of

if TYPE_CHECKING:
    from autograd_lite.compiler.backends import Backend

Buffer: TypeAlias = Any
Tables: TypeAlias = list[Buffer]  # of every loop so far, the buffer that is read as inputs and the one that is not


class Source(NamedTuple):
    """Where a loop reads a column: in the buffer number `table`, or in its own arguments if that is -1.

    Step i of the column is at `start` + i of a row that is `width` long. All rows share it if `shared`.
    """

    table: int
    start: int
    width: int
    shared: bool


class LoopPlan(NamedTuple):
    """A loop as executors run it: `n` steps of `body`, from the last to the first if `reverse`.

    The inputs of `body` are the states, the constants and the columns; its results are the next states, then what each
    step stores. A call gives two buffers, each with one row for each row of the batch: the first holds the last states
    and then the first `kept` of the stored columns, which later programs read as inputs, all steps of one column and
    then those of the next; the second holds the other columns, which only loops read.

    If the loop is `guarded`, its last argument is 0 in a row that does not need it. Then an executor may leave it out;
    the two buffers have zeros in that row.

    A `conditional` loop stores nothing, and `n` is 0: its body gives the condition after the next states, and the loop
    ends, for each row, before the first step whose condition is 0.

    `title` and `labels` are for readers of exported files: which loop this is, and names for the inputs of `body` and
    then for the stored columns; "" where none is known.
    """

    name: str
    n: int
    reverse: bool
    body: Program | Pipeline
    states: int
    constants: int
    columns: tuple[Source, ...]
    stored: int
    kept: int
    conditional: bool
    guarded: bool
    title: str
    labels: tuple[str, ...]

    @property
    def widths(self) -> tuple[int, int]:
        """The lengths of a row in the two buffers."""
        return self.states + self.kept * self.n, (self.stored - self.kept) * self.n


class Stage(NamedTuple):
    """A loop, and the program that computes its arguments from the inputs and from the tables `reads`.

    If `shared`, the loop runs once for all rows.
    """

    program: Program
    reads: tuple[int, ...]
    plan: LoopPlan
    shared: bool


class Pipeline(NamedTuple):
    """`stages` in order, then the program `last`, which reads the tables `reads`. Stands in for a Program.

    `inputs` is how many numbers a row has.
    """

    stages: tuple[Stage, ...]
    last: Program
    reads: tuple[int, ...]
    inputs: int

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """Those of all programs, of the bodies too."""
        programs = [program for stage in self.stages for program in (stage.program, stage.plan.body)]
        return tuple([x for program in (*programs, self.last) for x in program.instructions])

    @property
    def results(self) -> array[int]:
        """Those of the last program."""
        return self.last.results

    @property
    def sums(self) -> array[int]:
        """Those of the last program."""
        return self.last.sums

    def __str__(self) -> str:
        lines = []
        for stage in self.stages:
            plan = stage.plan
            lines.append(str(stage.program))
            steps = "steps until a condition is 0" if plan.conditional else f"{plan.n} steps"
            steps += ", if they are needed" if plan.guarded else ""
            lines.append(f"{plan.name}: {steps}{', from the last to the first' if plan.reverse else ''}")
            lines += [f"    {line}" for line in str(plan.body).splitlines()]
        return "\n".join([*lines, str(self.last)])

    # --- Running -----------------------------------------------------------------------------------------------

    def executor(self, backend: Backend) -> Callable[..., tuple[Any, Any]]:
        """A function `run(n, rows, captured) -> (results, sums)` on `backend`: see `Executor`."""
        prepare, run = self._stages(backend), backend.executor(self.last)
        return lambda n, rows, captured: run(n, *prepare(n, rows, captured))

    def writer(self, backend: Backend) -> Callable[..., None]:
        """A function `write(n, rows, captured, results, sums)` on `backend`: see `Executor`."""
        prepare, write = self._stages(backend), backend.writer(self.last)
        return lambda n, rows, captured, results, sums: write(n, *prepare(n, rows, captured), results, sums)

    def _stages(self, backend: Backend) -> Callable[..., tuple[Any, Any]]:
        """A function that runs all loops, and gives the rows and the captured numbers for the last program."""
        runs = [(backend.executor(stage.program), backend.looper(stage.plan), stage) for stage in self.stages]
        shared = [stage.shared for stage in self.stages]

        def given(rows: tuple[Any, ...], captured: Any, tables: Tables, reads: Sequence[int]) -> tuple[Any, Any]:
            added = [x for k in reads if shared[k // 2] for x in floats(tables[k])]
            rows = (*rows, *[tables[k] for k in reads if not shared[k // 2]])
            return rows if len(rows) > 1 else rows[0], array("d", [*floats(captured), *added]) if added else captured  # pyright: ignore[reportGeneralTypeIssues]

        def prepare(n: int, rows: Any, captured: Any) -> tuple[Any, Any]:
            rows = rows if type(rows) is tuple else (rows,)
            tables: Tables = []
            for run, loop, stage in runs:
                m = 1 if stage.shared else n
                found, _ = run(m, *given((array("d"),) if stage.shared else rows, captured, tables, stage.reads))
                tables += loop(m, found, tables)
            return given(rows, captured, tables, self.reads)

        return prepare


def planned(
    trace: Trace,
    results: Sequence[Any],
    sums: Sequence[Any],
    inputs: Sequence[Symbol],
    captured: Sequence[Symbol],
) -> Program | Pipeline:
    """The program that computes `results` for each row and adds up `sums` over the rows: operands in normal form."""
    roots = [*results, *sums]
    order = order_of(roots)
    loops = [node for node in order if isinstance(node.op, Loop)]
    if not loops:
        return schedule(results, sums, inputs, captured)
    layouts = _layouts(order, loops)
    new: dict[Any, Any] = {}
    for node in order:
        if node.op is item:
            new[node] = layouts[node.args[0]].symbol(int(node.args[1]))
        elif node.op is None:
            new[node] = node
        elif not isinstance(node.op, Loop):
            new[node] = trace.make(node.op, tuple([x if type(x) is float else new[x] for x in node.args]))

    def replaced(xs: Sequence[Any]) -> list[Any]:
        return [x if type(x) is float else new[x] for x in xs]

    def segment(results: Sequence[Any], sums: Sequence[Any], rows: bool) -> tuple[Program, tuple[int, ...]]:
        used = set(order_of((*results, *sums)))
        read = [x for x in layouts.values() if not used.isdisjoint(x.symbols)]
        row_symbols = [*inputs, *[s for x in read if x.row for s in x.symbols]] if rows else []
        shared_symbols = [*captured, *[s for x in read if not x.row for s in x.symbols]]
        return schedule(results, sums, row_symbols, shared_symbols), tuple([2 * x.number for x in read])

    guards = _guards(order, roots, loops)
    stages = []
    for loop in loops:
        op, layout = loop.op, layouts[loop]
        scalars = loop.args[: len(loop.args) - len(op.read)]
        needed: Any = 1.0
        for side in reversed(guards[loop]):
            needed = on_side(trace, new[side.condition], side.taken, needed)
        program, reads = segment([*replaced(scalars), *[needed] * bool(guards[loop])], [], layout.row)
        at, sources = len(op.body.states) + len(op.body.constants), []
        for column in op.columns_of(loop.args):
            if column.loop is None:
                sources.append(Source(-1, at, len(scalars) + bool(guards[loop]), False))
                at += op.n
            else:
                sources.append(layouts[column.loop].source(column.number))
        stored = [op.columns[column] for column in layout.stored]
        body = simplify(trace, [*op.body.next, *(op.body.outputs if op.conditional else stored)])
        plan = LoopPlan(
            op.name,
            max(op.n, 0),
            op.reverse,
            planned(trace, body, [], op.body.inputs, []),
            len(op.body.states),
            len(op.body.constants),
            tuple(sources),
            len(stored),
            layout.kept,
            op.conditional,
            bool(guards[loop]),
            op.title,
            (*[x.label for x in op.body.inputs], *map(op.label, layout.stored)),
        )
        stages.append(Stage(program, reads, plan, not layout.row))
    last, reads = segment(replaced(results), replaced(sums), True)
    return Pipeline(tuple(stages), last, reads, len(inputs))


def _guards(order: Sequence[Symbol], roots: Sequence[Any], loops: Sequence[Symbol]) -> dict[Symbol, list[Side]]:
    """For each loop the sides that it is in, if their conditions are known before it runs, for as many rows."""
    sides, places = Sides(order, roots), {loop: n for n, loop in enumerate(loops)}
    last: dict[Any, int] = {}  # the place of the last loop that a node depends on; -1 if there is none
    for node in order:
        last[node] = places.get(node, max([last[x] for x in node.args if type(x) is not float], default=-1))
    return {
        loop: [
            side for side in sides.path(loop) if side.condition.row <= loop.row and last[side.condition] < places[loop]
        ]
        for loop in loops
    }


class _Layout:
    """Where the results of a loop are. `symbols` stand for the first of its two buffers."""

    def __init__(self, trace: Trace, number: int, loop: Symbol, as_items: set[int], as_columns: set[int]) -> None:
        op = loop.op
        assert isinstance(op, Loop)
        self.number, self.row, self.op, self.kept = number, loop.row, op, len(as_items)
        self.stored = [*sorted(as_items), *sorted(as_columns - as_items)]
        width = len(op.body.states) + op.n * self.kept
        self.symbols = [Symbol(trace, row=loop.row) for _ in range(width)]

    def symbol(self, key: int) -> Symbol:
        """The Symbol for result `key`."""
        if key < len(self.op.body.states):
            return self.symbols[key]
        column, step = self.op.place(key)
        return self.symbols[len(self.op.body.states) + self.stored.index(column) * self.op.n + step]

    def source(self, column: int) -> Source:
        """Where a loop reads column `column`."""
        place, states, n = self.stored.index(column), len(self.op.body.states), self.op.n
        if place < self.kept:
            return Source(2 * self.number, states + place * n, states + self.kept * n, not self.row)
        place -= self.kept
        return Source(2 * self.number + 1, place * n, (len(self.stored) - self.kept) * n, not self.row)


def _layouts(order: Sequence[Symbol], loops: Sequence[Symbol]) -> dict[Symbol, _Layout]:
    """The layout of each loop, with the columns that the nodes of `order` read."""
    as_items: dict[Any, set[int]] = {loop: set() for loop in loops}
    as_columns: dict[Any, set[int]] = {loop: set() for loop in loops}
    for node in order:
        op = node.op
        if op is item:
            loop, key = node.args
            if key >= len(loop.op.body.states):
                as_items[loop].add(loop.op.place(int(key))[0])
        elif isinstance(op, Loop):
            for column in op.columns_of(node.args):
                if column.loop is not None:
                    as_columns[column.loop].add(column.number)
    trace = loops[0].op.trace  # type: ignore[union-attr]
    return {x: _Layout(trace, n, x, as_items[x], as_columns[x]) for n, x in enumerate(loops)}
