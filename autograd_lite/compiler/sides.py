"""The sides of conditions: which operations of a graph are needed only where a condition is true, or only where it is
false.

In `where(c, x, y)` the operations that only x needs form the side of c that is true, those that only y needs the side
that is false. Sides are found in any graph, also in one that a derivative recorded: nothing marks them. On a side the
condition is known, so `simplify` drops a `where` of that condition there. `schedule` guards each side that is worth a
jump, so that executors can skip it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from operator import is_
from typing import Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.calls import Call
from autograd_lite.compiler.trace import Operand, Symbol, Trace

Path: TypeAlias = tuple["Side", ...]  # sides, each inside the one before
CHEAP = {p.add, p.sub, p.mul, p.neg, p.sum_, p.dot, p.abs_, p.step, p.sign, p.relu, p.where, p.maximum, p.minimum,
         p.share, p.detach}  # fmt: skip
COSTLY = 8  # what an operation that is not CHEAP costs, in operations that are
WORTH = 64  # a side of this cost is worth a jump, and worth running apart from operations that are alike
DEEP = 32  # how deep guards are nested


class Side:
    """The operations that are needed only where `condition` is true, if `taken`, else only where it is false.

    A side may lie inside another one, `outer`: then both conditions decide. `path` is all of them, the outermost first.
    """

    __slots__ = ("condition", "cost", "inner", "outer", "path", "taken")

    def __init__(self, outer: Side | None, condition: Symbol, taken: bool) -> None:
        self.outer, self.condition, self.taken = outer, condition, taken
        self.path: Path = (*(outer.path if outer else ()), self)
        self.inner: dict[tuple[Symbol, bool], Side] = {}
        self.cost = 0


def on_side(trace: Trace, condition: Operand, taken: bool, x: Operand) -> Operand:
    """The operand that is `x` where `condition` is not 0 if `taken`, else where it is 0; and 0 elsewhere."""
    return trace.make(p.where, (condition, x, 0.0) if taken else (condition, 0.0, x))


class Sides:
    """The side of each node of the graph of `roots`, whose topological order is `order`."""

    def __init__(self, order: Sequence[Symbol], roots: Sequence[Operand]) -> None:
        self._outermost: dict[tuple[Symbol, bool], Side] = {}
        self._of: dict[Any, Side | None] = {x: None for x in roots if type(x) is not float}
        if not any(node.op is p.where for node in order):
            return
        for node in reversed(order):
            side = self._of.get(node)
            if node.op is p.where:
                c, x, y = node.args
                for arg, place in ((c, side), (x, self.inside(side, c, True)), (y, self.inside(side, c, False))):
                    self._add_use(arg, place)
            else:
                always = isinstance(node.op, Call) and node.op.may_not_end  # on wrong numbers it might never end
                for arg in node.args:
                    self._add_use(arg, None if always else side)
        for node in order:
            for side in self.path(node):
                side.cost += 1 if node.op in CHEAP else COSTLY

    def of(self, node: Symbol) -> Side | None:
        """The side of `node`, None if it is always needed."""
        return self._of.get(node)

    def path(self, node: Symbol) -> Path:
        """All sides that `node` is in, the outermost first."""
        side = self._of.get(node)
        return side.path if side else ()

    def inside(self, outer: Side | None, condition: Symbol, taken: bool) -> Side | None:
        """The side of `condition` inside `outer`.

        That is `outer` itself if it answers the condition already, or if it is DEEP sides deep.
        """
        if outer and (len(outer.path) >= DEEP or any(x.condition is condition for x in outer.path)):
            return outer
        sides = outer.inner if outer else self._outermost
        side = sides.get((condition, taken))
        if side is None:
            side = sides[condition, taken] = Side(outer, condition, taken)
        return side

    def _add_use(self, x: Operand, side: Side | None) -> None:
        if type(x) is not float:
            self._of[x] = _common(self._of[x], side) if x in self._of else side


def _common(a: Side | None, b: Side | None) -> Side | None:
    """The innermost side that both lie in."""
    if a is b or a is None or b is None:
        return a if a is b else None
    shared = None
    for x, y in zip(a.path, b.path, strict=False):
        if x is not y:
            break
        shared = x
    return shared


def answered(x: Operand, side: Side | None) -> Operand:
    """The operand that `x` is in `side`: it looks through each `where` whose condition is known there."""
    answers = {s.condition: s.taken for s in side.path} if side else {}
    while type(x) is not float and x.op is p.where and x.args[0] in answers:
        x = x.args[1] if answers[x.args[0]] else x.args[2]
    return x


def without_answered(trace: Trace, order: Sequence[Symbol], roots: Sequence[Operand]) -> Sequence[Operand]:
    """`roots`, whose graph has the topological `order`, without each `where` on a side that answers its condition."""
    conditions = [node.args[0] for node in order if node.op is p.where]
    if len(set(conditions)) == len(conditions):  # no side has a `where` of its own condition
        return roots
    sides = Sides(order, roots)
    new: dict[Any, Operand] = {}
    for node in order:
        op, args, side = node.op, node.args, sides.of(node)
        if op is None:
            new[node] = node
            continue
        found = args
        if op is p.where:
            c, x, y = args
            found = c, answered(x, sides.inside(side, c, True)), answered(y, sides.inside(side, c, False))
        elif side and not isinstance(op, Call):
            found = tuple([answered(x, side) for x in args])
        found = tuple([x if type(x) is float else new[x] for x in found])
        new[node] = node if all(map(is_, found, args)) else trace.make(op, found)
    return [x if type(x) is float else new[x] for x in roots]


class Runs:
    """The order in which to run the nodes of a graph, so that what a jump can skip stands together.

    The nodes of one *run* are in the same sides: `paths[n]` has those of run n. Runs are numbered in the order in which
    they run. `number` has the run of each node; it is empty where nothing is worth a jump.
    """

    def __init__(self, order: Sequence[Symbol], roots: Sequence[Operand]) -> None:
        self.number: dict[Any, int] = {}
        self.paths: list[Path] = []
        if not any(node.op is p.where for node in order):
            return
        sides = Sides(order, roots)
        paths = {node: _worth_jumping(node, sides.path(node)) for node in order if node.op is not None}
        if not any(paths.values()):
            return
        times: dict[Symbol, tuple[int, ...]] = {}
        keys: dict[Symbol, tuple[int, ...]] = {}
        numbers: dict[Side, int] = {}
        for node, path in paths.items():
            time = (*[1] * len(path), 0)
            for x in (*node.args, *[side.condition for side in path]):
                if x in times and x.row == node.row:  # what all rows share is computed before anything else
                    time = max(time, _after(times[x], len(paths[x]), len(path)))
            times[node] = time
            places = [numbers.setdefault(side, len(numbers)) for side in path]
            keys[node] = (*[n for pair in zip(time, places, strict=False) for n in pair], time[-1])
        of_key = {key: paths[node] for node, key in keys.items()}
        ordered = {key: n for n, key in enumerate(sorted(of_key))}
        self.number = {node: ordered[key] for node, key in keys.items()}
        self.paths = [of_key[key] for key in ordered]


def _worth_jumping(node: Symbol, path: Path) -> Path:
    """The sides of `path` that are worth a jump over `node`. What all rows share is computed once, and only conditions
    that they share can prevent it."""
    return tuple(takewhile(lambda side: side.cost >= WORTH and not (side.condition.row and not node.row), path))


def _after(time: tuple[int, ...], depth: int, own_depth: int) -> tuple[int, ...]:
    """The first time for a node `own_depth` sides deep that reads one of `time`, `depth` sides deep.

    A time has one number more than there are sides. An even number stands for a run between sides, an odd number for
    a run of sides; the numbers that follow say the same inside the side. So (0,) is before all sides, (1, 0) inside a
    side that follows it, and (2,) after that side.
    """
    if depth == own_depth:
        return time
    shared = min(depth, own_depth)
    rest = own_depth - shared
    return (*time[:shared], time[shared] + 1, *[1] * (rest - 1), *[0] * (rest > 0))
