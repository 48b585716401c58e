"""How a node is written in all drawings: its number, its operation, its arguments, its name."""

# ruff: noqa: RUF001
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from autograd_lite.graph import topological_order
from autograd_lite.naming import names_of, printable


class Operation(Protocol):
    """The attributes of an operation that drawings read."""

    name: str


class Node(Protocol):
    """The attributes of a node that drawings read."""

    data: float
    grad: float
    label: str

    @property
    def op(self) -> Operation | None:
        """The operation that made it; None for a leaf."""

    @property
    def args(self) -> tuple[Any, ...]:
        """The operands: nodes and plain floats."""
        ...


# An operation that is not listed is written as its name.
SYMBOLS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−x", "pow": "xʸ", "sum": "Σ", "dot": "x·y",
    "sqrt": "√x", "exp": "eˣ", "abs": "|x|", "sigmoid": "σ", "maximum": "max", "minimum": "min", "where": "if",
}  # fmt: skip
ORDERED = {"sub", "div", "pow", "where"}  # operations whose arguments cannot be swapped
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def nodes_of(what: str, roots: Sequence[Any], max_nodes: float = math.inf, several: bool = True) -> list[Any]:
    """Every node of the graph in topological order.

    A TypeError that names `what` if a root is not a node, a ValueError if there are more than `max_nodes` nodes.
    """
    for root in roots or [None]:
        if not (hasattr(root, "args") and hasattr(root, "op")):
            given = f"{type(root).__name__} {str(root)[:40]!r}" if roots else "none"
            hint = f"unpack it, {what}(*values)" if several else "choose one of them"
            hint = f": {hint}" if isinstance(root, list | tuple) else ""
            if callable(root):
                hint = f": call it, and give {what} the result"
            raise TypeError(f"{what} takes {'one or more Values' if several else 'one Value'}, got {given}{hint}")
    nodes = topological_order(*roots)
    if len(nodes) > max_nodes:
        raise ValueError(
            f"{what} of {len(nodes):,} nodes, more than max_nodes={max_nodes:,}: draw a part of the graph, "
            f"print(to_text(root)), or raise max_nodes"
        )
    return nodes


def number(x: float) -> str:
    """`x` to four significant digits; an integer of up to six digits plain."""
    if math.isfinite(x) and abs(x) < 1e6 and x == round(x):
        return f"{x + 0.0:.0f}"
    mantissa, e, exponent = f"{x:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def typeset(text: str) -> str:
    """The text of a number with a true minus sign and ∞."""
    return text.replace("-", "−").replace("inf", "∞")


def is_made_by(node: Node, names: set[str]) -> bool:
    """Whether an operation of one of `names` made `node`."""
    return node.op is not None and node.op.name in names


def symbol(node: Node) -> str:
    """The sign of the operation that made `node`; "" for a leaf. A constant exponent is part of it: x³."""
    if node.op is None:
        return ""
    if is_made_by(node, {"pow_const"}):
        exponent = number(node.args[1])
        return "x" + exponent.translate(RAISED) if exponent.lstrip("-").isdigit() else f"x^{exponent}"
    return SYMBOLS.get(node.op.name) or printable(node.op.name)


def operands(node: Node) -> tuple[Any, ...]:
    """The arguments in reading order: a dot product's in pairs; a constant power's without the exponent."""
    args = node.args
    if is_made_by(node, {"pow_const"}):
        return args[:1]
    if is_made_by(node, {"dot"}):
        half = len(args) // 2
        return tuple(x for pair in zip(args[:half], args[half:], strict=True) for x in pair)
    return args


def printable_names(nodes: Sequence[Node], longest: int = 40) -> dict[Any, str]:
    """The name of each node that has one, as `naming.names_of` finds it, fit to be printed."""
    names = {node: printable(name, longest) for node, name in names_of(nodes).items()}
    return {node: name for node, name in names.items() if name}
