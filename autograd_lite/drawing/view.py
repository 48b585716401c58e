"""Which boxes a picture shows: the finest detail that stays readable, or the detail that the user asks for."""

# ruff: noqa: RUF001
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from autograd_lite.drawing.notation import ORDERED, is_made_by, nodes_of, number, operands, symbol, typeset
from autograd_lite.drawing.structure import Group, Kind, Range, Structure
from autograd_lite.naming import printable, short_name

DETAILS = ("all", "value", "neuron", "layer", "model")
MOST = 5_000  # boxes that a layout engine can still arrange
READABLE = 60  # how many boxes a picture has, unless more are asked for
ROWS = 8  # how many products of a dot product are written out
DECADES = 4  # over which the colour fades
VANISHED = 1e-6  # a gradient this much smaller than the largest is called vanishing

Key = tuple[str, int]


@dataclass
class Row:
    """One product of a dot product: the text of the weight and of its input, and the gradient of the weight."""

    name: str = ""
    factor: str = ""
    other_name: str = ""
    other: str = ""
    grad: str = ""
    port: str = ""  # where arrows arrive, if one of the factors is a box of its own


@dataclass
class Box:
    """The text in one box."""

    look: str  # leaf, made, constant, group
    title: str = ""
    about: str = ""  # beside the title, in grey: the class of a module, how many values
    sign: str = ""
    lines: list[str] = field(default_factory=list)  # in grey
    data: str = ""
    grad: str = ""
    warning: str = ""  # dead, vanishing
    rows: list[Row] = field(default_factory=list)
    total: tuple[str, str] = ("", "")  # the number and the gradient of the sum of the rows, if `sign` is applied to it
    ports: int = 0
    is_center: bool = False
    is_dead: bool = False  # nothing but zeros comes out of it
    heat: float = -1.0  # the size of the gradient, from 0 (vanished) to 1 (the largest); -1 if there is none


@dataclass
class Arrow:
    """`count` uses of one box by another."""

    start: Key
    end: Key
    port: str = ""
    count: int = 1
    grad: float = 0.0
    tail: Group | None = None  # the frames that it leaves from and points to, if it stands for a bundle
    head: Group | None = None


@dataclass
class View:
    """The boxes by key, the arrows, the frames around opened groups (with the boxes directly in each), a caption."""

    boxes: dict[Key, Box]
    arrows: list[Arrow]
    frames: dict[Group, list[Key]]
    columns: dict[Group, list[Key]]  # the boxes of a frame that are stacked: no arrow leads between them
    group_of: dict[Key, Group | None]
    caption: str


def check_options(what: str, detail: str, expand: Any) -> tuple[str, ...]:
    """`expand` as a tuple of paths; a ValueError for an unknown `detail`, a TypeError unless `expand` is paths."""
    if detail not in ("auto", *DETAILS):
        raise ValueError(f"{what} knows no detail={detail!r}: choose from {', '.join(('auto', *DETAILS))}")
    paths = (expand,) if isinstance(expand, str) else expand
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise TypeError(f"{what} takes expand='layers.1', or a list of such paths, got {expand!r}")
    return tuple(paths)


def near(what: str, nodes: Sequence[Any], around: Any, radius: int) -> list[Any]:
    """Those of `nodes` within `radius` steps of the node `around`, in topological order.

    A leaf that others share (a weight, an input) is not walked through. A ValueError if `around` is not in the graph.
    """
    if not isinstance(radius, int) or radius < 0:
        raise ValueError(f"{what} takes a radius that is an int of 0 or more, got {radius!r}")
    if around not in set(nodes):
        raise ValueError(f"{what} takes around=a value of the graph, got one outside it: {around!r:.80}")
    users: dict[Any, list[Any]] = defaultdict(list)
    for node in nodes:
        for x in node.args:
            if type(x) is not float:
                users[x].append(node)
    reached, edge = {around}, [around]
    for _ in range(radius):
        edge = [
            other
            for node in edge
            if node.op is not None or node is around
            for other in (*[x for x in node.args if type(x) is not float], *users[node])
            if other not in reached and not reached.add(other)  # type: ignore[func-returns-value]
        ]
    return [node for node in nodes if node in reached]


