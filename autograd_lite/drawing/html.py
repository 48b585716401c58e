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
from autograd_lite.drawing.notation import is_made_by, nodes_of, printable, symbol
from autograd_lite.drawing.structure import Kind, Structure
from autograd_lite.drawing.symbolic import derivatives, formula
from autograd_lite.drawing.view import initially_open
from autograd_lite.files import write_whole
from autograd_lite.naming import short_name

SEPARATE = 3_000  # up to this many nodes, each has a box of its own; beyond, those that are made alike share one


def to_html(root: Any, path: str | os.PathLike[str] | None = None, *, max_nodes: int = 20_000) -> str:
    """A web page, complete in itself, that computes `root` and its gradients one value at a time; also to a file.

    The page shows the picture of `draw`, in which groups open and close. Each step shows the operation, its local
    derivatives as formulas and as numbers, their products with the gradient that comes back, and the sums where paths
    meet. A click on a value lists what its gradient is made of. The gradients are of `root` alone, from 0.

    Keys: the arrows step, with shift to the next box, Home and End go to the ends, P plays.

    The text of the page is returned, and written to `path` if one is given. A TypeError if `root` is no Value. A
    ValueError if there are more than `max_nodes` nodes. An OSError if `path` cannot be written; it is then as it was.

    >>> from autograd_lite import Value
    >>> a = Value(2.0, label="a")
    >>> to_html(a * a).startswith("<!doctype html>")
    True
    """
    nodes = nodes_of("to_html", (root,), max_nodes, several=False)
    structure = Structure(nodes, (root,), merge=len(nodes) > SEPARATE)
    data = _data(structure, root)
    content = {
        "TITLE": escape(f"Step by step: {data['names'][-1]}"),
        # A script element ends at "</" whatever surrounds it, so it contains no "<".
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "BLUE": palette.DATA,
        **{name: getattr(palette, name) for name in ("INK", "GREY", "LINE", "GRAD", "LEAF")},
    }
    page = files("autograd_lite.drawing").joinpath("page.html").read_text(encoding="utf-8")
    pieces = page.split("@@")  # text, NAME, text, NAME, ..., text
    text = "".join(content[piece] if i % 2 else piece for i, piece in enumerate(pieces))
    if path is not None:
        write_whole(Path(path), text.encode(), make_folders=True)
    return text


def _data(structure: Structure, root: Any) -> dict[str, Any]:
    """What the page shows, as lists of numbers and strings."""
    index = {node: i for i, node in enumerate(structure.nodes)}
    groups = {group: i for i, group in enumerate(structure.groups())}
    boxes = {kind: i for i, kind in enumerate(structure.kinds)}
    names, shorts = _names(structure)
    operations: dict[Any, int] = {}
    written: list[Any] = []
    nodes: list[Any] = []
    partials: list[list[Any]] = []
    for node in structure.nodes:
        op, args = node.op, node.args
        row = [[_number(x)] if type(x) is float else index[x] for x in args]
        if op is None:
            nodes.append([-1, row, _number(node.data), boxes[structure.kind_of[node]]])
            partials.append([])
            continue
        key = (op, len(args), args[1] if is_made_by(node, {"pow_const"}) else None)
        if key not in operations:
            operations[key] = len(written)
            written.append([symbol(node), op.name, formula(op, args), derivatives(op, args), int(op.factors == 2)])
        nodes.append([operations[key], row, _number(node.data), boxes[structure.kind_of[node]]])
        numbers = [x if type(x) is float else x.data for x in args]
        rule = op.partials(node.data, *numbers)
        partials.append(
            [None if dx is None else "held" if op.selects and not dx else _number(float(dx)) for dx in rule]
        )
    return {
        "root": index[root],
        "ops": written,
        "nodes": nodes,
        "partials": partials,
        "names": names,
        "shorts": shorts,
        "boxes": [
            [groups.get(kind.group, -1) if kind.group else -1, int(kind.is_inlined), kind.count] for kind in boxes
        ],
        "groups": [
            [groups[g.parent] if g.parent else -1, g.name, g.short, g.title if g.path else "", int(g.owner is not None)]
            for g in groups
        ],
        "open": [groups[group] for group in initially_open(structure)],
    }


def _names(structure: Structure) -> tuple[list[str], list[str]]:
    """For each node a name that no other has, and a shorter one for use inside its neuron.

    The name is the label or the path. The output of a neuron is called as the neuron is; v1, v2, ... is anything else.
    """
    outputs: dict[Kind, str] = {}
    if len(structure.nodes) == len(structure.kinds):
        for group in structure.groups():
            last = [k for k in group.kinds if not k.is_leaf and all(user.group is not group for user in k.users)]
            if group.owner is not None and group.path and len(last) == 1:
                outputs[last[0]] = printable(group.path)
    names: list[str] = []
    shorts: list[str] = []
    taken = set(structure.names.values())
    used: set[str] = set()
    for i, node in enumerate(structure.nodes):
        kind = structure.kind_of[node]
        name = structure.names.get(node) or outputs.get(kind, "")
        if not name or name in used:
            name = next(v for v in (f"v{j}" for j in range(i, 2 * len(structure.nodes) + i)) if v not in taken)
        taken.add(name)
        used.add(name)
        names.append(name)
        place = structure.places.get(node)
        inside = place and not node.label
        if place and inside:
            name = printable(short_name(place.path, place.parts[-1].path))
        elif kind in outputs and outputs[kind] == name and kind.group:
            name = printable(kind.group.short)
        shorts.append(name)
    return names, shorts


def _number(x: float) -> float | str:
    """`x` as JSON has it; infinities and nan as JavaScript reads them from text."""
    return x if math.isfinite(x) else str(x).replace("inf", "Infinity").replace("nan", "NaN")
