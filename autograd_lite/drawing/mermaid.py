"""Drawing a graph as Mermaid, a text format that GitHub and many notebooks render."""

from __future__ import annotations

from autograd_lite.drawing.notation import (
    ORDERED,
    Node,
    is_made_by,
    nodes_of,
    number,
    operands,
    printable_names,
    symbol,
    typeset,
)
from autograd_lite.drawing.palette import CONSTANT, INK, LEAF, LINE, MADE


def to_mermaid(*roots: Node, max_nodes: int = 200) -> str:
    """The graph under the roots as a Mermaid flowchart, left to right: paste it into a ```mermaid block.

    A TypeError if a root is not a Value. A ValueError if there are more than `max_nodes` nodes; Mermaid itself stops at
    500 arrows.

    >>> from autograd_lite import Value
    >>> print(to_mermaid(Value(2.0, label="a")).splitlines()[-1].strip())
    n0("<b>a</b> = 2<br>grad 0"):::leaf
    """
    nodes = nodes_of("to_mermaid", roots, max_nodes)
    names = printable_names(nodes)
    index = {node: f"n{i}" for i, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    for kind, fill, line in (("leaf", LEAF, LINE), ("made", MADE, LINE), ("constant", CONSTANT, CONSTANT)):
        lines.append(f"    classDef {kind} fill:{fill},stroke:{line},color:{INK}")
    for node in nodes:
        name, args = index[node], operands(node)
        label = f"<b>{_escape(names[node])}</b> = " if node in names else ""
        sign = f"{_escape(symbol(node))}<br>" if args else ""
        text = f"{sign}{label}{typeset(number(node.data))}<br>grad {typeset(number(node.grad))}"
        lines.append(f'    {name}("{text}"):::{"made" if args else "leaf"}')
        for i, arg in enumerate(args, 1):
            start = f"{name}_{i}" if type(arg) is float else index[arg]
            if type(arg) is float:
                lines.append(f'    {start}(["{typeset(number(arg))}"]):::constant')
            which = f"|{i}| " if is_made_by(node, ORDERED) else ""
            lines.append(f"    {start} -->{which or ' '}{name}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """`text` with an entity code for each character that has a meaning in Mermaid or HTML."""
    return "".join(c if c.isalnum() or c in " .,=+" or ord(c) > 127 else f"#{ord(c)};" for c in text)
