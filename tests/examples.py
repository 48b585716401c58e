"""Functions that several test files differentiate."""

from itertools import pairwise
from typing import Any


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's valley, on a list or an array: the minimum is 0, where all numbers are 1."""
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(x))
