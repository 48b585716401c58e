"""The sparsity of derivatives: which result depends on which input, and how few sweeps give all derivatives.

Columns of a Jacobian that share no row can be found in one forward sweep, whose tangent is their sum (Curtis, Powell,
Reid 1974, "On the estimation of sparse Jacobian matrices"). Groups of such columns are the colours of a graph. A
symmetric matrix needs fewer groups, a star colouring: an entry may be read in its row or in its column (Gebremedhin,
Manne, Pothen 2005, "What color is your Jacobian?").

A *pattern* is a list with one int for each row: bit j says that the row may have an entry in column j.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import compress
from typing import Any

from autograd_lite import primitives as p
from autograd_lite.graph import topological_order

MANY = 1 << 30  # if the sets of all nodes have more bits, `dependencies` drops each after its last use


class Sparse:
    """A matrix in compressed rows (CSR): row i has the `values` from indptr[i] to indptr[i + 1], at the columns
    `indices`, which are in increasing order. `values` are Values or floats."""

    def __init__(self, values: list[Any], indices: list[int], indptr: list[int], shape: tuple[int, int]) -> None:
        self.values, self.indices, self.indptr, self.shape = values, indices, indptr, shape

    def rows(self) -> Iterator[list[Any]]:
        """The rows as full lists, with 0.0 where there is no entry."""
        for begin, end in zip(self.indptr, self.indptr[1:], strict=False):
            row = [0.0] * self.shape[1]
            for j, x in zip(self.indices[begin:end], self.values[begin:end], strict=True):
                row[j] = x
            yield row

    @cached_property
    def _empty(self) -> Any:
        """A SciPy array of this pattern, checked once, with zeros at its entries."""
        try:
            import numpy
            from scipy.sparse import csr_array  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("sparse=True needs SciPy: pip install scipy") from error
        indices, indptr = [numpy.array(x, dtype=numpy.int32) for x in (self.indices, self.indptr)]
        return csr_array((numpy.zeros(len(indices)), indices, indptr), shape=self.shape)

    def to_scipy(self, values: Any) -> Any:
        """A `scipy.sparse.csr_array` of this pattern with `values`, an array or a list of floats.

        The array has its own copy of the pattern, as SciPy's in-place methods change it. An ImportError without SciPy.
        """
        made = copy(self._empty)
        made.indices, made.indptr = made.indices.copy(), made.indptr.copy()
        made.data = made.data.__class__(len(values))
        made.data[:] = values
        return made


def dependencies(ys: Sequence[Any], xs: Sequence[Any]) -> list[int]:
    """The pattern of the Jacobian: for each of `ys`, Values and floats, the set of the `xs` that it depends on.

    A dependence through which no derivative flows, as through `detach` and `step`, does not count.
    """
    order = topological_order(*[y for y in ys if type(y) is not float])
    found = {x: 1 << j for j, x in enumerate(xs)}
    get = found.get
    last = _last_uses(order, ys) if len(order) * len(xs) > MANY else {}
    for node in order:
        op, args = node.op, node.args
        if op is None:
            continue
        mask = get(node, 0)
        active = _ACTIVE.get(op, ())
        for x in compress(args, active) if active else args:
            if type(x) is not float:
                mask |= get(x, 0)
        if mask:
            found[node] = mask
        for x in last.get(node, ()):
            found.pop(x, None)
    return [0 if type(y) is float else get(y, 0) for y in ys]


def _last_uses(order: Sequence[Any], ys: Sequence[Any]) -> dict[Any, list[Any]]:
    """For each node, its arguments that neither later nodes of `order` nor `ys` use."""
    used = {y for y in ys if type(y) is not float}
    last: dict[Any, list[Any]] = {}
    for node in reversed(order):
        for x in node.args:
            if type(x) is not float and x not in used:
                used.add(x)
                last.setdefault(node, []).append(x)
    return last


# For each primitive of the table, whether a derivative flows to each of its arguments.
_ACTIVE = {
    op: tuple([dx is not None for dx in op.partials(0.5, *[0.5] * op.arity)])
    for op in p.PRIMITIVES.values()
    if op.arity
}


def members(mask: int) -> list[int]:
    """The positions of the bits of `mask`, in increasing order."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def transposed(pattern: Sequence[int], columns: int) -> list[int]:
    """The pattern of the transposed matrix."""
    found = [0] * columns
    for i, mask in enumerate(pattern):
        for j in members(mask):
            found[j] |= 1 << i
    return found


def color_columns(pattern: Sequence[int], columns: int) -> list[int]:
    """A colour for each column, such that columns of one colour share no row: greedily, from the first on."""
    rows_of, conflicts = transposed(pattern, columns), list[int]()  # the rows that the columns of each colour have
    colors = []
    for rows in rows_of:
        color = next((c for c, taken in enumerate(conflicts) if not taken & rows), len(conflicts))
        if color == len(conflicts):
            conflicts.append(0)
        conflicts[color] |= rows
        colors.append(color)
    return colors


def star_colors(pattern: Sequence[int]) -> list[int]:
    """A star colouring of a symmetric `pattern`: neighbours differ, and no path of four vertices has two colours only.

    Greedy, from the vertices with the most neighbours on (algorithm 4.1 of Gebremedhin, Manne, Pothen 2005).
    """
    n = len(pattern)
    neighbours = [mask & ~(1 << i) for i, mask in enumerate(pattern)]
    colors, of_color = [-1] * n, list[int]()  # of_color: the vertices of each colour
    colored = 0
    for v in sorted(range(n), key=lambda v: -neighbours[v].bit_count()):
        forbidden = {colors[w] for w in members(neighbours[v] & colored)}
        excluded = 1 << v  # v, and the vertices of forbidden colours
        for color in forbidden:
            excluded |= of_color[color]
        for w in members(neighbours[v]):
            for x in members(neighbours[w] & colored & ~excluded):
                if colors[x] not in forbidden and (colors[w] < 0 or neighbours[x] & of_color[colors[w]] & ~(1 << w)):
                    forbidden.add(colors[x])
                    excluded |= of_color[colors[x]]
        colors[v] = next(c for c in range(n + 1) if c not in forbidden)
        if colors[v] == len(of_color):
            of_color.append(0)
        of_color[colors[v]] |= 1 << v
        colored |= 1 << v
    return colors
