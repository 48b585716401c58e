"""Loops in a trace: a `Loop` is one node with one body, however many steps it runs.

The body is traced once. What it uses from outside and does not change from step to step is computed outside, and is a
*constant* of the loop. A loop holds no derivative: `pull` and `push` differentiate the graph of its body and make a new
loop of the result. The reverse loop reads the states that the loop stored, at every step, from the last to the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import ref

from autograd_lite.calculus import pull_back, push_forward
from autograd_lite.calls import Call, Cotangent, Results, Tangents, item
from autograd_lite.compiler.sides import CHEAP, WORTH, Sides, on_side
from autograd_lite.compiler.trace import Operand, Symbol, Trace, TraceError, order_of
from autograd_lite.graph import dependents
from autograd_lite.value import Value

UNKNOWN = -1  # the number of steps of a loop that a condition ends


class Column(NamedTuple):
    """The numbers that one Symbol of a body stands for: `numbers`, one for each step, or column `number` of `loop`."""

    symbol: Symbol
    numbers: Sequence[Operand] = ()
    loop: Symbol | None = None
    number: int = 0


class Body(NamedTuple):
    """The graph of one step: `next` and `outputs` from `states`, `constants` and `columns`, which are leaves.

    `labels` are names for the outputs.
    """

    states: list[Symbol]
    constants: list[Symbol]
    columns: list[Symbol]
    next: list[Operand]
    outputs: list[Operand]
    labels: list[str]

    @property
    def inputs(self) -> list[Symbol]:
        """All leaves."""
        return [*self.states, *self.constants, *self.columns]

    def varying(self, symbols: Sequence[Symbol]) -> set[Symbol]:
        """The leaves that depend on the leaves `symbols`, in some step: the states that they reach among them."""
        order = order_of(self.next)
        found = set(symbols)
        while True:
            reached = dependents(order, found)
            new = [s for s, x in zip(self.states, self.next, strict=True) if x in reached and s not in found]
            if not new:
                return found
            found.update(new)


class Loop(Call):
    """`n` steps of a body, from the last to the first if `reverse`.

    The arguments are: the first states; the constants; the first columns, one after the other, with a number for each
    step; and for each of the other columns the loop that stores it. `read` has the number of each of these columns in
    its loop.

    Result k < len(states) is the last number of that state. Then follow the columns that the loop stores, all steps of
    one and then those of the next: the outputs, after them the states as each step finds them, and last the
    `residuals`: what reverse mode reads of a step so that it need not compute it again. Only columns that are read are
    stored.

    A loop of `n` = UNKNOWN steps has one output, the condition: it runs as long as that is not 0. It has no columns,
    and results for its states only.
    """

    def __init__(
        self, name: str, trace: Trace, n: int, reverse: bool, body: Body, read: Sequence[int], title: str
    ) -> None:
        super().__init__(name)
        self.title = title  # says in exported files which loop this is
        self._trace = ref(trace)  # the C core's table holds this operation, and the garbage collector does not see it
        self.n, self.reverse, self.body, self.read = n, reverse, body, tuple(read)
        self.conditional = n == UNKNOWN
        self.residuals: list[Symbol] = []
        self.may_not_end = self.conditional or any(isinstance(x.op, Call) and x.op.may_not_end for x in self.order)

    @property
    def trace(self) -> Trace:
        """The trace that recorded the loop. It lives as long as the loop is differentiated or planned."""
        trace = self._trace()
        assert trace is not None
        return trace

    @property
    def order(self) -> Sequence[Any]:
        """The nodes of the body, in topological order."""
        return order_of([*self.body.next, *self.columns])

    @property
    def given(self) -> int:
        """How many columns are numbers among the arguments."""
        return len(self.body.columns) - len(self.read)

    def label(self, column: int) -> str:
        """A name for column `column`."""
        return [*self.body.labels, *[s.label for s in self.body.states], *map(_residual_label, self.residuals)][column]

    @property
    def columns(self) -> list[Operand]:
        """The operands that a step can store."""
        return [*self.body.outputs, *self.body.states, *self.residuals]

    def residual(self, x: Symbol) -> int:
        """The column that stores `x`, an operation of the body; a new one if there is none yet."""
        if x not in self.residuals:
            self.residuals.append(x)
        return len(self.body.outputs) + len(self.body.states) + self.residuals.index(x)

    def key(self, column: int, step: int) -> int:
        """The number of the result that is column `column` at `step`."""
        return len(self.body.states) + column * self.n + step

    def place(self, key: int) -> tuple[int, int]:
        """The column and the step of result `key`, which is not a state."""
        return divmod(key - len(self.body.states), self.n)

    def columns_of(self, args: Sequence[Any]) -> list[Column]:
        """The columns of a node with these arguments."""
        body, found = self.body, []
        at = len(body.states) + len(body.constants)
        for symbol in body.columns[: self.given]:
            found.append(Column(symbol, args[at : at + self.n]))
            at += self.n
        for symbol, loop, index in zip(body.columns[self.given :], args[at:], self.read, strict=True):
            found.append(Column(symbol, (), loop, index))
        return found

    # --- Derivatives -------------------------------------------------------------------------------------------

    def pull(self, node: Any, cotangents: Mapping[Any, list[Any]], active: set[Any]) -> list[Cotangent]:
        """The cotangents of the arguments, by a loop in the other direction.

        Its states are the cotangents of the states, and the cotangents of the constants, summed over the steps.
        """
        body, trace, S = self.body, self.trace, len(self.body.states)
        args, columns = node.args, self.columns_of(node.args)
        constant_args = args[S : S + len(body.constants)]
        varying = body.varying(
            [s for s, x in zip(body.inputs, args, strict=False) if x in active and s not in body.columns]
            + [c.symbol for c in columns if c.loop in active or not active.isdisjoint(c.numbers)]
        )
        states = [k for k in range(S) if body.states[k] in varying]
        if self.conditional and not states:
            return []  # the active arguments decide the number of steps only
        if self.conditional:
            raise TraceError(
                f"{self.name} has no reverse mode where it is compiled, as the number of its steps is not known: use "
                "jvp, fori_loop or scan; for a solution that the steps converge to, root or fixed_point"
            )
        constants = [k for k, symbol in enumerate(body.constants) if symbol in varying]
        active_columns = [c for c in columns if c.symbol in varying]

        def leaf(label: str, prefix: str = "d_") -> Symbol:
            return Symbol(trace, row=True, label=prefix + label if label else "")

        of_states = [leaf(body.states[k].label) for k in states]
        of_constants = [leaf(body.constants[k].label) for k in constants]
        ys: list[Operand] = [body.next[k] for k in states]
        gs: list[Symbol] = list(of_states)
        given: list[Column] = []
        of_columns: dict[int, list[Operand]] = {}
        for key, contributions in cotangents.items():
            if isinstance(key, int) and key >= S:
                column, step = self.place(key)
                of_columns.setdefault(column, [0.0] * self.n)[step] = _total(contributions)
            elif not isinstance(key, int):
                for loop, index in contributions:
                    given.append(Column(leaf(self.label(key[1])), (), loop, index))
                    ys.append(self.columns[key[1]])
        for column, numbers in of_columns.items():
            given.append(Column(leaf(self.label(column)), numbers))
            ys.append(self.columns[column])
        gs += [c.symbol for c in given]
        found = pull_back(
            ys,
            gs,
            [*[body.states[k] for k in states], *[body.constants[k] for k in constants]]
            + [c.symbol for c in active_columns],
        )
        found, saved = _with_residuals(trace, [trace.operand(x) for x in found], {*gs})
        added = found[len(states) : len(states) + len(constants)]
        sums = [x if _is_zero(g) else trace.operand(x + g) for x, g in zip(of_constants, added, strict=True)]
        history = [Column(s, (), node, len(body.outputs) + k) for k, s in enumerate(body.states)]
        history += [Column(s, (), node, self.residual(x)) for x, s in saved.items()]
        loop = loop_node(
            self.name,
            trace,
            self.n,
            not self.reverse,
            [*of_states, *of_constants],
            [_total(cotangents.get(k, [])) for k in states] + [0.0] * len(constants),
            [*found[: len(states)], *sums],
            found[len(states) + len(constants) :],
            [*zip(body.constants, constant_args, strict=True)],
            [*columns, *history, *given],
            [f"d_{c.symbol.label}" if c.symbol.label else "" for c in active_columns],
            self.title,
        )
        new = loop.op
        assert isinstance(new, Loop)
        results = [Cotangent(args[k], trace.make(item, (loop, float(n)))) for n, k in enumerate(states)]
        for n, k in enumerate(constants, len(states)):
            results.append(Cotangent(constant_args[k], trace.make(item, (loop, float(n)))))
        for n, column_of in enumerate(active_columns):
            if column_of.loop is not None:
                results.append(Cotangent(column_of.loop, (loop, n), ("column", column_of.number)))
            for step, x in enumerate(column_of.numbers):
                results.append(Cotangent(x, trace.make(item, (loop, float(new.key(n, step))))))
        return [x for x in results if x.to in active]

    def push(self, node: Any, tangents: Mapping[Any, Any]) -> Tangents:
        """The tangents of the results, by a loop of the states and their tangents in the same direction."""
        body, trace, S = self.body, self.trace, len(self.body.states)
        args, columns = node.args, self.columns_of(node.args)
        constant_args = args[S : S + len(body.constants)]
        of_columns: dict[Symbol, Column] = {}
        for c in columns:
            if c.loop is None and not tangents.keys().isdisjoint(c.numbers):
                numbers = [tangents.get(x, 0.0) if type(x) is not float else 0.0 for x in c.numbers]
                of_columns[c.symbol] = Column(_tangent_of(trace, c.symbol), numbers)
            elif c.loop is not None and c.loop in tangents:
                loop, index = tangents[c.loop].column(c.number)
                of_columns[c.symbol] = Column(_tangent_of(trace, c.symbol), (), loop, index)
        known = [s for s, x in zip([*body.states, *body.constants], args, strict=False) if x in tangents]
        varying = body.varying([*known, *of_columns])
        inputs = [s for s in body.inputs if s in varying]
        of = {s: of_columns[s].symbol if s in of_columns else _tangent_of(trace, s) for s in inputs}
        ys = [*body.next, *self.columns]
        found = [trace.operand(x) for x in push_forward(ys, inputs, [of[s] for s in inputs])]
        moving = [k for k, s in enumerate(body.states) if s in varying]
        loop = loop_node(
            self.name,
            trace,
            self.n,
            self.reverse,
            [*body.states, *[of[body.states[k]] for k in moving]],
            [*args[:S], *[tangents.get(args[k], 0.0) if type(args[k]) is not float else 0.0 for k in moving]],
            [*body.next, *[found[k] for k in moving]],
            body.outputs if self.conditional else found[S:],
            [*zip(body.constants, constant_args, strict=True)]
            + [(of[s], tangents[x]) for s, x in zip(body.constants, constant_args, strict=True) if s in of],
            [*columns, *of_columns.values()],
            body.labels if self.conditional else [x and f"v_{x}" for x in map(self.label, range(len(self.columns)))],
            self.title,
        )
        return _LoopTangents(self, loop, {k: S + n for n, k in enumerate(moving)})

    # --- Replaying on Values -----------------------------------------------------------------------------------

    def __call__(self, *args: Any) -> Any:
        """The results on Values and floats, recorded step by step."""
        body, S = self.body, len(self.body.states)
        states, columns = list(args[:S]), self.columns_of(args)
        numbers = dict(zip(body.constants, args[S:], strict=False))
        roots, order = [*body.next, *self.columns], self.order
        stored: list[list[Any]] = [[0.0] * self.n for _ in self.columns]
        steps: Iterable[int] = count() if self.conditional else range(self.n)
        for step in reversed(range(self.n)) if self.reverse else steps:
            known = numbers | dict(zip(body.states, states, strict=True))
            for c in columns:
                known[c.symbol] = c.numbers[step] if c.loop is None else c.loop.columns[c.number][step]  # type: ignore[attr-defined]
            for node in order:
                if node.op is not None:
                    known[node] = node.op(*[x if type(x) is float else known[x] for x in node.args])
            found = [x if type(x) is float else known[x] for x in roots]
            if self.conditional:
                condition: Any = found[S]
                if not (condition.data if isinstance(condition, Value) else condition):
                    break
                states = found[:S]
                continue
            for column, x in zip(stored, found[S:], strict=True):
                column[step] = x
            states = found[:S]
        return _LoopResults(self, states, stored)


class _LoopTangents(Tangents):
    """The tangents of a loop's results, computed by the loop `tangent`; `states` maps states to its results."""

    def __init__(self, op: Loop, tangent: Symbol, states: dict[int, int]) -> None:
        self.op, self.tangent, self.states = op, tangent, states

    def item(self, key: int) -> Operand:
        new, trace = self.tangent.op, self.op.trace
        assert isinstance(new, Loop)
        if key < len(self.op.body.states):
            return trace.make(item, (self.tangent, float(self.states[key]))) if key in self.states else 0.0
        column, step = self.op.place(key)
        x = new.columns[column]
        return x if type(x) is float else trace.make(item, (self.tangent, float(new.key(column, step))))

    def column(self, index: int) -> tuple[Symbol, int]:
        """The loop and the column in which the tangents of column `index` are stored."""
        return self.tangent, index


