"""Rows of data: checked once, before anything is done with them; then drawn, split and shuffled."""

from __future__ import annotations

import math
import random
from numbers import Real
from typing import Any

from nn.module import as_list, flatten, shape


def rows_of(what: str, name: str, array: Any) -> list[Any]:
    """The rows of `array`, as lists; an error names the first that is not like row 0, or not of finite numbers."""
    rows = as_list(array)
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"{what} takes {name} as a list or an array, one row for each example, got {rows!r}")
    if not rows:
        raise ValueError(f"{what}: {name} has no rows")
    rows = [as_list(row) for row in rows]
    for i, row in enumerate(rows):
        for number in flatten(row):
            if not isinstance(number, Real):
                raise TypeError(f"{what}: row {i} of {name} has {number!r} where a number should be")
            if not math.isfinite(number):
                raise ValueError(f"{what}: row {i} of {name} has {number}: leave such rows out, or fill them in")
        if shape(row) != shape(rows[0]) or shape(row) is None:
            raise ValueError(f"{what}: row {i} of {name} has shape {shape(row)}, and row 0 has {shape(rows[0])}")
    return rows


def examples_of(what: str, X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    """The rows of X and of y, as many of one as of the other."""
    X, y = rows_of(what, "X", X), rows_of(what, "y", y)
    if len(X) != len(y):
        raise ValueError(f"{what} takes one target for each row, got {len(X)} rows in X and {len(y)} in y")
    return X, y


def order_of(n: int, seed: str | None) -> list[int]:
    """The numbers 0 to n - 1, shuffled if there is a seed."""
    order = list(range(n))
    if seed is not None:
        random.Random(seed).shuffle(order)
    return order


def split(X: list[Any], y: list[Any], part: float, seed: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """X and y without a part of their rows, drawn by `seed`, and X and y of these."""
    held = round(part * len(X)) if 0.0 < part < 1.0 else 0
    if not 0 < held < len(X):
        raise ValueError(f"a validation_split of {part} leaves no row of {len(X)} to train on, or none to validate")
    order = order_of(len(X), f"{seed} validation")
    (X1, y1), (X2, y2) = [([X[i] for i in rows], [y[i] for i in rows]) for rows in (order[held:], order[:held])]
    return X1, y1, X2, y2
