"""Rows of data: checked once at the start, split, and put in a random order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeAlias, TypeVar

from autograd_lite.trees import tree_leaves
from nn.module import all_finite, as_list, shape

Row: TypeAlias = dict[str, float]  # the numbers of one epoch or one evaluation, by name
Item = TypeVar("Item")

_PLAIN = {float, int}


def rows_of(what: str, name: str, array: Any) -> list[Any]:
    """The rows of `array`, each a number or a nested list.

    A TypeError or ValueError names the first row that is not finite numbers, or has another shape than row 0.
    """
    rows = as_list(array)
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"{what} takes {name} as a list or an array, one row for each example, got {rows!r}")
    if not rows:
        raise ValueError(f"{what}: {name} has no rows")
    rows = [as_list(row) for row in rows]
    first = shape(rows[0])
    for i, row in enumerate(rows):
        if type(row) is list and (len(row),) == first and _PLAIN.issuperset(map(type, row)) and all_finite(row):
            continue  # the usual case, in a tenth of the time
        for number in tree_leaves(row):
            if not isinstance(number, Real):
                raise TypeError(f"{what}: row {i} of {name} has {number!r} where a number should be")
            if not all_finite([number]):
                raise ValueError(f"{what}: row {i} of {name} has {number!s:.60}: leave such rows out, or fill them in")
        if shape(row) is None:
            raise ValueError(f"{what}: row {i} of {name} is not a number or a regular list of numbers: {row!r:.60}")
        if shape(row) != first:
            raise ValueError(f"{what}: row {i} of {name} has shape {shape(row)}, and row 0 has {first}")
    return rows


def examples_of(what: str, X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    """The rows of X and of y; a ValueError if there are not as many of one as of the other."""
    X, y = rows_of(what, "X", X), rows_of(what, "y", y)
    if len(X) != len(y):
        raise ValueError(f"{what} takes one target for each row, got {len(X)} rows in X and {len(y)} in y")
    return X, y


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def order_of(n: int, seed: str | None) -> list[int]:
    """The numbers 0 to n - 1, shuffled if there is a seed."""
    order = list(range(n))
    if seed is not None:
        random.Random(seed).shuffle(order)
    return order


def split(X: list[Any], y: list[Any], fraction: float, seed: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Hold out this fraction of the rows, drawn by `seed`: X and y of the training rows, then of the others."""
    given: Any = fraction
    if not isinstance(given, Real):
        kind = type(fraction).__name__
        raise TypeError(f"fit takes a number from 0 to 1 as validation_split, got {kind} {fraction!r:.60}")
    held = round(fraction * len(X)) if 0.0 < fraction < 1.0 else 0
    if not 0 < held < len(X):
        raise ValueError(f"a validation_split of {fraction} leaves no row of {len(X)} to train on, or none to validate")
    order = order_of(len(X), f"{seed} validation")
    (X1, y1), (X2, y2) = [([X[i] for i in rows], [y[i] for i in rows]) for rows in (order[held:], order[:held])]
    return X1, y1, X2, y2