class _LoopResults(Results):
    """The results of a loop that was replayed on Values."""

    def __init__(self, op: Loop, states: list[Any], columns: list[list[Any]]) -> None:
        self.op, self.states, self.columns = op, states, columns

    def item(self, key: int) -> Any:
        if key < len(self.states):
            return self.states[key]
        column, step = self.op.place(key)
        return self.columns[column][step]


# ---- making a loop


def loop_node(
    name: str,
    trace: Trace,
    n: int,
    reverse: bool,
    states: Sequence[Symbol],
    first: Sequence[Operand],
    next_states: Sequence[Operand],
    outputs: Sequence[Operand],
    constants: Sequence[tuple[Symbol, Operand]],
    columns: Sequence[Column],
    labels: Sequence[str],
    title: str,
) -> Symbol:
    """The node of a loop whose body uses only `states`, `constants` and `columns`. Unused ones are left out.

    A constant is a pair: the Symbol in the body, and the operand outside that it stands for. `labels` are names for the
    outputs, and `title` says which loop it is.
    """
    used = set(order_of((*next_states, *outputs)))
    constants = [x for x in constants if x[0] in used]
    given = [c for c in columns if c.symbol in used and c.loop is None]
    read = [c for c in columns if c.symbol in used and c.loop is not None]
    symbols = [c.symbol for c in (*given, *read)]
    body = Body(
        list(states), [symbol for symbol, _ in constants], symbols, list(next_states), list(outputs), list(labels)
    )
    loop = Loop(name, trace, n, reverse, body, [c.number for c in read], title)
    args = [*first, *[x for _, x in constants], *[x for c in given for x in c.numbers], *[c.loop for c in read]]
    return trace.make(loop, tuple(args))  # type: ignore[no-any-return]


