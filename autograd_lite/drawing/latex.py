"""Writing the expression of a graph as LaTeX. A value that is used twice gets a name and is written once."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count

from autograd_lite.drawing.notation import Node, nodes_of, number, printable_names

Piece = tuple[str, int]  # LaTeX, and how tightly it holds together

# A piece goes into parentheses where its place requires a tighter one.
LOOSE, SIGNED, SUM, PRODUCT, TIGHT, ATOM = range(6)

# For each operation: its LaTeX, the tightness of that, and the tightness required of each argument. Operations that are
# not listed are written as functions.
# fmt: off
NOTATION = {
    "add":       (r"#1 + #2",                     SUM,     (SUM, SUM)),
    "sub":       (r"#1 - #2",                     SUM,     (SUM, PRODUCT)),
    "mul":       (r"#1 \cdot #2",                 PRODUCT, (PRODUCT, PRODUCT)),
    "div":       (r"\frac{#1}{#2}",               TIGHT,   (LOOSE, LOOSE)),
    "neg":       (r"-#1",                         SIGNED,  (PRODUCT,)),
    "pow":       (r"#1^{#2}",                     TIGHT,   (ATOM, LOOSE)),
    "pow_const": (r"#1^{#2}",                     TIGHT,   (ATOM, LOOSE)),
    "exp":       (r"e^{#1}",                      TIGHT,   (LOOSE,)),
    "expm1":     (r"e^{#1} - 1",                  SUM,     (LOOSE,)),
    "log1p":     (r"\ln\left(1 + #1\right)",      TIGHT,   (SUM,)),
    "sqrt":      (r"\sqrt{#1}",                   TIGHT,   (LOOSE,)),
    "abs":       (r"\left|#1\right|",             ATOM,    (LOOSE,)),
    "where":     (r"\begin{cases} #2 & \text{if } #1 \neq 0 \\ #3 & \text{else} \end{cases}",
                                                  LOOSE,   (SUM, LOOSE, LOOSE)),
}
FUNCTIONS = {
    "log": r"\ln", "sin": r"\sin", "cos": r"\cos", "tan": r"\tan", "sinh": r"\sinh", "cosh": r"\cosh",
    "tanh": r"\tanh", "asin": r"\arcsin", "acos": r"\arccos", "atan": r"\arctan", "sigmoid": r"\sigma",
    "maximum": r"\max", "minimum": r"\min", "sign": r"\operatorname{sgn}",
}
# fmt: on
SPECIAL = {
    "\\": r"\backslash ",
    "^": r"\wedge ",
    "~": r"\sim ",
    " ": r"\ ",
    "'": "\N{RIGHT SINGLE QUOTATION MARK}",
    **{c: "\\" + c for c in "#$%&_{}"},
}  # fmt: skip


def to_latex(*roots: Node, max_nodes: int = 1000) -> str:
    r"""The expressions of the roots, for a formula in LaTeX, MathJax or KaTeX.

    The result of an operation that has a name or is used more than once gets a line of its own, and is referred to by
    name; so the formula is never longer than the graph. Parameters are named by their path; other leaves are written as
    numbers. A TypeError if a root is not a Value, a ValueError if there are more than `max_nodes` nodes.

        >>> from autograd_lite import Value, tanh
        >>> a, b = Value(2.0, label="a"), Value(3.0, label="b")
        >>> print(to_latex(tanh(a * b) / 2))
        \frac{\tanh\left(a \cdot b\right)}{2}
    """
    nodes = nodes_of("to_latex", roots, max_nodes)
    uses = Counter(arg for node in nodes for arg in node.args if type(arg) is not float)
    names = printable_names(nodes)
    written: dict[Node, Piece] = {}
    taken: set[str] = set()
    lines = []
    for node in nodes:
        whole = _constant(node.data) if node.op is None else _operation(node, written)
        label = _label(names.get(node, ""))
        bound = node.op is not None and bool(label or uses[node] > 1)
        if label or bound:
            name = _new_name(label, taken)
            if bound:
                lines.append(f"{name} &= {whole[0]}")
            whole = name, TIGHT if name.endswith(")}") else ATOM
        written[node] = whole
        if node in roots and not bound:
            lines.append(f"& {whole[0]}")
    if len(lines) == 1:
        return lines[0].removeprefix("& ").replace("&= ", "= ", 1)
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _operation(node: Node, written: dict[Node, Piece]) -> Piece:
    """The operation of `node` applied to the pieces `written` for its arguments."""
    pieces = [_constant(arg) if type(arg) is float else written[arg] for arg in node.args]
    name = "" if node.op is None else node.op.name
    if name == "sum":
        return " + ".join(_within(piece, SUM) for piece in pieces), SUM
    if name == "dot":
        factors = [_within(piece, PRODUCT) for piece in pieces]
        half = len(factors) // 2
        return " + ".join(rf"{x} \cdot {y}" for x, y in zip(factors[:half], factors[half:], strict=True)), SUM
    if name in NOTATION:
        template, tightness, places = NOTATION[name]
        texts = [_within(piece, place) for piece, place in zip(pieces, places, strict=True)]
        return re.sub(r"#(\d)", lambda match: texts[int(match[1]) - 1], template), tightness
    function = FUNCTIONS.get(name, rf"\operatorname{{{_escape(name)}}}")
    return rf"{function}\left({', '.join(text for text, _ in pieces)}\right)", TIGHT


def _within(piece: Piece, place: int) -> str:
    """The piece, in parentheses if it is looser than `place` requires."""
    text, tightness = piece
    return text if tightness >= place else rf"\left({text}\right)"


def _constant(x: float) -> Piece:
    mantissa, e, exponent = number(x).replace("inf", r"\infty").replace("nan", r"\text{nan}").partition("e")
    text = rf"{mantissa} \cdot 10^{{{exponent}}}" if e else mantissa
    return text, SIGNED if text.startswith("-") else PRODUCT if e else ATOM


def _label(label: str) -> str:
    """A label as LaTeX: a letter in italics, w12 with an index, a longer label upright; "" for no label."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d*)", label):
        letter, index = match.groups()
        return f"{letter}_{{{index}}}" if index else letter
    return rf"\mathrm{{{_escape(label)}}}" if label else ""


def _escape(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)


def _new_name(label: str, taken: set[str]) -> str:
    """A name not in `taken`, which is added there: `label`, `label` with a number, or t_1, t_2, ... for no label."""
    names = (f"{label}^{{({i})}}" if label else f"t_{{{i - 1}}}" for i in count(2))
    name = label if label and label not in taken else next(name for name in names if name not in taken)
    taken.add(name)
    return name
