"""Drawing a graph in a terminal, as a tree in which a shared node is drawn once and referred to after."""

# ruff: noqa: RUF002
from __future__ import annotations

from collections import Counter
from typing import Any
from unicodedata import east_asian_width

from autograd_lite.drawing.notation import Node, nodes_of, number, operands, printable_names, symbol


def to_text(*roots: Node, max_lines: int = 100, max_depth: int = 20) -> str:
    """The graph under the roots as lines of text: the operation that made each value, its number and its gradient.

    A node that is used more than once is drawn once, and `↑ name` refers back to it. Parameters are named by their path
    in the module. After `max_lines` lines or below `max_depth` levels the tree is cut, and the last line counts the
    values left out. A TypeError if a root is not a Value, a ValueError if a limit is below 1.

        >>> from autograd_lite import Value
        >>> a = Value(2.0, label="a")
        >>> print(to_text(a * a + 1))
        +          5  grad 0
        ├─ ×       4  grad 0
        │  ├─ a    2  grad 0
        │  └─ ↑ a
        └─ 1
    """
    if not all(isinstance(limit, int) and limit > 0 for limit in (max_lines, max_depth)):
        raise ValueError(f"to_text takes ints of at least 1, got max_lines={max_lines!r}, max_depth={max_depth!r}")
    nodes = nodes_of("to_text", roots)
    names = _names(nodes, roots)
    lines: list[tuple[str, str, str]] = []
    drawn: set[Node] = set()
    stack: list[tuple[Any, str, str, int]] = [(root, "", "", 1) for root in reversed(roots)]
    while stack and len(lines) < max_lines:
        node, branch, indent, depth = stack.pop()
        if type(node) is float:
            lines.append((branch + number(node), "", ""))
            continue
        if node in drawn:
            lines.append((f"{branch}↑ {names[node]}", "", ""))
            continue
        drawn.add(node)
        args = operands(node)
        title = " = ".join(filter(None, (names.get(node), symbol(node)))) or "value"
        if depth == max_depth and args:
            title, args = title + " …", ()
        lines.append((branch + title, number(node.data), number(node.grad)))
        for i, arg in reversed([*enumerate(args, 1)]):
            fork, below = ("└─ ", "   ") if i == len(args) else ("├─ ", "│  ")
            stack.append((arg, indent + fork, indent + below, depth + 1))
    titles = [title for title, _, _ in lines]
    width = max(map(_columns, titles))
    data, grads = _aligned([data for _, data, _ in lines]), _aligned([grad for _, _, grad in lines])
    rows = [
        f"{title}{' ' * (width - _columns(title))}  {x}  grad {g}".rstrip() if g.strip() else title
        for title, x, g in zip(titles, data, grads, strict=True)
    ]
    if stack or len(drawn) < len(nodes):
        rows.append(f"... and {len(nodes) - len(drawn):,} more values")
    return "\n".join(rows)


def _names(nodes: list[Node], roots: tuple[Node, ...]) -> dict[Node, str]:
    """The name of each node that has one, and a name for each node that is used twice, different from all others."""
    uses = Counter(arg for node in nodes for arg in node.args if type(arg) is not float)
    uses.update(roots)
    labels = printable_names(nodes)
    shared = [node for node in nodes if uses[node] > 1]
    taken = Counter(labels.get(node, "") for node in shared)
    names = dict(labels)
    for i, node in enumerate(shared, 1):
        label = labels.get(node, "")
        if not label or taken[label] > 1:
            names[node] = f"{label}#{i}"
    return names


def _columns(text: str) -> int:
    """The number of terminal columns that `text` takes: two for an ideograph."""
    return len(text) + sum(east_asian_width(c) in "WF" for c in text)


def _aligned(numbers: list[str]) -> list[str]:
    """`numbers` padded to one width, with the decimal points below each other."""
    points = [min({*map(x.find, ".e")} - {-1}, default=len(x)) for x in numbers]
    before, after = max(points), max(len(x) - i for x, i in zip(numbers, points, strict=True))
    return [f"{x[:i]:>{before}}{x[i:]:<{after}}" for x, i in zip(numbers, points, strict=True)]
