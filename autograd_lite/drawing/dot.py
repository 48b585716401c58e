"""Drawing a graph with Graphviz, from left to right: a box for each value, or for each neuron, layer or model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from autograd_lite.drawing.notation import Node
from autograd_lite.drawing.palette import (
    CONSTANT,
    DATA,
    EDGE_OF_FRAME,
    FRAME,
    GRAD,
    GREY,
    INK,
    LEAF,
    LINE,
    MADE,
    MIDDLE,
    OFF,
    WARN,
    heat,
)
from autograd_lite.drawing.structure import Group
from autograd_lite.drawing.view import Arrow, Box, Key, Row, View, strength, view_of

if TYPE_CHECKING:
    from autograd_lite.drawing.picture import Picture

Detail = Literal["auto", "all", "value", "neuron", "layer", "model"]

FONT = "Helvetica,Arial,sans-serif"
GRAPH = {
    "rankdir": "LR", "bgcolor": "transparent", "nodesep": "0.14", "ranksep": "0.5", "pad": "0.08", "nslimit": "2",
    "compound": "true", "fontname": FONT, "fontsize": "11", "fontcolor": MIDDLE, "labelloc": "b",
}  # fmt: skip
NODE = {
    "fontname": FONT, "fontsize": "12", "fontcolor": INK, "color": LINE, "penwidth": "1",
    "shape": "box", "style": "rounded,filled", "fillcolor": MADE, "margin": "0.06,0.03", "width": "0", "height": "0",
}  # fmt: skip
EDGE = {"color": LINE, "penwidth": "1.1", "arrowsize": "0.55", "fontname": FONT, "fontsize": "9", "fontcolor": MIDDLE}
WRAP = 96  # characters of a line of the caption


def draw(
    *roots: Node,
    detail: Detail = "auto",
    expand: str | Sequence[str] = (),
    around: Node | None = None,
    radius: int = 2,
    interactive: bool = False,
) -> Picture:
    """The graph under the roots as a `graphviz.Digraph`, arguments to the left.

    A box holds the sign of the operation, the name, the number and the gradient; a dot product has a row for each
    product. Up to about 60 boxes every value is drawn. Beyond that, a box stands for all values of a neuron, a
    layer, a model, the loss, the rows of a batch (with their number), or a scope (`with scope("attention"):`). Such a
    box holds the range of the numbers and the size of the gradients; larger gradients make it darker. The caption lists
    what was collapsed.

    `detail` is "auto", or one of "model", "layer", "neuron", "value" (one box for all values that are made alike), and
    "all" (one box for each value). `expand` is the name of a group to open, or a list of such names: "layers.1".
    `around` is a Value in the graph: only the values within `radius` steps of it are drawn; steps do not lead on
    through a leaf.

    The Digraph shows itself in a notebook; with `interactive`, as the page of `to_html`. `.render(outfile="y.svg")`
    writes svg, png, pdf or dot; `.source` is the DOT text. Needs the package graphviz; to render also Graphviz itself,
    the program `dot` or the extra `render`.

    A TypeError if a root is not a Value, for an `expand` that is not a path or a list of paths, and for several roots
    with `interactive`. A ValueError for an unknown detail, group or value. An ImportError without the package graphviz.

    >>> from autograd_lite import Value
    >>> a = Value(2.0, label="a")
    >>> print(draw(a * a).source.splitlines()[0])
    digraph "graph" {
    """
    view = view_of("draw", roots, detail, expand, around, radius)
    try:
        from autograd_lite.drawing.picture import Picture
    except ImportError as error:
        raise ImportError("draw needs the package graphviz: pip install graphviz; to_text needs nothing") from error

    picture = Picture("graph", graph_attr=GRAPH | _caption(view.caption), node_attr=NODE, edge_attr=EDGE)
    picture.described = _described(view)
    nodes = _Nodes(picture, view)
    largest = max((arrow.grad for arrow in view.arrows if arrow.grad < math.inf), default=0.0)
    drawn: set[tuple[str, str]] = set()
    for arrow in view.arrows:
        pair = nodes.node(arrow.start), nodes.node(arrow.end)
        if arrow.count or (pair not in drawn and pair[0] != pair[1]):
            nodes.add_arrow(picture, arrow, largest)
        drawn.add(pair)
    if interactive:
        from autograd_lite.drawing.html import to_html

        if len(roots) != 1:
            raise TypeError(f"draw(..., interactive=True) takes one Value, got {len(roots)}: draw them one by one")
        picture.page = to_html(roots[0])
    return picture


def _caption(text: str) -> dict[str, str]:
    lines: list[str] = []
    for sentence in text.splitlines():
        line = ""
        for word in sentence.split(" "):
            if line and len(line) + len(word) >= WRAP:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        lines.append(line)
    return {"label": f"<{'<BR/>'.join(map(escape, lines))}<BR/>>"} if text else {}


class _Nodes:
    """The Graphviz nodes of a view: one for each box, or for a column of boxes."""

    def __init__(self, picture: Picture, view: View) -> None:
        self.view = view
        self.names = {key: f"n{i}" for i, key in enumerate(view.boxes)}
        self.clusters = {group: f"cluster_{i}" for i, group in enumerate(view.frames)}
        self.columns = {key: f"{self.clusters[g]}_boxes" for g, keys in view.columns.items() for key in keys}
        for key, box in view.boxes.items():
            if view.group_of[key] is None:
                self._add(picture, key, box)
        inner: dict[Group | None, list[Group]] = defaultdict(list)
        for group in view.frames:
            outer = group.parent
            while outer is not None and outer not in view.frames:
                outer = outer.parent
            inner[outer].append(group)
        for group in inner[None]:
            self._frame(picture, group, inner)

    def _frame(self, outer: Any, group: Group, inner: dict[Group | None, list[Group]]) -> None:
        """Draw the frame around `group`, its boxes and the frames inside it. Recursion goes as deep as modules nest."""
        with outer.subgraph(name=self.clusters[group]) as inside:
            title = f"<B>{escape(group.short)}</B>"
            if group.about:
                title += f'  <FONT COLOR="{GREY}">{escape(group.about)}</FONT>'
            inside.attr(
                label=f"<{title}>", style="rounded,filled", fillcolor=FRAME, color=EDGE_OF_FRAME, fontname=FONT,
                fontsize="11", fontcolor=INK, labelloc="t", labeljust="l", margin="8",
            )  # fmt: skip
            column = self.view.columns.get(group, [])
            if column:
                cells = "".join(f"<TR>{self._cell(key)}</TR>" for key in column)
                table = f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0">{cells}</TABLE>>'
                inside.node(self.columns[column[0]], table, shape="plain", style="")
            for key in self.view.frames[group]:
                if key not in self.columns:
                    self._add(inside, key, self.view.boxes[key])
            for child in inner[group]:
                self._frame(inside, child, inner)

    def _add(self, picture: Any, key: Key, box: Box) -> None:
        name, (fill, line, style) = self.names[key], _look(box)
        if box.look == "constant":
            picture.node(name, box.data, fontsize="10", fillcolor=fill, color=line)
            return
        options = {"fillcolor": fill} if fill != MADE else {}
        if box.ports or box.rows:
            options["margin"] = "0,0.03"
        if style:
            options["style"] = f"rounded,filled,{style}"
        if line != LINE:
            options["color"] = line
        if box.is_center:
            options["penwidth"] = "2.5"
        picture.node(name, f"<{_label(box)}>", **options)

    def _cell(self, key: Key) -> str:
        """A box as a cell of a column."""
        box, name = self.view.boxes[key], self.names[key]
        fill, line, style = _look(box)
        style = "" if box.rows or box.sign else style  # Graphviz dashes the rules of the next box, too
        border = (
            f'BORDER="{2 if box.is_center else 1}" COLOR="{line}" BGCOLOR="{fill}" STYLE="rounded,{style or "solid"}"'
        )
        inside = _label(box, prefix=f"{name}_")
        table = f'<TABLE {border} CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"><TR><TD>{inside}</TD></TR></TABLE>'
        return f'<TD PORT="{name}">{table}</TD>'

    def address(self, key: Key, side: str, port: str = "") -> str:
        """Where an arrow starts or ends: at a box, or at a port of it."""
        name, column = self.names[key], self.columns.get(key)
        if column:
            return f"{column}:{name}{f'_{port}' if port else ''}:{side}"
        return f"{name}:{f'{port}:' if port else ''}{side}"

    def node(self, key: Key) -> str:
        """The Graphviz node that has the box in it."""
        return self.columns.get(key) or self.names[key]

    def add_arrow(self, picture: Picture, arrow: Arrow, largest: float) -> None:
        """Draw the arrow: the larger the gradient that comes back on it, compared with `largest`, the wider."""
        if arrow.count == 0:
            picture.edge(self.node(arrow.start), self.node(arrow.end), style="invis")
            return
        style: dict[str, str] = {}
        box = self.view.boxes[arrow.end]
        has_port = arrow.port and (box.rows or (arrow.port.isdigit() and int(arrow.port) < box.ports))
        is_wide = bool(box.look == "group" or arrow.tail or arrow.head)
        if is_wide and arrow.grad:
            style["penwidth"] = f"{0.6 + 2.6 * strength(arrow.grad, largest):.2f}"
        if arrow.count > 1 and (is_wide or self.view.boxes[arrow.start].look == "group"):
            style["label"] = f" {arrow.count:,} "
        start = self.address(arrow.start, "e")
        end = self.address(arrow.end, "w", arrow.port if has_port else "")
        if arrow.tail:
            start = self.node(arrow.start)
            style["ltail"] = self.clusters[arrow.tail]
        if arrow.head:
            end = self.node(arrow.end)
            style["lhead"] = self.clusters[arrow.head]
        for _ in range(1 if "label" in style or arrow.count > 3 else arrow.count):
            picture.edge(start, end, **style)


def _look(box: Box) -> tuple[str, str, str]:
    """The fill, the line and the style of a box."""
    fill = {"leaf": LEAF, "constant": CONSTANT}.get(box.look, MADE)
    line = CONSTANT if box.look == "constant" else LINE
    if box.look == "group" and box.heat >= 0:
        fill = heat(box.heat)
    if box.is_center:
        line = DATA
    return (OFF, GREY, "dashed") if box.is_dead else (fill, line, "")


def _label(box: Box, prefix: str = "") -> str:
    """The inside of a box as a Graphviz table: the sign, if any; beside it the name and number; below, the gradient."""
    title = f"<B>{escape(box.title)}</B>" if box.title else ""
    if box.about:
        title += f'&#160;<FONT COLOR="{GREY}" POINT-SIZE="10">{escape(box.about)}</FONT>'
    data = f'<FONT COLOR="{DATA}">{escape(box.data)}</FONT>' if box.data else ""
    lines = [f'<FONT COLOR="{GREY}" POINT-SIZE="10">{escape(line)}</FONT>' for line in box.lines]
    warning = f'<FONT COLOR="{WARN}" POINT-SIZE="10"><B>{escape(box.warning)}</B></FONT>' if box.warning else ""
    grad = f'<FONT COLOR="{GRAD}" POINT-SIZE="10"><I>{escape(box.grad)}</I></FONT>' if box.grad else ""
    if lines:
        above = [title, *lines, data, warning, grad]
    else:
        space = "&#160;&#160;"
        above = [space.join(filter(None, (title, data))), space.join(filter(None, (warning, grad)))]
    above = [line for line in above if line] or ["&#160;"]
    if box.rows:
        return _dot_label(box, above, prefix)
    sign = ""
    if box.sign:
        size = 20 if len(box.sign) == 1 else 13
        sign = f'<FONT POINT-SIZE="{size}" COLOR="{GREY}">{escape(box.sign)}</FONT>'
        sign = f'<TD ROWSPAN="{len(above)}" CELLPADDING="5">{sign}</TD><VR/>'
    # Unseen cells down the left side, where arguments arrive in their order.
    cells = "".join(f'<TR><TD PORT="{prefix}{i}" HEIGHT="{32 // box.ports}"></TD></TR>' for i in range(box.ports))
    if cells:
        table = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{cells}</TABLE>'
        cells = f'<TD ROWSPAN="{len(above)}">{table}</TD>'
    first, *rest = [f'<TD ALIGN="LEFT">&#160;{line}&#160;</TD>' for line in above]
    rows = f"<TR>{cells}{sign}{first}</TR>" + "".join(f"<TR>{line}</TR>" for line in rest)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>'


def _dot_label(box: Box, above: list[str], prefix: str) -> str:
    """The table of a dot product: one product in a row; beside the rows their sum and the activation."""

    def cell(text: str, side: str, color: str = INK, size: int = 11, port: str = "") -> str:
        where = f' PORT="{prefix}{port}"' if port else ""
        inside = f'<FONT COLOR="{color}" POINT-SIZE="{size}">{escape(text)}</FONT>' if text else ""
        return f'<TD ALIGN="{side}"{where}>{inside}</TD>'

    has_grads = any(row.grad for row in box.rows)

    def line(row: Row) -> str:
        if row.port == "more":
            wide = f'<TD COLSPAN="{5 + has_grads}"'
            return f"<TR>{cell(row.name, 'CENTER', GREY, 10, 'more').replace('<TD', wide)}</TR>"
        cells = [cell(row.name, "LEFT", INK, 11, row.port), cell(row.factor, "RIGHT", DATA)]
        is_product = bool(row.other_name or row.other)
        cells.append(cell("·" if is_product else "", "CENTER", GREY))
        cells += [cell(row.other_name, "LEFT"), cell(row.other, "RIGHT", DATA)]
        if has_grads:
            cells.append(cell(f"grad {row.grad}" if row.grad else "", "LEFT", GRAD, 9))
        return f"<TR>{''.join(cells)}</TR>"

    rows = "".join(map(line, box.rows))
    products = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0">{rows}</TABLE>'

    def stacked(lines: list[str]) -> str:
        cells = "".join(f'<TR><TD ALIGN="LEFT">&#160;{text}&#160;</TD></TR>' for text in lines if text)
        return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{cells}</TABLE>'

    def sign(text: str) -> str:
        return f'<TD CELLPADDING="4"><FONT POINT-SIZE="13" COLOR="{GREY}">{escape(text)}</FONT></TD>'

    cells = [f'<TD CELLPADDING="3">{products}</TD>']
    data, grad = box.total
    if data:
        total = f'<FONT COLOR="{DATA}">{escape(data)}</FONT>'
        passed = f'<FONT COLOR="{GRAD}" POINT-SIZE="10"><I>{escape(grad)}</I></FONT>' if grad else ""
        cells += [sign("Σ"), f"<TD>{stacked([total, passed])}</TD>"]
    cells += [sign("Σ" if box.sign == "x·y" else box.sign), f"<TD>{stacked(above)}</TD>"]
    inside = f"<TR>{'<VR/>'.join(cells)}</TR>"
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{inside}</TABLE>'


def _described(view: View) -> str:
    """The picture in words, for screen readers."""
    boxes = [box for box in view.boxes.values() if box.look != "constant"]
    told = []
    for box in boxes[:12]:
        words = [box.title or box.sign, box.about, f"= {box.data}" if box.data else "", box.grad, box.warning]
        told.append(" ".join(filter(None, words)))
    more = f"; and {len(boxes) - 12:,} more" if len(boxes) > 12 else ""
    caption = " ".join(view.caption.splitlines())
    return f"Computation graph of {len(boxes)} boxes. {caption} {'; '.join(told)}{more}.".replace("  ", " ")
