"""Drawing a graph as a web page that steps forward through its evaluation and backward through its gradients."""

# ruff: noqa: RUF001
from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from itertools import pairwise
from typing import Any

from autograd_lite.drawing import palette
from autograd_lite.drawing.layout import layered
from autograd_lite.drawing.notation import ORDERED, is_made_by, label_of, nodes_of, number, operands, symbol, typeset

WIDTH, HEIGHT, ACROSS, DOWN, PILL = 156, 44, 204, 58, 52  # of a box, from one to the next, and of a constant


def to_html(root: Any, *, max_nodes: int = 200) -> str:
    """A web page, complete in itself, that computes `root` and its gradients one value at a time.

    Each step shows the operation with its numbers; on the way back the local partials, what each adds, and the
    gradient so far. The gradients are of `root` alone, from 0. A ValueError if there are more than `max_nodes` nodes.
    """
    nodes = nodes_of("to_html", (root,), max_nodes, several=False)
    names = _names(nodes)
    content = {
        "TITLE": escape(f"Step by step: {names[root]}"),
        "SVG": _svg(nodes, names),
        # A script element ends at "</" whatever surrounds it, so no "<" may stand in it.
        "STEPS": json.dumps([*_forward(nodes, names), *_backward(nodes, names)]).replace("<", "\\u003c"),
        **{
            name: getattr(palette, name) for name in ("INK", "GREY", "LINE", "DATA", "GRAD", "LEAF", "MADE", "CONSTANT")
        },
    }
    page = files("autograd_lite.drawing").joinpath("page.html").read_text(encoding="utf-8")
    pieces = page.split("@@")  # text, NAME, text, NAME, ..., text
    return "".join(content[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _names(nodes: list[Any]) -> dict[Any, str]:
    """The label of each node, or v1, v2 ... where there is none or another node has it."""
    names: dict[Any, str] = {}
    taken = {label_of(node) for node in nodes}
    for i, node in enumerate(nodes):
        label = label_of(node, 9)
        free = label and label not in names.values()
        names[node] = label if free else next(v for v in (f"v{j}" for j in range(i, 9**9)) if v not in taken)
        taken.add(names[node])
    return names


def _value(x: Any) -> str:
    return typeset(number(x if type(x) is float else x.data))


def _product(x: str, y: str, sign: str) -> str:
    return f"{x}{sign}{_enclosed(y)}"


def _enclosed(word: str) -> str:
    return f"({word})" if word.startswith("−") else word


def _formula(node: Any, words: list[str]) -> str:
    """The operation of `node` on `words`, its arguments in writing."""
    if is_made_by(node, {"pow_const"}):
        return _enclosed(words[0]) + symbol(node).removeprefix("x")
    if is_made_by(node, {"add", "sub", "mul", "div"}):
        return _product(words[0], words[1], f" {symbol(node)} ")
    if is_made_by(node, {"sum"}):
        return " + ".join(map(_enclosed, words))
    if is_made_by(node, {"dot"}):
        return " + ".join(_product(x, y, "·") for x, y in zip(words[::2], words[1::2], strict=True))
    return f"{node.op.name}({', '.join(words)})"


def _forward(nodes: list[Any], names: dict[Any, str]) -> list[dict[str, Any]]:
    """One step for each operation: what it computes, from what."""
    index = {node: i for i, node in enumerate(nodes)}
    made = [node for node in nodes if node.op is not None]
    leaves = ", ".join(f"{names[node]} = {_value(node)}" for node in nodes if node.op is None)
    steps: list[dict[str, Any]] = [{"title": "The leaves hold their numbers", "formula": leaves, "from": [], "to": []}]
    for count, node in enumerate(made, 1):
        args = operands(node)
        words = [_value(arg) if type(arg) is float else names[arg] for arg in args]
        formulas = [_formula(node, words), _formula(node, [_value(arg) for arg in args]), _value(node)]
        steps.append(
            {
                "title": f"Forward, {count} of {len(made)}",
                "formula": " = ".join(dict.fromkeys([names[node], *formulas])),
                "from": [index[arg] for arg in args if type(arg) is not float],
                "to": [index[node]],
                "made": index[node],
            }
        )
    return steps


def _backward(nodes: list[Any], names: dict[Any, str]) -> list[dict[str, Any]]:
    """One step for the root's own gradient, and one for each operation: what it hands to its arguments."""
    index = {node: i for i, node in enumerate(nodes)}
    grads = dict.fromkeys(nodes, 0.0)
    root = nodes[-1]
    grads[root] = 1.0
    name = names[root]
    steps: list[dict[str, Any]] = [
        {
            "title": "Now backward",
            "formula": f"d{name}/d{name} = 1",
            "from": [],
            "to": [index[root]],
            "grads": {index[root]: "1"},
        }
    ]
    made = [node for node in reversed(nodes) if node.op is not None]
    for count, node in enumerate(made, 1):
        numbers = [arg if type(arg) is float else arg.data for arg in node.args]
        g = grads[node]
        rows, changed = [], {}
        for arg, partial in zip(node.args, node.op.partials(node.data, *numbers), strict=True):
            if type(arg) is float:
                continue
            local = f"∂{names[node]}/∂{names[arg]}"
            if partial is None or (node.op.selects and not partial):
                rows.append([local, "—" if partial is None else "0", "nothing flows", _value(grads[arg])])
                continue
            grads[arg] += g * partial
            changed[index[arg]] = _value(grads[arg])
            product = _product(_value(g), _value(partial), " × ")
            rows.append([local, _value(partial), f"{product} = {_value(g * partial)}", _value(grads[arg])])
        steps.append(
            {
                "title": f"Backward, {count} of {len(made)}",
                "formula": f"{names[node]}.grad = {_value(g)} goes to the arguments of {names[node]}",
                "rows": rows,
                "from": [index[node]],
                "to": list(changed),
                "made": index[node],
                "grads": changed,
            }
        )
    return steps


def _svg(nodes: list[Any], names: dict[Any, str]) -> str:
    """The graph as SVG: the boxes n0, n1 ... of the nodes, and the arrows between them."""
    items: list[Any] = []  # the nodes, and before each the constants among its arguments
    arguments: list[list[int]] = []
    index: dict[Any, int] = {}
    for node in nodes:
        args = []
        for arg in operands(node):
            if type(arg) is float:
                args.append(len(items))
                items.append(arg)
                arguments.append([])
            else:
                args.append(index[arg])
        index[node] = len(items)
        items.append(node)
        arguments.append(args)
    places, passing = layered(arguments)
    corner = [(12 + column * ACROSS, 12 + y * DOWN) for column, y in places]
    number_of = {node: i for i, node in enumerate(nodes)}

    arrows, boxes = [], []
    for i, (item, args) in enumerate(zip(items, arguments, strict=True)):
        x, y = corner[i]
        if type(item) is float:
            boxes.append(_pill(item, x, y))
            continue
        boxes.append(_box(item, number_of[item], names[item], x, y))
        if not is_made_by(item, ORDERED):
            args = sorted(args, key=lambda j: corner[j][1])
        for slot, j in enumerate(args):
            points = [(corner[j][0] + WIDTH, corner[j][1] + HEIGHT / 2)]
            for step, passed in enumerate(passing[j, i], 1):
                left, middle = corner[j][0] + step * ACROSS, 12 + passed * DOWN + HEIGHT / 2
                points += [(left, middle), (left + WIDTH, middle)]
            points.append((x - 2, y + HEIGHT / 2 + (slot - (len(args) - 1) / 2) * min(10, (HEIGHT - 12) / len(args))))
            curve = "".join(
                f"C{(x0 + x1) / 2:.0f} {y0:.1f} {(x0 + x1) / 2:.0f} {y1:.1f} {x1:.0f} {y1:.1f}"
                for (x0, y0), (x1, y1) in pairwise(points)
            )
            start = number_of.get(items[j], "")
            arrows.append(
                f'<path class="arrow" data-from="{start}" data-to="{number_of[item]}" '
                f'd="M{points[0][0]:.0f} {points[0][1]:.1f}{curve}"/>'
            )
    width, height = (12 + max(xy[axis] for xy in corner) + (WIDTH, HEIGHT)[axis] for axis in (0, 1))
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" '
        'markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0.5L8 4L0 7.5z"/></marker>'
    )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="computation graph"><defs>{head}</defs>{"".join(arrows + boxes)}</svg>'
    )


