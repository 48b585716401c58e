"""Drawing a graph as a web page that steps forward through its evaluation and backward through its gradients.

This module writes what the page shows as data: the nodes, their groups, the local derivatives as text and as numbers.
The script in `page.html` arranges the boxes and does the steps.
"""

from __future__ import annotations

import json
import math
import os
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from autograd_lite.drawing import palette
from autograd_lite.drawing.notation import is_made_by, nodes_of, symbol
from autograd_lite.drawing.structure import Kind, Structure
from autograd_lite.drawing.symbolic import derivatives, formula
from autograd_lite.drawing.view import initially_open
from autograd_lite.files import write_whole
from autograd_lite.naming import printable, short_name

SEPARATE = 3_000  # up to this many nodes, each has its own box; in larger graphs, nodes that are made alike share one
ARGUMENTS = 12  # how many of the values that an operation in words takes are named


def to_html(root: Any, path: str | os.PathLike[str] | None = None, *, max_nodes: int = 20_000) -> str:
    """A web page, in one file, that computes `root` and its gradients one value at a time.

    The page shows the picture of `draw`, in which groups open and close. Each step shows the operation, its local
    derivatives as formulas and as numbers, their products with the gradient that comes back, and the sums where paths
    meet. A click on a value lists the paths whose products add up to its gradient. All gradients start from 0,
    whatever `grad` holds.

    In a graph of more than `max_nodes` nodes, values that are made alike (the rows of a batch) share one step, which
    shows the range of their numbers and the sums of their gradients; where even those steps are too many, all values
    of a module, of a scope or of one twelfth of the graph share one.

    Keys: the arrows step, with shift to the next box, Home and End go to the ends, P plays.

    The text of the page is returned, and written to `path` if one is given. A TypeError if `root` is not a Value. A
    ValueError if `max_nodes` is not an int of 0 or more. An OSError if `path` cannot be written; it is then as it was.

    >>> from autograd_lite import Value
    >>> a = Value(2.0, label="a")
    >>> to_html(a * a).startswith("<!doctype html>")
    True
    """
    if not isinstance(max_nodes, int) or max_nodes < 0:
        raise ValueError(f"to_html takes max_nodes, an int of 0 or more, got {max_nodes!r}")
    nodes = nodes_of("to_html", (root,), several=False)
    are_shared = len(nodes) > max_nodes
    structure = Structure(nodes, (root,), merge=are_shared or len(nodes) > SEPARATE)
    data = _shared_steps(structure, root) if are_shared else _separate_steps(structure, root)
    content = {
        "TITLE": escape(f"Step by step: {data['names'][data['root']]}"),
        # A script element ends at "</" whatever surrounds it, so it contains no "<".
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "BLUE": palette.DATA,
        **{name: getattr(palette, name) for name in ("INK", "GREY", "LINE", "GRAD", "LEAF", "FRAME", "OFF")},
    }
    page = files("autograd_lite.drawing").joinpath("page.html").read_text(encoding="utf-8")
    pieces = page.split("@@")  # text, NAME, text, NAME, ..., text
    text = "".join(content[piece] if i % 2 else piece for i, piece in enumerate(pieces))
    if path is not None:
        write_whole(Path(path), text.encode(), "to_html", make_folders=True)
    return text