def loop_of_traced_body(
    name: str,
    trace: Trace,
    n: int,
    reverse: bool,
    states: Sequence[Symbol],
    first: Sequence[Operand],
    next_states: Sequence[Operand],
    outputs: Sequence[Operand],
    columns: Sequence[Column],
    labels: Sequence[str],
    title: str,
) -> Symbol:
    """The node of a loop whose body was just traced. Values from outside the body become its constants.

    `labels` and `title` are those of `loop_node`.
    """
    roots = [*next_states, *outputs]
    order = order_of(roots)
    inside = dependents(order, [*states, *[c.symbol for c in columns]])
    for node in reversed(order):  # a loop that the body reads a column of is computed inside
        if node in inside and node.op is not item:
            inside.update([x for x in node.args if type(x) is not float and isinstance(x.op, Call)])
    new: dict[Any, Operand] = {x: x for x in inside if x.op is None}
    constants: list[tuple[Symbol, Operand]] = []

    def operand(x: Operand) -> Operand:
        if type(x) is float:
            return x
        if x not in new:
            new[x] = Symbol(trace, row=True, label=x.label or "fixed")
            constants.append((new[x], x))
        return new[x]

    for node in order:
        if node in inside and node.op is not None:
            new[node] = trace.make(node.op, tuple([operand(x) for x in node.args]))
    roots = [operand(x) for x in roots]
    count = len(next_states)
    return loop_node(name, trace, n, reverse, states, first, roots[:count], roots[count:], constants, columns,
                  labels, title)  # fmt: skip


