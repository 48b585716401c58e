"""Scheduling: from a normalised graph of scalars to a program. Many nodes become few instructions.

Nodes with the same level, primitive and kind of operands run together. They are sorted by the addresses that they read
and cut into loop nests, in which every operand moves by constant strides: a layer's weights times its inputs becomes
one nest, a matrix product. Nodes that fit no nest read through tables of addresses. The time is linear in the number
of edges, except for sorting.

A *point* is the tuple of addresses that a node, or one term of its sum, reads, packed into one int. Points sort like
the tuples. Two pairs of points have the same difference if and only if their addresses have the same differences.

Nodes and constants are represented by ints, their *ids*: see `outlined`.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.program import Guard, Indexed, Instruction, Operand, Program, Shape, Strided
from autograd_lite.compiler.sides import Path, Runs
from autograd_lite.compiler.trace import Symbol, TraceError
from autograd_lite.extension import core
from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive

Id: TypeAlias = int  # of an operand: see `outlined`
Point: TypeAlias = int
Job: TypeAlias = tuple[Point, Id]  # a point, and the node that reads it
Node: TypeAlias = tuple[Id, tuple[Id, ...]]  # a node and its arguments
Found: TypeAlias = tuple[int, int, Primitive, list[Node]]  # stage, level, primitive and nodes of a group
BITS = 40  # per address in a point: enough for differences, too
LONG = 8  # this many terms of a sum at constant strides get a reduction of their own
WIDE = 32  # this many terms in a loop nest get an instruction of their own
GAIN = 4  # numbers that are read this often on average are copied
ONCE, EACH, TOTAL = range(3)


class Group(NamedTuple):
    """Nodes that run together. `run` is the number of their run: see `Runs`."""

    stage: int
    run: int
    level: int
    op: Primitive
    nodes: list[Node]


def schedule(
    results: Sequence[Any], sums: Sequence[Any], inputs: Sequence[Symbol], captured: Sequence[Symbol]
) -> Program:
    """The program that computes `results` for each row and adds up `sums` over the rows; both are Symbols and floats.

    A TraceError if they depend on a Symbol that is neither an input nor captured.
    """
    roots = [x for x in (*results, *sums) if type(x) is not float]
    order = topological_order(*roots, *captured, *inputs)
    ids = {node: n for n, node in enumerate(order)}
    known = {*inputs, *captured}
    for node in order:
        if node.op is None and node not in known:
            raise TraceError(f"{node!r} was kept from another trace: a traced Value lives in one call of its code")
    found = core.outlined(order, results, sums) if core is not None else None
    constants, of_results, of_sums, found_groups = outlined(order, results, sums) if found is None else found
    runs = Runs(order, roots)
    groups = _in_order(found_groups, [runs.number.get(node, 0) for node in order] if runs.number else [])

    layout = _Layout(ids, len(constants), of_sums)

    def emit_guarded(stage: int) -> None:
        """Emit the groups of a stage, each inside the guards of its run."""
        for group in groups:
            if group.stage == stage:
                layout.enter(runs.paths[group.run] if runs.paths else (), stage)
                layout.emit(group.op, group.nodes, stage)
        layout.enter((), stage)

    layout.place(range(len(order), len(order) + len(constants)))
    layout.place([ids[x] for x in captured])
    emit_guarded(ONCE)
    layout.shared = layout.size
    layout.place([ids[x] for x in inputs])
    emit_guarded(EACH)
    for copies in _copied(order, results, sums, of_sums):
        layout.emit(p.detach, copies, TOTAL)
    for group in groups:
        if group.stage == TOTAL:
            layout.emit(group.op, group.nodes, TOTAL)
    end = layout.size
    return Program(
        constants=tuple(constants),
        captured=len(captured),
        inputs=len(inputs),
        once=tuple(layout.instructions[ONCE]),
        each=tuple(layout.instructions[EACH]),
        total=tuple([instruction._replace(dst=end + instruction.dst) for instruction in layout.instructions[TOTAL]]),
        results=array("i", [layout.addresses[n] for n in of_results]),
        sums=array("i", [end + layout.totals[n] for n in of_sums]),
        guards=layout.all_guards(),
    )


def outlined(
    order: Sequence[Symbol], results: Sequence[Any], sums: Sequence[Any]
) -> tuple[list[float], list[Id], list[Id], list[Found]]:
    """Give the operands of a graph ids, and group its nodes: (constants, results, sums, groups), as ids.

    Node n of `order` has the id n; the constants, -0.0 and then the floats of the graph, have the next ones. Nodes
    of one group can run together. The C core (_core_outline.h) does the same faster, for a graph of one trace.
    """
    ids: dict[Any, Id] = {node: n for n, node in enumerate(order)}
    constants: list[float] = []

    def id_of(x: Any) -> Id:
        if type(x) is not float:
            return ids[x]
        key = repr(x)  # because 0.0 == -0.0
        if key not in ids:
            ids[key] = len(order) + len(constants)
            constants.append(x)
        return ids[key]

    id_of(-0.0)
    read = {x for node in order for x in node.args}.union(results)
    summed = set(sums)
    groups: dict[Any, Found] = {}
    levels: list[int] = []
    for n, node in enumerate(order):
        op, args = node.op, node.args
        places = tuple([id_of(x) for x in args])
        level = 1 + max([levels[k] for k in places if k < n], default=-1)
        levels.append(level)
        if op is not None:
            # In a reduction all terms are of one kind: the first term and the initial value represent them.
            kinds = (args[len(args) // 2], args[1], args[-1]) if op is p.dot else args[:2] if op is p.sum_ else args
            stage = ONCE if not node.row else TOTAL if node in summed and node not in read else EACH
            key = stage, level, op, len(args), *map(_row, kinds)
            groups.setdefault(key, (stage, level, op, []))[3].append((n, places))
    return constants, list(map(id_of, results)), list(map(id_of, sums)), list(groups.values())


def _copied(
    order: Sequence[Symbol], results: Sequence[Any], sums: Sequence[Any], of_sums: Sequence[Id]
) -> list[list[Node]]:
    """The copies, in groups, that bring the sums into the total region that are inputs, shared, or read by nodes."""
    if not sums:
        return []
    read = {x for node in order for x in node.args}.union(results)
    copies: dict[bool, dict[Id, Node]] = {}
    for x, n in zip(sums, of_sums, strict=True):
        if not _row(x) or x.op is None or x in read:
            copies.setdefault(_row(x), {})[n] = n, (n,)
    return [list(nodes.values()) for nodes in copies.values()]


def _in_order(found: Iterable[Found], runs: Sequence[int]) -> list[Group]:
    """The groups in the order in which they run, split so that each has nodes of one run. `runs` has the run of each
    node; it is empty if there is one run only."""
    groups = []
    for stage, level, op, nodes in found:
        parts = {0: nodes}
        if runs and stage != TOTAL:
            parts = {}
            for node in nodes:
                parts.setdefault(runs[node[0]], []).append(node)
        groups += [Group(stage, run, level, op, part) for run, part in parts.items()]
    return sorted(groups, key=_place_of)


def _place_of(group: Group) -> tuple[int, int, bool, Id]:
    """The sort key of a group: the run, the level, and then the first node. Cosines come last, next to the sines of the
    same numbers if those are the last operation before them: the kernel computes such neighbours together."""
    return group.run, group.level, group.op is p.cos, group.nodes[0][0]


class _Layout:
    """The addresses assigned so far, and the instructions that fill them. Totals are numbered from 0."""

    def __init__(self, ids: dict[Symbol, Id], constants: int, sums: Sequence[Id]) -> None:
        self.instructions: tuple[list[Instruction], ...] = ([], [], [])
        self.ids = ids
        self.addresses = [-1] * (len(ids) + constants)  # by id; -1: not assigned yet
        self.totals: dict[Id, int] = {}
        self.size = 0
        self.shared = 0  # the end of the addresses that all rows share
        self.copies: dict[Any, int] = {}  # the first address of each table of copies
        self.wanted = {node_id: n for n, node_id in enumerate(sums)}
        self.guards: tuple[list[Guard], list[Guard]] = ([], [])  # their instructions counted from the first of a stage
        self.open: list[tuple[Path, int]] = []  # the sides that the current run is in, and where their guards begin

    def place(self, ids: Iterable[Id]) -> None:
        """Give each of `ids` the next address."""
        for n in ids:
            self.addresses[n] = self.size
            self.size += 1

    def new_ids(self, count: int) -> list[Id]:
        """Ids for `count` operands that are not in the graph."""
        first = len(self.addresses)
        self.addresses += [-1] * count
        return list(range(first, first + count))

    def points(self, arguments: Iterable[Sequence[Id]]) -> list[Point]:
        """The points at the addresses of tuples of operands, which all have the same length."""
        at = self.addresses
        points = []
        for args in arguments:
            point = 0
            for n in args:
                point = point << BITS | at[n]
            points.append(point)
        return points

    def emit(self, op: Primitive, nodes: list[Node], stage: int) -> None:
        """Emit instructions for nodes that have the primitive and the kind of their operands in common."""
        node_id, args = nodes[0]
        if len(nodes) == 1 and len(args) <= max(op.factors, 1) * LONG:
            self.emit_one(node_id, op, args, stage)
            return
        if not op.factors:
            points = self.points([args for _, args in nodes])
            jobs = [(point, node_id) for point, (node_id, _) in zip(points, nodes, strict=True)]
            self.emit_sorted(op, len(args), 1, 0, jobs, stage)
            return
        alike: dict[Any, list[tuple[Id, int, list[list[Point]]]]] = {}
        half, at = len(args) // 2 if op is p.dot else 0, self.addresses
        for node_id, args in nodes:
            if half:
                terms = [at[x] << BITS | at[y] for x, y in zip(args[1:half], args[half + 1 :], strict=True)]
            else:
                terms = [at[x] for x in args[1:]]
            segments = _segments(sorted(terms))
            shape = tuple([(len(terms), _step(terms)) for terms in segments])
            alike.setdefault(shape, []).append((node_id, at[args[half]], segments))
        arity = 1 + op.factors
        for shape, members in alike.items():
            starts = [start << BITS * (arity - 1) for _, start, _ in members]
            for n, (length, step) in enumerate(shape):
                reads = [[start | term for term in m[2][n]] for start, m in zip(starts, members, strict=True)]
                last = n + 1 == len(shape)
                ids = [node_id for node_id, _, _ in members] if last else self.new_ids(len(members))
                to = stage if last else min(stage, EACH)
                if step is None:
                    reads, step = self.packed(arity, reads, min(stage, EACH))
                if step is None:
                    self.emit_table(op, arity, reads, ids, to)
                else:
                    jobs = [(points[0], node_id) for points, node_id in zip(reads, ids, strict=True)]
                    self.emit_sorted(op, arity, length, step, jobs, to)
                if not last:  # the sum so far is the initial value of the next segment
                    starts = [self.addresses[node_id] << BITS * (arity - 1) for node_id in ids]

    def enter(self, path: Path, stage: int) -> None:
        """Begin the guards of the sides of `path`, and end all others.

        Copies made inside a guard may have been skipped, so they are not used after it.
        """
        while self.open and self.open[-1][0] != path[: len(self.open)]:
            (*_, side), begin = self.open.pop()
            address = self.addresses[self.ids[side.condition]]
            self.guards[stage].append(Guard(begin, len(self.instructions[stage]), address, side.taken))
            self.copies.clear()
        for depth in range(len(self.open), len(path)):
            self.open.append((path[: depth + 1], len(self.instructions[stage])))

    def all_guards(self) -> tuple[Guard, ...]:
        """The guards of both stages, in the order of a Program."""
        once, first = self.guards[ONCE], len(self.instructions[ONCE])
        each = [guard._replace(begin=first + guard.begin, end=first + guard.end) for guard in self.guards[EACH]]
        return tuple(sorted([*once, *each], key=lambda guard: (guard.begin, -guard.end)))

    def emit_one(self, node_id: Id, op: Primitive, args: Sequence[Id], stage: int) -> None:
        """Emit the instruction for a node that runs alone; if it is a sum, of fewer than LONG terms.

        The general way of `emit` would make the same instruction in more time. In a long chain of operations nearly
        every node runs alone.
        """
        addresses = self.addresses
        places = [addresses[n] for n in args]
        if not op.factors:
            self.append(op, (1, 1, 1), tuple([Strided(place) for place in places]), [node_id], stage)
            return
        if op is p.dot:
            half = len(args) // 2
            length = half - 1
            terms = sorted(zip(places[1:half], places[half + 1 :], strict=True))
            columns: Iterable[Sequence[int]] = zip(*terms, strict=True)
        else:
            half, length = 0, len(args) - 1
            columns = (sorted(places[1:]),)
        operands = [_fit(column, 1, length) if length > 1 else Strided(*column) for column in columns]
        self.append(op, (1, 1, length), (Strided(places[half]), *operands), [node_id], stage)

    def packed(self, arity: int, reads: list[list[Point]], stage: int) -> tuple[list[list[Point]], Point | None]:
        """Replace scattered operands by copies at constant strides, if few numbers are read often.

        Returns the new `reads` and their step, or the old `reads` and None.

        As in BLAS, packing pays: the gradient of a layer that is used at several places of a sequence adds up outer
        products of scattered numbers, and copying them costs less than reading each through a table.
        """
        count, length = len(reads), len(reads[0])
        columns = zip(*[_unpack(point, arity) for points in reads for point in points], strict=True)
        init, *operands = [[column[i : i + length] for i in range(0, count * length, length)] for column in columns]
        steps = [{b - a for terms in operand for a, b in pairwise(terms)} for operand in operands]
        tables = [sorted(set(operand)) if len(step) > 1 else [] for operand, step in zip(operands, steps, strict=True)]
        copied = [address for table in tables for terms in table for address in terms]
        if len(copied) * GAIN > count * length or (stage == EACH and min(copied) < self.shared):
            return reads, None
        points, step = [terms[0] for terms in init], 0
        for operand, table, (depth, *_) in zip(operands, tables, steps, strict=True):
            starts = [terms[0] for terms in operand]
            if table:
                depth, start = 1, self.copies.get(key := tuple(table), self.size)
                if start == self.size:
                    self.copies[key] = start
                    addresses = [[address] for terms in table for address in terms]
                    self.emit_table(p.detach, 1, addresses, self.new_ids(len(addresses)), stage)
                places = {terms: start + n * length for n, terms in enumerate(table)}
                starts = [places[terms] for terms in operand]
            points = [point << BITS | start for point, start in zip(points, starts, strict=True)]
            step = (step << BITS) + depth
        return [[point] for point in points], step

    def emit_sorted(self, op: Primitive, arity: int, length: int, step: Point, jobs: list[Job], stage: int) -> None:
        """Instructions for nodes that each read from a point on, `length` terms that are `step` apart."""
        jobs.sort(key=(lambda job: self.wanted[job[1]]) if stage == TOTAL else itemgetter(0))
        points = [point for point, _ in jobs]
        nests = list(_nests(points))
        rest: list[Job] = []
        for begin, J, I in nests:  # noqa: E741
            nest = jobs[begin : begin + J * I]
            if J * I * length < WIDE and len(nests) > 1:
                rest += nest
                continue
            self.emit_rest(op, arity, length, step, rest, stage)
            rest = []
            start = points[begin]
            corners = (points[begin + I] if J > 1 else start, points[begin + 1] if I > 1 else start, start + step)
            addresses = zip(*[_unpack(corner, arity) for corner in (start, *corners)], strict=True)
            operands = tuple([Strided(a, *[b - a for b in bs]) for a, *bs in addresses])
            self.append(op, (J, I, length), operands, [node_id for _, node_id in nest], stage)
        self.emit_rest(op, arity, length, step, rest, stage)

    def emit_rest(self, op: Primitive, arity: int, length: int, step: Point, jobs: list[Job], stage: int) -> None:
        """Emit one instruction for the remaining jobs, if there are any."""
        if jobs:
            reads = [[point + k * step for k in range(length)] for point, _ in jobs]
            self.emit_table(op, arity, reads, [node_id for _, node_id in jobs], stage)

    def emit_table(self, op: Primitive, arity: int, reads: list[list[Point]], ids: list[Id], stage: int) -> None:
        """Emit one instruction for `ids`; result i reads the points `reads[i]` through a table of addresses."""
        count, length = len(reads), len(reads[0])
        columns = zip(*[_unpack(point, arity) for points in reads for point in points], strict=True)
        operands = [
            _fit(column[::length], count, 1) if op.factors and n == 0 else _fit(column, count, length)
            for n, column in enumerate(columns)
        ]
        self.append(op, (1, count, length), tuple(operands), ids, stage)

    def append(self, op: Primitive, shape: Shape, operands: tuple[Operand, ...], ids: list[Id], stage: int) -> None:
        """Append the instruction, and assign addresses to its results."""
        if stage == TOTAL:
            self.instructions[stage].append(Instruction(op, len(self.totals), shape, operands))
            for node_id in ids:
                self.totals[node_id] = len(self.totals)
        else:
            self.instructions[stage].append(Instruction(op, self.size, shape, operands))
            self.place(ids)


def _row(x: Any) -> bool:
    return type(x) is not float and x.row


def _unpack(point: Point, arity: int) -> tuple[int, ...]:
    return tuple([point >> BITS * n & (1 << BITS) - 1 for n in reversed(range(arity))])


def _step(points: list[Point]) -> Point | None:
    """The constant distance between neighbours; None if it varies."""
    if len(points) < 3:
        return points[-1] - points[0]
    return points[1] - points[0] if _run(points, 0) == len(points) else None


def _run(points: list[Point], begin: int) -> int:
    """How many points from `begin` on have one constant distance."""
    end = begin + 2
    if end > len(points):
        return 1
    step = points[begin + 1] - points[begin]
    while end < len(points) and points[end] - points[end - 1] == step:
        end += 1
    return end - begin


def _segments(terms: list[Point]) -> list[list[Point]]:
    """`terms` cut into segments: long ones at constant distances, and one last segment for all others."""
    if len(terms) < LONG:
        return [terms]
    segments: list[list[Point]] = []
    left: list[Point] = []
    begin = 0
    while begin < len(terms):
        run = _run(terms, begin)
        if run >= LONG:
            segments.append(terms[begin : begin + run])
        else:
            run = max(run - 1, 1)  # the last may begin a long one
            left += terms[begin : begin + run]
        begin += run
    return [*segments, left] if left else segments


def _nests(points: list[Point]) -> Iterator[tuple[int, int, int]]:
    """Loop nests (begin, J, I): J runs of I points from `begin` on, with constant strides within and between runs."""
    begin = 0
    while begin < len(points):
        inner = _run(points, begin)
        outer = 1
        while _repeats(points, begin, inner, outer):
            outer += 1
        if outer == 1 and inner == 2:  # any two points are a run; the second may begin a longer one
            inner = 1
        yield begin, outer, inner
        begin += outer * inner


def _repeats(points: list[Point], begin: int, inner: int, outer: int) -> bool:
    """Whether run number `outer` continues the nest."""
    at = begin + outer * inner
    if at + inner > len(points) or points[at] - points[at - inner] != points[begin + inner] - points[begin]:
        return False
    offset = points[at] - points[begin]
    return all(points[at + i] - points[begin + i] == offset for i in range(1, inner))


def _fit(addresses: Sequence[int], count: int, length: int) -> Operand:
    """`length` addresses for each of `count` nodes, as an operand."""
    start = addresses[0]
    inner = addresses[length] - start if count > 1 else 0
    depth = addresses[1] - start if length > 1 else 0
    regular = (start + i * inner + k * depth for i in range(count) for k in range(length))
    if all(map(operator.eq, addresses, regular)):
        return Strided(start, 0, inner, depth)
    return Indexed(array("i", addresses))
