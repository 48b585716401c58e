"""Drawing a graph with Graphviz: one box per value, from left to right."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from autograd_lite.drawing.notation import (
    ORDERED,
    Node,
    is_made_by,
    label_of,
    nodes_of,
    number,
    operands,
    symbol,
    typeset,
)
from autograd_lite.drawing.palette import CONSTANT, DATA, GRAD, GREY, INK, LEAF, LINE, MADE

if TYPE_CHECKING:
    from autograd_lite.drawing.picture import Picture

GRAPH = {"rankdir": "LR", "bgcolor": "transparent", "nodesep": "0.18", "ranksep": "0.5", "pad": "0.08", "nslimit": "2"}
NODE = {
    "fontname": "Helvetica", "fontsize": "12", "fontcolor": INK, "color": LINE, "penwidth": "1",
    "shape": "box", "style": "rounded,filled", "fillcolor": MADE, "margin": "0.06,0.03", "width": "0", "height": "0",
}  # fmt: skip
EDGE = {"color": LINE, "penwidth": "1.1", "arrowsize": "0.55"}


def draw(*roots: Node, max_nodes: int = 1000) -> Picture:
    """The graph under the roots as a `graphviz.Digraph`: one box per value, arguments to the left.

    A box holds the sign of the operation, the label, the number and the gradient. The Digraph shows itself in a
    notebook; `.render(outfile="y.svg")` writes svg, png, pdf or dot; `.source` is the DOT text. Needs the package
    graphviz; to render also Graphviz itself, the program `dot` or the extra `render`. A ValueError if there are more
    than `max_nodes` nodes.
    """
    nodes = nodes_of("draw", roots, max_nodes)
    try:
        from autograd_lite.drawing.picture import Picture
    except ImportError as error:
        raise ImportError("draw needs the package graphviz: pip install graphviz; to_text needs nothing") from error

    picture = Picture("graph", graph_attr=GRAPH, node_attr=NODE, edge_attr=EDGE)
    index = {node: f"n{i}" for i, node in enumerate(nodes)}
    for node in nodes:
        name, args = index[node], operands(node)
        ports = len(args) if is_made_by(node, ORDERED) else 0
        style = {"fillcolor": LEAF} if not args else {"margin": "0,0.03"} if ports else {}
        if is_made_by(node, {"dot"}):
            style["ordering"] = "in"  # keeps the factors of a product side by side
        picture.node(name, _box(node, ports), **style)
        for i, arg in enumerate(args):
            if type(arg) is float:
                start = f"{name}_{i}"
                picture.node(start, typeset(number(arg)), fontsize="10", fillcolor=CONSTANT, color=CONSTANT)
            else:
                start = index[arg]
            picture.edge(f"{start}:e", f"{name}:{i}:w" if ports else f"{name}:w")
    return picture


def _box(node: Node, ports: int) -> str:
    """The inside of a box as a Graphviz table: the sign, if any; to its right label and number; below, the gradient."""
    label = f"<B>{escape(label_of(node))}</B>&#160;&#160;" if label_of(node) else ""
    data = f'{label}<FONT COLOR="{DATA}">{typeset(number(node.data))}</FONT>'
    grad = f'<FONT COLOR="{GRAD}" POINT-SIZE="10"><I>grad {typeset(number(node.grad))}</I></FONT>'
    sign = symbol(node)
    if sign:
        size = 20 if len(sign) == 1 else 13
        sign = f'<FONT POINT-SIZE="{size}" COLOR="{GREY}">{escape(sign)}</FONT>'
        sign = f'<TD ROWSPAN="2" CELLPADDING="5">{sign}</TD><VR/>'
    # Unseen cells down the left side, where arguments arrive in their order.
    cells = "".join(f'<TR><TD PORT="{i}" HEIGHT="{32 // ports}"></TD></TR>' for i in range(ports))
    if ports:
        cells = f'<TD ROWSPAN="2"><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{cells}</TABLE></TD>'
    above, below = (f'<TD ALIGN="LEFT">&#160;{line}&#160;</TD>' for line in (data, grad))
    rows = f"<TR>{cells}{sign}{above}</TR><TR>{below}</TR>"
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'
