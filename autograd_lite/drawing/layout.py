"""Where the boxes of a drawing go when there is no Graphviz: in columns, with few crossings. Knows only indices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

SWEEPS = 12


def layered(arguments: Sequence[Sequence[int]]) -> tuple[list[tuple[int, float]], dict[tuple[int, int], list[float]]]:
    """Columns and heights for items, of which item i has the arguments `arguments[i]`, all of them before i.

    Gives (column, y) of each item, and for each edge (argument, item) the y in each column that it passes between
    the two. Items of one column are at least 1 apart, edges that pass a little less. (Sugiyama, Tagawa and Toda 1981:
    longest path, then sweeps of the barycentre rule.)
    """
    column = [0] * len(arguments)
    for i, args in enumerate(arguments):
        column[i] = 1 + max((column[j] for j in args), default=-1)
    users = defaultdict(list)
    for i, args in enumerate(arguments):
        for j in args:
            users[j].append(i)
    for i, args in enumerate(arguments):
        if not args and users[i]:  # a leaf stands next to its first use
            column[i] = min(column[user] for user in users[i]) - 1

    # A long edge becomes a chain of points, one in each column that it passes.
    above: list[list[int]] = [[] for _ in column]  # neighbours in the column to the left
    below: list[list[int]] = [[] for _ in column]  # ... and to the right
    passing: dict[tuple[int, int], list[int]] = {}
    place = list(column)
    for i, args in enumerate(arguments):
        for j in dict.fromkeys(args):
            chain = passing[j, i] = list(range(len(place), len(place) + column[i] - column[j] - 1))
            place.extend(range(column[j] + 1, column[i]))
            above.extend([] for _ in chain)
            below.extend([] for _ in chain)
            ends = [j, *chain, i]
            for left, right in pairwise(ends):
                above[right].append(left)
                below[left].append(right)

    columns: list[list[int]] = [[] for _ in range(max(place) + 1)]
    for point, at in enumerate(place):
        columns[at].append(point)
    y = [0.0] * len(place)
    for points in columns:
        for rank, point in enumerate(points):
            y[point] = rank - (len(points) - 1) / 2
    size = [1.0 if point < len(column) else 0.6 for point in range(len(place))]
    for sweep in range(SWEEPS):
        forwards = sweep % 2 == 0
        near = above if forwards else below
        for points in columns if forwards else reversed(columns):
            wish = {p: sum(y[q] for q in near[p]) / len(near[p]) if near[p] else y[p] for p in points}
            points.sort(key=wish.__getitem__)
            y[points[0]] = wish[points[0]]
            for before, p in pairwise(points):
                y[p] = max(wish[p], y[before] + (size[before] + size[p]) / 2)
            shift = sum(y[p] - wish[p] for p in points) / len(points)
            for p in points:
                y[p] -= shift
    top = min(y)
    return (
        [(at, y[i] - top) for i, at in enumerate(column)],
        {edge: [y[p] - top for p in chain] for edge, chain in passing.items()},
    )
