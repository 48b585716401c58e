"""Why a derivative is what it is: the paths it is the sum of, counted in one pass, and the largest of them listed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from autograd_lite.graph import topological_order
from autograd_lite.naming import names_of
from autograd_lite.value import Value, flows

SHOWN = 8  # how many nodes of a long path are printed


@dataclass(frozen=True, repr=False)
class Path:
    """One way from x to y: `nodes` from x to y, the partial of each node by the one before it, and their product."""

    nodes: tuple[Value, ...]
    partials: tuple[float, ...]
    product: float

    def __str__(self) -> str:
        return self.text(names_of(topological_order(self.nodes[-1])))

    def text(self, names: dict[Value, str]) -> str:
        """The path in one line, with the nodes called by their `names`, if they have any."""
        steps = [_node(self.nodes[0], names)]
        steps += [f"-[{dx:.4g}]-> {_node(z, names)}" for dx, z in zip(self.partials, self.nodes[1:], strict=True)]
        if len(steps) > SHOWN:
            half = SHOWN // 2
            steps[half:-half] = [f"... {len(steps) - 2 * half:,} more ..."]
        return " ".join(steps)

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Explanation:
    """dy/dx is `total`, the sum of the products of all `count` paths; `paths` are those of the largest size.

    `count` is an int if it is below 2**53, else a float near it, perhaps inf. Prints as a table.
    """

    y: Value
    x: Value
    total: float
    count: float
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        listed = sum(path.product for path in self.paths)
        number = (
            f"{self.count:,}"
            if isinstance(self.count, int)
            else f"about {self.count:.3g}"
            if self.count < math.inf
            else "more than 1e308"
        )
        names = names_of(topological_order(self.y, self.x))
        head = f"d {_node(self.y, names)} / d {_node(self.x, names)} = {self.total:.6g}, the sum over {number} path"
        rows = [head + ("" if self.count == 1 else "s"), f"{'product':>12}  {'share':>7}  path"]
        rows += [f"{path.product:12.6g}  {self._share(path.product):>7}  {path.text(names)}" for path in self.paths]
        if self.count > len(self.paths):
            rest = self.total - listed
            rows.append(f"{rest:12.6g}  {self._share(rest):>7}  all other paths")
        return "\n".join(rows)

    __repr__ = __str__

    def _share(self, part: float) -> str:
        share = part / self.total if self.total else math.nan
        return f"{share:.1%}" if math.isfinite(share) else "-"


def explain(y: Value, x: Value, k: int = 10) -> Explanation:
    """Why dy/dx is what it is: the k paths from x to y with the largest products of partials, and what all sum to.

    Linear in the graph, whatever the number of paths, and then in the length of the k paths. Through an argument that
    a rule marks as not flowing, or that a selection holds back, there is no path.
    """
    for z in (y, x):
        if not isinstance(z, Value):
            raise TypeError(f"explain takes two Values, got {type(z).__name__}: make it a Value before its use")
    if not isinstance(k, int):
        raise TypeError(f"explain lists k paths, and k is an int, got {type(k).__name__}")
    if k < 0:
        raise ValueError(f"explain lists k >= 0 paths, got k={k}")
    reach = {x: _Reach(1.0, 1.0, 0.0, [])}
    for node in topological_order(y):
        if node is not x and not reach.keys().isdisjoint(node.args):
            total = paths = 0.0
            largest, edges = -math.inf, []
            for arg, dx in flows(node):
                by = reach.get(arg)
                if by is not None:
                    step = _size(dx)
                    size = step + by.size
                    total, paths, largest = total + dx * by.total, paths + by.paths, max(largest, size)
                    edges.append((size, step, arg, dx))
            if edges:
                reach[node] = _Reach(total, paths, largest, edges)
    if y not in reach:
        return Explanation(y, x, 0.0, 0, ())
    total, paths = reach[y].total, reach[y].paths
    return Explanation(y, x, total, int(paths) if paths < 2**53 else paths, tuple(_largest_first(y, x, reach, k)))


class _Reach(NamedTuple):
    """From x to one node: its derivative, the number of paths, the size of the largest product, and the edges to it.

    Of an edge: the size of the largest product over it and its own, the argument, the partial.
    """

    total: float
    paths: float
    size: float
    edges: list[tuple[float, float, Value, float]]


def _size(partial: float) -> float:
    """log |partial|, which adds up along a path without overflow. What spoils a sum (inf, nan) is larger than all."""
    if not math.isfinite(partial):
        return 1e30
    return math.log(abs(partial)) if partial else -1e18


def _largest_first(y: Value, x: Value, reach: dict[Value, _Reach], k: int) -> Iterator[Path]:
    """The k paths from x to y with the largest products, by falling size.

    A path is followed from y down along its best edges, which `reach` knows; each edge that is passed over starts
    another path, and waits in a heap for its turn, unless k better ones were met.
    """
    order = count()  # among equals, the first found is first
    heap: list[tuple[float, int, Value, float, Any]] = [(-reach[y].size, next(order), y, 0.0, None)]
    best = [reach[y].size]  # the sizes of the k largest met, the smallest of them first
    ranked: set[Value] = set()
    for _ in range(k):
        if not heap:
            return
        _, _, node, size, above = heapq.heappop(heap)
        while node is not x:
            edges = reach[node].edges
            if len(edges) > 1:
                if node not in ranked:
                    ranked.add(node)
                    edges.sort(key=lambda edge: -edge[0])
                for rest, step, arg, dx in edges[1:]:
                    if len(best) < k:
                        heapq.heappush(best, size + rest)
                    elif size + rest > best[0]:
                        heapq.heapreplace(best, size + rest)
                    else:
                        break
                    heapq.heappush(heap, (-size - rest, next(order), arg, size + step, (node, dx, above)))
            _, step, arg, dx = edges[0]
            node, size, above = arg, size + step, (node, dx, above)
        nodes, partials = [x], []
        product = 1.0
        while above is not None:
            node, dx, above = above
            nodes.append(node)
            partials.append(dx)
            product *= dx
        yield Path(tuple(nodes), tuple(partials), product)


def _node(z: Value, names: dict[Value, str]) -> str:
    return names.get(z) or f"{z.op or 'leaf'}={z.data:.4g}"
