"""Operations and nodes as they appear in error messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite.primitives import Primitive, to_float
from autograd_lite.value import Value

SHOWN = 6  # how many arguments of an operation are printed


def floats(xs: Sequence[Any], what: str = "a derivative") -> list[float]:
    """The numbers of `xs`, which are Values and real numbers; a TypeError that names `what` if one is not."""
    return [x.data if isinstance(x, Value) else to_float(x, what) for x in xs]


def call_text(op: Primitive, args: Sequence[Any]) -> str:
    """The operation with the numbers it was called on, such as `mul(2.0, 3.0)`; a long list of them is cut."""
    numbers = [repr(x) for x in floats(args[:SHOWN])]
    return f"{op}({', '.join(numbers)}{', ...' if len(args) > SHOWN else ''})"