def _with_residuals(
    trace: Trace, derivatives: Sequence[Operand], cotangents: set[Symbol]
) -> tuple[list[Operand], dict[Symbol, Symbol]]:
    """`derivatives`, in which new Symbols replace results of the step that are costly to compute again; and a dict from
    these results, which the step should store, to the Symbols.

    These are the results of operations that do not depend on the `cotangents`, and are read by some that do. Only the
    states are read if all of that is cheap, or contains a loop: it runs again, and the memory stays small.
    """
    order = order_of(derivatives)
    moving = dependents(order, cotangents)
    fixed = [x for x in order if x not in moving and x.op is not None]
    costly = dependents(order, [x for x in fixed if x.op not in CHEAP])
    if any(isinstance(x.op, Call) for x in fixed):
        return list(derivatives), {}
    read = {x for node in order if node in moving for x in node.args if type(x) is not float}
    read.update([x for x in derivatives if type(x) is not float])
    saved = {x: Symbol(trace, row=True, label=_residual_label(x)) for x in fixed if x in costly and x in read}
    new: dict[Any, Operand] = dict(saved)
    for node in order:
        if node not in new:
            args = tuple([x if type(x) is float else new[x] for x in node.args])
            new[node] = node if node.op is None or args == node.args else trace.make(node.op, args)
    sides, stored = Sides(order, derivatives), dict[Symbol, Symbol]()
    for x, symbol in saved.items():  # a side of a condition that is not chosen need not be computed for this
        for side in reversed(sides.path(x)):
            if side.cost >= WORTH and side.condition not in moving:
                x = on_side(trace, side.condition, side.taken, x)
        stored[x] = symbol
    return [x if type(x) is float else new[x] for x in derivatives], stored


def _residual_label(x: Symbol) -> str:
    """A name for the result of an operation of a body: "sin_angle"."""
    return "_".join(
        [x.op.name if x.op else "", *[arg.label for arg in x.args[:1] if type(arg) is not float and arg.label]]
    )


def _tangent_of(trace: Trace, x: Symbol) -> Symbol:
    """A new Symbol for the tangent of `x`."""
    return Symbol(trace, row=True, label=f"v_{x.label}" if x.label else "")


def _total(terms: Sequence[Operand]) -> Operand:
    total: Operand = 0.0
    for term in terms:
        total = term if _is_zero(total) else total + term
    return total


def _is_zero(x: Operand) -> bool:
    return type(x) is float and x == 0.0