class _Operations:
    """The operations of a page, each written once: its sign, name, formula and local derivatives."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self._index: dict[Any, int] = {}

    def add(self, node: Any) -> int:
        """The index of the operation that made `node`."""
        op, args = node.op, node.args
        key = (op, len(args), args[1] if is_made_by(node, {"pow_const"}) else None)
        if key not in self._index:
            self._index[key] = self.add_written(
                symbol(node), printable(op.name), formula(op, args), derivatives(op, args), int(op.factors == 2)
            )
        return self._index[key]

    def add_written(self, *row: Any) -> int:
        """The index of an operation that is written as `row`."""
        self.written.append(row)
        return len(self.written) - 1


def _separate_steps(structure: Structure, root: Any) -> dict[str, Any]:
    """The data of a page with one step for each value, as lists of numbers and strings."""
    index = {node: i for i, node in enumerate(structure.nodes)}
    boxes = {kind: i for i, kind in enumerate(structure.kinds)}
    operations = _Operations()
    nodes: list[Any] = []
    partials: list[list[Any]] = []
    for node in structure.nodes:
        row = [[_number(x)] if type(x) is float else index[x] for x in node.args]
        made = -1 if node.op is None else operations.add(node)
        nodes.append([made, row, _number(node.data), boxes[structure.kind_of[node]]])
        partials.append([dx if dx is None or dx == "held" else _number(dx) for dx in _partials(node)])
    names = _names(structure, [(node, structure.kind_of[node]) for node in structure.nodes])
    return _page(structure, index[root], operations, nodes, partials, names)


def _shared_steps(structure: Structure, root: Any) -> dict[str, Any]:
    """The data of a page with one step for each kind, that is, for all values that are made alike.

    Each kind has the range of its numbers and the size of its largest gradient. Each use of one kind by another has the
    range of its local derivatives, and the sum of the products that it adds to the gradient.
    """
    uses, sizes = _flows(structure, root)
    index = {kind: i for i, kind in enumerate(structure.kinds)}
    operations = _Operations()
    nodes: list[Any] = []
    partials: list[list[Any]] = []
    shared: list[Any] = []
    for i, kind in enumerate(structure.kinds):
        node, numbers = kind.node, kind.numbers
        own = uses[kind]
        row: list[Any]
        flows: list[_Flow | None]
        if kind.is_leaf and not own:
            made, row, flows = -1, [], []
        elif structure.is_coarse or own.keys() - range(len(node.args)):
            made = operations.add_written(*_in_words(kind, len(own)))
            row, flows = [index[arg] for arg, _ in own.values()], [flow for _, flow in own.values()]
        else:
            made = operations.add(node)
            row = [_arg(kind, place, index) for place in range(len(node.args))]
            flows = [own[place][1] if place in own else None for place in range(len(node.args))]
        nodes.append([made, row, _number(node.data), i])
        partials.append([flow and flow.written() for flow in flows])
        low, high = (math.nan, math.nan) if numbers.has_nan else (numbers.low, numbers.high)
        is_written = len(row) == len(node.args) and not structure.is_coarse
        example = [_number(x if type(x) is float else x.data) for x in node.args] if is_written else []
        shared.append([kind.count, _number(low), _number(high), _number(sizes[kind]), example])
    names = _names(structure, [(kind.node, kind) for kind in structure.kinds])
    page = _page(structure, index[structure.kind_of[root]], operations, nodes, partials, names)
    return page | {"shared": shared, "values": len(structure.nodes)}


def _in_words(kind: Kind, uses: int) -> tuple[str, str, list[Any], list[None], int]:
    """An operation without a formula: on many values that are made alike, or one of many in a run of nodes."""
    args = [piece for k in range(min(uses, ARGUMENTS)) for piece in (", ", k)][1:]
    rest = [" …"] if uses > ARGUMENTS else []
    op: Any = kind.node.op
    if not kind.operations and op is not None:
        text = f"{printable(op.name)} of {len(kind.node.args):,} values: "
        return symbol(kind.node), printable(op.name), [text, *args, *rest], [None] * uses, 0
    signs = [*dict.fromkeys(symbol(node) for node in kind.operations.values() if node.op)]
    text = f"{', '.join(signs[:6])}{' …' if len(signs) > 6 else ''} of "
    return signs[0] if len(signs) == 1 else "…", "", [text, *args, *rest], [None] * uses, 0


class _Flow:
    """The gradient that one kind passes to another: the range of the local derivatives, and the sum of the products."""

    __slots__ = ("high", "low", "size", "total", "uses")

    def __init__(self) -> None:
        self.low, self.high, self.total, self.size, self.uses = math.inf, -math.inf, 0.0, 0.0, 0

    def add(self, partial: float, product: float) -> None:
        """Add one use: the local derivative, and its product with the gradient of the user."""
        self.uses += 1
        self.low, self.high = min(self.low, partial), max(self.high, partial)
        self.total += product
        if not abs(product) <= self.size:
            self.size = abs(product)

    def written(self) -> list[Any] | None:
        """For the page: the local derivative and product of one use, or ranges and the sum of several; or None."""
        if self.uses == 1:
            return [_number(self.low), _number(self.total)]
        parts = (self.low, self.high, self.total, self.size)
        return [*map(_number, parts), self.uses] if self.uses else None


def _flows(structure: Structure, root: Any) -> tuple[dict[Kind, dict[Any, tuple[Kind, _Flow]]], dict[Kind, float]]:
    """The gradients of `root`, by kinds: the flow from each to its arguments, and the size of its largest gradient.

    The flows of a kind are by the place of the argument, or by its kind where an operation takes any number of them.
    """
    gradients = dict.fromkeys(structure.nodes, 0.0)
    gradients[root] = 1.0
    uses: dict[Kind, dict[Any, tuple[Kind, _Flow]]] = {kind: {} for kind in structure.kinds}
    sizes = dict.fromkeys(structure.kinds, 0.0)
    kind_of = structure.kind_of
    by_place = {kind for kind in structure.kinds if not structure.is_coarse and not _is_long_sum(kind)}
    for node in reversed(structure.nodes):
        kind, g = kind_of[node], gradients[node]
        if not abs(g) <= sizes[kind]:
            sizes[kind] = abs(g)
        for i, (x, partial) in enumerate(zip(node.args, _partials(node), strict=True)):
            if type(x) is float:
                continue
            arg, product = kind_of[x], 0.0
            if type(partial) is float:
                product = g * partial
                gradients[x] += product
            if arg is kind:  # both are part of the same run of nodes
                continue
            key = i if kind in by_place and kind.args.get(i) is arg else arg
            use = uses[kind].get(key)
            if use is None:
                use = uses[kind][key] = arg, _Flow()
            if type(partial) is float:
                use[1].add(partial, product)
    return uses, sizes


def _is_long_sum(kind: Kind) -> bool:
    """Whether `kind` is a sum of values that are made alike, such as the losses of a batch."""
    op: Any = kind.node.op
    return op is not None and op.factors == 1 and len({*kind.args.values()}) < len(kind.args)


def _arg(kind: Kind, place: int, index: dict[Kind, int]) -> Any:
    """The argument of a kind at that place: its index, or the range of the plain numbers."""
    if place in kind.args:
        return index[kind.args[place]]
    numbers = kind.constants[place]
    return [_number(math.nan if numbers.has_nan else x) for x in (numbers.low, numbers.high)]


def _partials(node: Any) -> list[Any]:
    """The local derivatives of `node`: None where no gradient flows, "held" where a selecting operation drops it."""
    op = node.op
    if op is None:
        return []
    rule = op.partials(node.data, *[x if type(x) is float else x.data for x in node.args])
    return [None if dx is None else "held" if op.selects and not dx else float(dx) for dx in rule]


def _page(
    structure: Structure,
    root: int,
    operations: _Operations,
    nodes: list[Any],
    partials: list[list[Any]],
    names: tuple[list[str], list[str]],
) -> dict[str, Any]:
    groups = {group: i for i, group in enumerate(structure.groups())}
    return {
        "root": root,
        "ops": operations.written,
        "nodes": nodes,
        "partials": partials,
        "names": names[0],
        "shorts": names[1],
        "boxes": [
            [groups[kind.group] if kind.group else -1, int(kind.is_inlined), kind.count] for kind in structure.kinds
        ],
        "groups": [
            [
                groups[g.parent] if g.parent else -1,
                printable(g.name),
                g.short,
                g.about,
                int(g.owner is not None),
            ]
            for g in groups
        ],
        "open": [groups[group] for group in initially_open(structure)],
    }


def _names(structure: Structure, shown: list[tuple[Any, Kind]]) -> tuple[list[str], list[str]]:
    """For each of `shown`, nodes with their kinds, a unique name, and a shorter one to be used inside its neuron.

    The name is the label, or the path, or for the output of a neuron the name of the neuron; all others are v1, v2, ...
    """
    outputs: dict[Kind, str] = {}
    if len(shown) == len(structure.kinds) and not structure.is_coarse:
        for group in structure.groups():
            last = [k for k in group.kinds if not k.is_leaf and all(user.group is not group for user in k.users)]
            if group.owner is not None and group.path and len(last) == 1:
                outputs[last[0]] = printable(group.path)
    names: list[str] = []
    shorts: list[str] = []
    taken = set(structure.names.values())
    used: set[str] = set()
    for i, (node, kind) in enumerate(shown):
        name = structure.names.get(node) or outputs.get(kind, "")
        if not name or name in used:
            name = next(v for v in (f"v{j}" for j in range(i, 2 * len(shown) + i)) if v not in taken)
        taken.add(name)
        used.add(name)
        names.append(name)
        place = structure.places.get(node)
        inside = place and not node.label
        if place and inside:
            name = printable(short_name(place.path, place.parts[-1].path))
        elif kind in outputs and outputs[kind] == name and kind.group:
            name = kind.group.short
        shorts.append(name)
    return names, shorts


def _number(x: float) -> float | str:
    """`x` as a JSON number; infinities and nan as text that JavaScript's `Number` reads."""
    return x if math.isfinite(x) else str(x).replace("inf", "Infinity").replace("nan", "NaN")