def view_of(
    what: str,
    roots: Sequence[Any],
    detail: str = "auto",
    expand: Any = (),
    around: Any = None,
    radius: int = 2,
) -> View:
    """The boxes and arrows of the graph under `roots`, for the function `what`, which is named in errors."""
    paths = check_options(what, detail, expand)
    nodes, kept = nodes_of(what, roots), None
    center = () if around is None else (around,)
    if around is not None:
        kept = set(near(what, nodes, around, radius))
    if detail == "all" or (detail == "auto" and (kept or len(nodes) <= 50 * READABLE)):
        if detail == "all" and len(kept or nodes) > 4 * MOST:
            raise _too_many(what, len(kept or nodes), detail)
        structure = Structure(nodes, roots, False, center, kept)
        if detail == "all" and _count(structure, "all") > MOST:
            raise _too_many(what, _count(structure, "all"), detail)
        if detail == "all" or _count(structure, "all") + (0 if kept else _rows_to_read(structure)) <= READABLE:
            return _View(structure, "all", paths, center).view(what)
    structure = Structure(nodes, roots, True, center, kept)
    if detail == "auto":
        counts = {level: _count(structure, level) for level in DETAILS[1:]}
        if structure.is_coarse:
            del counts["value"]
        else:
            counts["value"] += 0 if kept else _rows_to_read(structure)
        if min(counts.values()) > READABLE and not structure.is_coarse:
            structure = Structure(nodes, roots, True, center, kept, coarse=True)
            counts = {level: _count(structure, level) for level in DETAILS[2:]}
        detail = next((level for level in counts if counts[level] <= READABLE), min(counts, key=counts.__getitem__))
    elif _count(structure, detail) > MOST:
        raise _too_many(what, _count(structure, detail), detail)
    return _View(structure, detail, paths, center).view(what)