def _pill(constant: float, x: float, y: float) -> str:
    x, y = x + WIDTH - PILL, y + HEIGHT / 2
    return (
        f'<g class="constant"><rect x="{x:.0f}" y="{y - 11:.1f}" width="{PILL}" height="22" rx="11"/>'
        f'<text x="{x + PILL / 2:.0f}" y="{y + 4:.1f}" text-anchor="middle">{_value(constant)}</text></g>'
    )


def _box(node: Any, i: int, name: str, x: float, y: float) -> str:
    sign = symbol(node)
    sign = escape(sign if len(sign) <= 7 else sign[:5] + "…")
    left = x + (54 if sign else 10)
    made = (
        f'<text class="sign" x="{x + 24:.0f}" y="{y + HEIGHT / 2 + 5:.1f}" text-anchor="middle">{sign}</text>'
        f'<path d="M{x + 47:.0f} {y + 5:.1f}v{HEIGHT - 10}"/>'
    )
    return (
        f'<g class="{"made" if sign else "leaf"}" id="n{i}">'
        f'<rect x="{x:.0f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="10"/>{made if sign else ""}'
        f'<text x="{left:.0f}" y="{y + 18:.1f}"><tspan class="{"label" if label_of(node) else "name"}">{escape(name)}'
        f'</tspan> <tspan class="data">{_value(node)}</tspan></text>'
        f'<text class="grad" x="{left:.0f}" y="{y + 35:.1f}"></text></g>'
    )
