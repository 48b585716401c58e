"""Writing operations and their derivatives as text, by running the rules of the table on terms in place of numbers."""

# ruff: noqa: RUF001
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite.drawing.notation import RAISED, number, typeset

RESULT = -1  # stands in a template for the result of the operation; 0, 1, ... stand for its arguments
Template = list[str | int]

# How tightly a term holds together. A term that is looser than its place asks for goes into parentheses.
SUM, PRODUCT, POWER, ATOM = range(4)


class Term:
    """A piece of text with places for operands: what a rule makes of its arguments.

    The rules use operators and primitives. A primitive hands its call to an argument that has `record`, as Values do.
    """

    def __init__(self, pieces: Sequence[str | int], tightness: int = ATOM) -> None:
        self.pieces, self.tightness = list(pieces), tightness

    def record(self, op: Any, args: Sequence[Any]) -> Term:
        """The text of `op` applied to `args`."""
        return applied(op, [as_term(x) for x in args])

    def __add__(self, other: Any) -> Term:
        return _infix(self, " + ", as_term(other), SUM, SUM)

    def __radd__(self, other: Any) -> Term:
        return as_term(other) + self

    def __sub__(self, other: Any) -> Term:
        return _infix(self, " − ", as_term(other), SUM, PRODUCT)

    def __rsub__(self, other: Any) -> Term:
        return as_term(other) - self

    def __mul__(self, other: Any) -> Term:
        right = as_term(other)
        if self.pieces == right.pieces:
            return self**2.0
        return (
            right
            if self.pieces == ["1"]
            else self
            if right.pieces == ["1"]
            else _infix(self, "·", right, PRODUCT, PRODUCT)
        )

    def __rmul__(self, other: Any) -> Term:
        return as_term(other) * self

    def __truediv__(self, other: Any) -> Term:
        return _infix(self, " / ", as_term(other), PRODUCT, POWER)

    def __rtruediv__(self, other: Any) -> Term:
        return as_term(other) / self

    def __pow__(self, other: Any) -> Term:
        exponent = as_term(other)
        if exponent.pieces == ["1"]:
            return self
        base = _within(self, ATOM)
        plain = all(type(piece) is str and piece.lstrip("−").isdigit() for piece in exponent.pieces)
        if plain:
            return Term([*base, str(exponent.pieces[0]).replace("−", "-").translate(RAISED)], POWER)
        return Term([*base, "^", *_within(exponent, ATOM)], POWER)

    def __rpow__(self, other: Any) -> Term:
        return as_term(other) ** self

    def __neg__(self) -> Term:
        return Term(["−", *_within(self, PRODUCT)], PRODUCT)

    def __abs__(self) -> Term:
        return Term(["|", *self.pieces, "|"])

    def __getattr__(self, name: str) -> Any:
        """The methods of a Value: `x.exp()` in the rule of a user."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: _call(name, [self, *map(as_term, args)])


def applied(op: Any, terms: Sequence[Term]) -> Term:
    """The text of the operation `op` of the table applied to `terms`."""
    match op.name, terms:
        case "add", (x, y):
            return x + y
        case "sub", (x, y):
            return x - y
        case "mul", (x, y):
            return x * y
        case "div", (x, y):
            return x / y
        case "neg", (x,):
            return -x
        case "abs", (x,):
            return abs(x)
        case "pow" | "pow_const", (x, y):
            return x**y
        case "exp", (x,):
            return Term(["e^", *_within(x, ATOM)], POWER)
        case "sqrt", (x,):
            return Term(["√", *_within(x, ATOM)], POWER)
        case "sum", (first, *rest):
            for x in rest:
                first = first + x
            return first
        case "dot", _:
            half = len(terms) // 2
            products = [_infix(x, "·", y, PRODUCT, PRODUCT) for x, y in zip(terms[:half], terms[half:], strict=True)]
            return Term([piece for x in products for piece in (" + ", *x.pieces)][1:], SUM)
    return _call(op.name, terms)


def formula(op: Any, args: Sequence[Any]) -> Template:
    """The formula of `op` on `args`: a template with a place for each argument that is not a plain number."""
    return applied(op, _operands(op, args)).pieces


def derivatives(op: Any, args: Sequence[Any]) -> list[Template | None]:
    """The local derivative by each of `args`, as the rule in the table of primitives states it.

    None for an argument that no gradient flows to, and for all if the rule needs numbers.
    """
    try:
        rule = op.partials(Term([RESULT]), *_operands(op, args))
        return [None if dx is None else as_term(dx).pieces for dx in rule]
    except Exception:  # a user's rule may do what only numbers can do
        return [None] * len(args)


def _operands(op: Any, args: Sequence[Any]) -> list[Any]:
    """A term for each argument; the exponent of a constant power stays a number."""
    keeps_number = op.name == "pow_const"
    return [x if keeps_number and i else Term([i]) for i, x in enumerate(args)]


def as_term(x: Any) -> Term:
    """`x`, a Term or a number, as a Term."""
    if isinstance(x, Term):
        return x
    text = typeset(number(float(x)))
    return Term([text], PRODUCT if text.startswith("−") else ATOM)


def _infix(left: Term, sign: str, right: Term, loosest_left: int, loosest_right: int) -> Term:
    inside = [*_within(left, loosest_left), sign, *_within(right, loosest_right, first=False)]
    return Term(inside, SUM if sign in (" + ", " − ") else PRODUCT)


def _within(term: Term, loosest: int, first: bool = True) -> Template:
    """The pieces of `term`, in parentheses if it binds less than `loosest`, or has a leading minus and is not first."""
    starts_with_minus = not first and str(term.pieces[0]).startswith("−")
    return ["(", *term.pieces, ")"] if term.tightness < loosest or starts_with_minus else term.pieces


def _call(name: str, terms: Sequence[Term]) -> Term:
    inside: Template = []
    for i, term in enumerate(terms):
        inside += [", "] * (i > 0) + term.pieces
    return Term([name, "(", *inside, ")"])