def _rows_to_read(structure: Structure) -> int:
    """How many boxes the rows of all dot products count for: two rows are as much to read as a box."""
    return sum(min(len(kind.node.args) // 2, ROWS) for kind in structure.kinds if kind.is_dot) // 2


def _too_many(what: str, boxes: int, detail: str) -> ValueError:
    return ValueError(
        f"{what} with detail={detail!r} would have {boxes:,} boxes, more than the {MOST:,} that can be arranged: "
        f"use detail='auto', or {what}(root, around=v) for a part"
    )


def initially_open(structure: Structure) -> list[Group]:
    """The groups that a page opens at first: all, if that makes a few boxes; else neurons are closed, or layers."""
    few, level = READABLE // 4, "model"
    for name, most in (("value", few), ("neuron", READABLE), ("layer", READABLE)):
        if _count(structure, name, joins=False) <= most:
            level = name
            break
    shown = _shown(structure, level, set())
    return [group for group, closed in shown.items() if closed is None]


def _is_closed(group: Group, detail: str) -> bool:
    """Whether the group is one box at this detail."""
    if detail in ("all", "value"):
        return False
    if detail == "neuron":
        return group.height == 0
    if detail == "layer":
        return group.height <= 1 and (group.parent is not None or group.height == 0)
    return True


def _shown(structure: Structure, detail: str, opened: set[Group]) -> dict[Group, Group | None]:
    """For each group, the closed group that is drawn in its place: the group itself or one around it; None if all of
    these are open."""
    shown: dict[Group, Group | None] = {}
    for group in structure.groups():
        outer = shown[group.parent] if group.parent else None
        closed = _is_closed(group, detail) and group not in opened
        if closed and outer is None and len(group.kinds) == 1 and not group.children and not group.kinds[0].is_dot:
            closed = structure.is_coarse
        shown[group] = outer or (group if closed else None)
    return shown


def _alike(structure: Structure, shown: dict[Group, Group | None], detail: str) -> dict[Kind, Kind]:
    """Where groups are closed, kinds between them that are one operation on the same boxes are joined.

    For each kind that has no closed group around it, the first kind that shares its box.
    """
    if detail in ("all", "value") or structure.is_coarse:
        return {}
    place: dict[Kind, Any] = {}
    first: dict[Any, Kind] = {}
    joined: dict[Kind, Kind] = {}
    for kind in structure.kinds:
        closed = shown[kind.group] if kind.group else None
        if closed or kind.is_leaf:
            place[kind] = closed or (kind.place is not None or kind.index)
            if not closed and kind.place and not kind.is_inlined and not kind.is_own:
                joined[kind] = first.setdefault(kind.place.parts, kind)  # the rows of an embedding
            continue
        form = (kind.node.op, kind.group, frozenset(place.get(arg) for arg in kind.args.values()))
        place[kind] = joined[kind] = first.setdefault(form, kind)
    return joined


def _count(structure: Structure, detail: str, joins: bool = True) -> int:
    """The number of boxes at this detail, where values between groups are joined, or not."""
    shown = _shown(structure, detail, set())
    closed = {group for group in shown.values() if group}
    joined = _alike(structure, shown, detail) if joins else {}
    free = [
        k for k in structure.kinds if not (k.group and shown[k.group]) and not k.is_inlined and joined.get(k, k) is k
    ]
    constants = sum(len(k.constants) for k in free if not k.is_dot) if detail == "all" else 0
    return len(closed) + len(free) + constants


class _View:
    """Draws a structure at one level of detail."""

    def __init__(self, structure: Structure, detail: str, expand: tuple[str, ...], center: tuple[Any, ...]) -> None:
        self.structure, self.detail, self.expand = structure, detail, expand
        self.center = [structure.kind_of[node] for node in center]
        self.opened: set[Group] = set()
        self.largest = max((k.numbers.grad for k in structure.kinds if k.numbers.grad < math.inf), default=0.0)
        self.boxes: dict[Key, Box] = {}
        self.group_of: dict[Key, Group | None] = {}

    def view(self, what: str) -> View:
        by_name = {name: g for g in self.structure.groups() for name in (g.title, printable(g.path), g.path) if name}
        for path in self.expand:
            if path not in by_name:
                known = ", ".join(repr(printable(g.name)) for g in list(self.structure.groups())[:12])
                raise ValueError(
                    f"{what} has no group {printable(path)!r} to expand: there is {known or 'none in this graph'}"
                )
            self.opened.update(by_name[path].ancestors())
        structure, shown = self.structure, _shown(self.structure, self.detail, self.opened)
        roots = set(structure.roots)
        where: dict[Kind, Key] = {}
        self.visible = set(structure.kinds)
        joined = _alike(structure, shown, self.detail)
        self.members: dict[Kind, list[Kind]] = defaultdict(list)
        for kind, first in joined.items():
            self.members[first].append(kind)
        self.fused = dict(filter(None, map(self._activation, structure.kinds)))
        self.sums = {activation: kind for kind, activation in self.fused.items()}
        for kind in structure.kinds:
            if kind in self.fused:
                continue
            closed = shown[kind.group] if kind.group else None
            if closed:
                key = ("g", id(closed))
                where[kind] = key
                if key not in self.boxes:
                    self.boxes[key] = self._group_box(closed, roots)
                    self.group_of[key] = closed.parent
            elif joined.get(kind, kind) is not kind:
                where[kind] = ("n", joined[kind].index)
            elif not kind.is_inlined:
                key = where[kind] = ("n", kind.index)
                self.boxes[key] = self._kind_box(kind)
                self.group_of[key] = kind.group
        for kind, activation in self.fused.items():
            where[kind] = where[activation]
        arrows: dict[tuple[Key, Key, str], Arrow] = {}
        for kind in structure.kinds:
            end = where.get(kind)
            if end is None:
                continue
            single = end == ("n", kind.index)
            ports = self._ports(kind) if single else {}
            if kind in self.fused.values():
                continue  # its argument is in the same box
            for place, arg in kind.args.items():
                start = where.get(arg)
                if start is None or start == end:
                    continue
                port = ports.get(place, "")
                arrow = arrows.setdefault((start, end, port), Arrow(start, end, port, 0))
                arrow.count += 1
                arrow.grad = _larger(arrow.grad, arg.numbers.grad)
            if single and not kind.is_dot:
                self._constants(kind, end, ports, arrows)
        self._inputs(where, arrows)
        self.boxes = dict(sorted(self.boxes.items(), key=lambda item: item[0][0] != "i"))
        frames = self._frames()
        links = defaultdict(set)
        for arrow in arrows.values():
            links[arrow.start].add(arrow.end)
            links[arrow.end].add(arrow.start)
        columns = {}
        for group, keys in frames.items():
            column = [key for key in keys if key[0] != "c" and links[key].isdisjoint(keys)]
            if len(column) > 1:
                columns[group] = column
        bundled = self._bundled([*arrows.values()], frames)
        return View(self.boxes, bundled, frames, columns, self.group_of, self._caption())

    def _activation(self, kind: Kind) -> tuple[Kind, Kind] | None:
        """A neuron's sum and the activation that is applied to it, if the two make one box."""
        group = kind.group
        if not kind.is_dot or kind.is_own or len(kind.users) != 1 or not group or group.owner is None or group.height:
            return None
        (user,) = kind.users
        if user not in self.visible:
            return None
        named = kind.node in self.structure.names
        whole = user.group is group and len(user.args) == 1 and not user.constants and user.count == kind.count
        return (kind, user) if whole and not named else None

    # Boxes

    def _kind_box(self, kind: Kind) -> Box:
        node, numbers = kind.node, kind.numbers
        name = self.structure.names.get(node, "")
        if len(self.members.get(kind, ())) > 1:
            part = kind.place.parts[-1] if kind.place else None
            name, numbers = printable(part.path or part.title) if part else "", Range()
            for member in self.members[kind]:
                numbers.include(member.numbers)
        n = numbers.count
        if kind.place and not node.label and numbers is kind.numbers:
            name = printable(short_name(kind.place.path, kind.group.path if kind.group else ""))
        if self.structure.is_coarse:
            what = "parameters" if kind.place else "values"
            signs = list(dict.fromkeys(filter(None, map(symbol, kind.operations.values()))))
            more = ", ".join(signs[:5]) + (" …" if len(signs) > 5 else "")
            box = Box("group", title=f"{n:,} {what}", lines=[more] if more else [])
            box.is_center = kind in self.center
            return self._measured(box, kind.numbers, kind.numbers)
        box = Box("leaf" if kind.is_leaf else "made", title=name, sign=symbol(node))
        rows = self.sums.get(kind, kind)
        if rows is not kind:
            total = self._measured(Box("made"), rows.numbers, rows.numbers)
            box.total = total.data, total.grad
        box.is_center = kind in self.center
        group = kind.group
        if group and group.owner is not None and group.height == 0 and group not in self.opened and not kind.is_leaf:
            is_output = all(user.group is not group for user in kind.users)
            box.title = box.title or (group.short if is_output and group.path else "")
        if n > 1:
            box.about = f"{box.about} × {n:,}".strip()
        if rows.is_dot and numbers is kind.numbers:
            box.rows = self._rows(rows)
        elif not kind.is_leaf and is_made_by(node, ORDERED):
            box.ports = len(operands(node))
        if kind.is_off and n > 1 and numbers is kind.numbers:
            box.warning, box.is_dead = "dead", True
        return self._measured(box, numbers, numbers)

    def _group_box(self, group: Group, roots: set[Kind]) -> Box:
        kinds = [*group.all_kinds()]
        leaves = [k for k in kinds if k.is_leaf and k.place]
        made = [k for k in kinds if not k.is_leaf or (self.structure.is_coarse and not k.place)]
        box = Box("group", title=group.short, about=group.about)
        box.is_center = any(kind in self.center for kind in kinds)
        times = max((k.count for k in made if any(a.place for a in k.args.values())), default=0)
        if group.height == 0 and group.parent and group.owner is not None and len(group.parent.children) > 1:
            box.about = ""  # its name says what it is
        if times > 1 and not self.structure.is_coarse:
            box.about = f"{box.about} × {times:,}".strip()
        inner = [g for g in self.structure.groups() if g.parent is group]
        values, parameters = sum(k.count for k in made), sum(k.count for k in leaves)
        numbers, grads = Range(), Range()
        root = next((k for k in made if k in roots), None)
        last = [k for k in made if any(u.group is not k.group for u in k.users) or k in roots] or made
        for kind in last if group.height == 0 and not self.structure.is_coarse else made or kinds:
            numbers.include(kind.numbers)
        for kind in leaves or made:
            grads.include(kind.numbers)
        if group.height or group.owner is None:
            if inner:
                counts: dict[str, int] = defaultdict(int)
                for g in inner:
                    counts[g.title] += 1
                box.lines.append(", ".join(_several(title, count) for title, count in counts.items()))
            ops = list(dict.fromkeys(symbol(x) for k in made for x in (*k.operations.values(), k.node) if x.op))
            text = ", ".join(ops[:5]) + (" …" if len(ops) > 5 else "")
            box.lines.append(f"{_several('value', values)}: {text}" if text else _several("value", values))
        if parameters and group.height:
            box.lines.append(_several("parameter", parameters))
        if root and root.count == 1:
            numbers = root.numbers
            box.title = self.structure.names.get(root.node, box.title)
        gates = [k for k in made if k.is_off]
        some = sum(1 for k in made if getattr(k.node.op, "selects", False) and len(k.node.args) == 1)
        if gates:
            word = "dead" if times > 1 else "off"
            box.warning = word if group.height == 0 else f"{len(gates)} of {some} {word}"
            box.is_dead = len(gates) == some
        return self._measured(box, numbers, grads)

    def _measured(self, box: Box, numbers: Range, grads: Range) -> Box:
        """Write the range of the numbers and the size of the gradients into the box."""
        box.data = _range(numbers)
        if not self.structure.has_gradients:
            return box
        if grads.count == 1 and numbers is grads:
            box.grad = f"grad {typeset(number(grads.signed))}"
        else:
            box.grad = f"|grad| ≤ {typeset(number(grads.grad))}" if grads.grad else ""
        box.heat = strength(grads.grad, self.largest)
        if not math.isfinite(grads.grad):
            box.warning = box.warning or "gradient " + typeset(number(grads.grad))
        elif box.look == "group" and grads.grad <= VANISHED * self.largest and not box.warning:
            box.warning = "vanishing gradient" if grads.grad else "no gradient"
        return box

    def _rows(self, kind: Kind) -> list[Row]:
        half = len(kind.node.args) // 2
        rows = []
        for i in range(half):
            if half > ROWS and ROWS // 2 <= i < half - ROWS // 2 + 1:
                if i == ROWS // 2:
                    rows.append(Row(name=f"⋯ {half - ROWS + 1:,} more ⋯", port="more"))
                continue
            w, x = kind.args.get(i), kind.args.get(half + i)
            name, factor = self._factor(kind, i, i)
            other_name, other = self._factor(kind, half + i, i)
            is_bias = w is not None and w.place is not None and x is None and other == "1" and not other_name
            grad = number(w.numbers.signed) if w and w.is_inlined and w.count == 1 else ""
            rows.append(
                Row(
                    name,
                    factor,
                    "" if is_bias else other_name,
                    "" if is_bias else other,
                    typeset(grad) if self.structure.has_gradients else "",
                    f"r{i}" if any(a and not a.is_inlined for a in (w, x)) else "",
                )
            )
        return rows

    def _factor(self, kind: Kind, place: int, i: int) -> tuple[str, str]:
        """The name and the number of one factor of a dot product, the i-th of its side."""
        arg = kind.args.get(place)
        around = kind.group.path if kind.group else ""
        if arg is None:
            numbers = kind.constants[place]
            half = len(kind.node.args) // 2
            partner = kind.args.get(place - half if place >= half else place + half)
            is_input = partner is not None and partner.place is not None and partner.place.path[-1:].isdigit()
            return f"x{i}" if is_input else "", _range(numbers)
        name = self.structure.names.get(arg.node, "")
        if arg.place and not arg.node.label:
            name = printable(short_name(arg.place.path, around))
        elif not name and arg.group and arg.group is not kind.group and arg.group.owner is not None:
            name = arg.group.short
        return name, _range(arg.numbers)

    def _ports(self, kind: Kind) -> dict[int, str]:
        """The port of the box that each argument arrives at."""
        n = len(kind.node.args)
        if kind.is_dot:
            half = n // 2
            hidden = range(ROWS // 2, half - ROWS // 2 + 1) if half > ROWS else ()
            return {i: "more" if i % half in hidden else f"r{i % half}" for i in range(n)}
        return {i: str(i) for i in range(n)} if n <= 3 and not self.structure.is_coarse else {}

    def _constants(
        self, kind: Kind, end: Key, ports: dict[int, str], arrows: dict[tuple[Key, Key, str], Arrow]
    ) -> None:
        """A box for each plain number among the arguments, unless the sign shows it."""
        shown = 1 if is_made_by(kind.node, {"pow_const"}) else len(kind.node.args)
        few = [(place, numbers) for place, numbers in kind.constants.items() if place < shown][:ROWS]
        for place, numbers in few:
            key = ("c", len(self.boxes))
            self.boxes[key] = Box("constant", data=_range(numbers))
            self.group_of[key] = kind.group
            arrows[key, end, str(place)] = Arrow(key, end, ports.get(place, ""))

    def _inputs(self, where: dict[Kind, Key], arrows: dict[tuple[Key, Key, str], Arrow]) -> None:
        """A box for each plain number that the first closed neurons see: x0, x1, ..., or one for all of them."""
        found: dict[int, Range] = {}
        users: dict[int, dict[Key, int]] = defaultdict(lambda: defaultdict(int))
        for kind in self.structure.kinds:
            key = where.get(kind)
            if not kind.is_dot or key is None or key[0] != "g":
                continue
            half = len(kind.node.args) // 2
            for place, numbers in kind.constants.items():
                w = kind.args.get(place - half)
                if place >= half and w and w.place and w.place.path[-1:].isdigit():
                    found.setdefault(place - half, Range()).include(numbers)
                    users[place - half][key] += 1
        if len(found) > ROWS:
            together = Range()
            for numbers in found.values():
                together.include(numbers)
            key = ("i", -1)
            self.boxes[key] = Box("leaf", title=f"x0 … x{max(found)}", data=_range(together))
            self.group_of[key] = None
            for i in users:
                for end, count in users[i].items():
                    arrows.setdefault((key, end, ""), Arrow(key, end, count=0)).count += count
            return
        for i, numbers in sorted(found.items()):
            key = ("i", i)
            self.boxes[key] = Box("leaf", title=f"x{i}", data=_range(numbers))
            self.group_of[key] = None
            for end, count in users[i].items():
                arrows[key, end, ""] = Arrow(key, end, count=count)

    # Frames, bundles, caption

    def _frames(self) -> dict[Group, list[Key]]:
        """The opened groups that get a frame, each with the boxes directly inside it."""
        inside: dict[Group, list[Key]] = {group: [] for group in self.structure.groups()}
        for key in self.boxes:
            group = self.group_of[key]
            while group is not None and not self._is_framed(group):
                group = group.parent
            self.group_of[key] = group
            if group is not None:
                inside[group].append(key)
        holders = {g for group, keys in inside.items() if keys for g in group.ancestors() if self._is_framed(g)}
        paths = {("g", id(group)): _natural(group.path) for group in self.structure.groups()}
        for keys in inside.values():
            keys.sort(key=lambda key: paths.get(key, [(-1, "")]))
        return {group: keys for group, keys in inside.items() if group in holders}

    def _is_framed(self, group: Group) -> bool:
        if group in self.opened:
            return True
        if group.height == 0 and group.owner is not None:
            return False  # a neuron: its box says so
        return group.parent is not None or len(self.structure.top) > 1

    def _bundled(self, arrows: list[Arrow], frames: dict[Group, list[Key]]) -> list[Arrow]:
        """The arrows, where one replaces all that lead from (nearly) all boxes of a frame to all boxes of another."""
        bundles: dict[tuple[Any, Any], list[Arrow]] = defaultdict(list)
        single = []
        for arrow in arrows:
            start, end = (
                [*g.ancestors()][::-1] if g else [] for g in (self.group_of[arrow.start], self.group_of[arrow.end])
            )
            start, end = [g for g in start if g in frames], [g for g in end if g in frames]
            while start and end and start[0] is end[0]:
                start, end = start[1:], end[1:]
            tail = start[0] if start else None
            head = end[0] if end else None
            if tail is None and head is None:
                single.append(arrow)
            else:
                bundles[tail or arrow.start, head or arrow.end].append(arrow)
        for (tail, head), group in bundles.items():
            starts, ends = ({*map(part, group)} for part in (lambda a: a.start, lambda a: a.end))
            full = len(group) >= 0.6 * len(starts) * len(ends)
            if len(group) < 4 or not full or len(starts) == len(ends) == 1:
                single += group
                continue
            places = {key: i for keys in frames.values() for i, key in enumerate(keys)}
            middle = [sorted(keys, key=lambda key: places.get(key, 0)) for keys in (starts, ends)]
            bundle = Arrow(middle[0][len(starts) // 2], middle[1][len(ends) // 2], count=sum(a.count for a in group))
            bundle.tail = tail if isinstance(tail, Group) else None
            bundle.head = head if isinstance(head, Group) else None
            bundle.grad = reduce(_larger, [a.grad for a in group])
            single.append(bundle)
            for key in starts | ends:  # nothing else puts the boxes of the two frames side by side
                pair = (key, bundle.end) if key in starts else (bundle.start, key)
                single.append(Arrow(pair[0], pair[1], count=0))
        return single

    def _caption(self) -> str:
        structure, sentences = self.structure, []
        n, boxes = len(structure.nodes), sum(1 for key in self.boxes if key[0] != "c")
        if self.center:
            shown = sum(kind.count for kind in structure.kinds)
            sentences.append(f"{shown:,} of {n:,} values: the part of the graph around one value.")
            n = shown
        if self.detail != "all":
            of = {"value": "values that are made alike", "neuron": "one neuron", "layer": "one layer"}
            each = of.get(self.detail, "one model")
            if structure.is_coarse and not structure.top:
                each = "one twelfth of the graph"
            elif not structure.top:
                each = of["value"]
            sentences.append(f"{n:,} values in {boxes} boxes: a box stands for {each}.")
            if structure.is_coarse and not structure.top:
                sentences.append("For a part: draw(root, around=v, radius=2).")
            else:
                closed = [g for g in structure.groups() if ("g", id(g)) in self.boxes]
                finer = DETAILS[max(DETAILS.index(self.detail) - 1, 0)]
                hint = f"expand={printable(closed[len(closed) // 2].name)!r}, " if closed else ""
                if any(box.look == "group" and box.heat >= 0 for box in self.boxes.values()):
                    sentences[-1] += " The darker, the larger the gradients."
                sentences.append(f"To see more: {hint}detail={finer!r}, or around=v.")
        if not structure.has_gradients:
            sentences.append("No gradients yet: call backward() first.")
        return "\n".join(sentences)


def _larger(x: float, y: float) -> float:
    """The larger of two sizes of gradients; nan is larger than every number."""
    return x if y <= x or x != x else y


def strength(size: float, largest: float) -> float:
    """The size of a gradient on a scale of DECADES: 0 for a vanished one, 1 for the largest, infinity and nan."""
    if not size <= largest:
        return 1.0
    return max(0.0, 1.0 + math.log10(size / largest) / DECADES) if size else 0.0


def _natural(path: str) -> list[tuple[int, str]]:
    """A sort key that orders paths by their numbers: neurons.2 before neurons.10."""
    return [(int(part), "") if part.isdecimal() and len(part) < 10 else (0, part) for part in path.split(".")]


def _several(what: str, count: int) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _range(numbers: Range) -> str:
    """The least and the largest number, as print has them."""
    if numbers.has_nan:
        return "nan"
    if not numbers.count:
        return ""
    low, high = typeset(number(numbers.low)), typeset(number(numbers.high))
    return low if low == high else f"{low} … {high}"
