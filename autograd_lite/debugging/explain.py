"""`explain`: a derivative as a sum over paths through the graph, all counted in one pass, the largest ones listed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from autograd_lite.graph import topological_order
from autograd_lite.naming import names_of, printable
from autograd_lite.value import Value, flows

SHOWN = 8  # how many nodes of a long path are printed


@dataclass(frozen=True, repr=False)
class Path:
    """A path of `nodes` from x to y, the partial of each node by the one before it, and the product of the partials."""

    nodes: tuple[Value, ...]
    partials: tuple[float, ...]
    product: float

    def __str__(self) -> str:
        return self.text(_names(self.nodes[-1]))

    def text(self, names: dict[Value, str]) -> str:
        """The path in one line. A node without an entry in `names` is shown as its operation and number."""
        steps = [_node(self.nodes[0], names)]
        steps += [f"-[{dx:.4g}]-> {_node(z, names)}" for dx, z in zip(self.partials, self.nodes[1:], strict=True)]
        if len(steps) > SHOWN:
            half = SHOWN // 2
            steps[half:-half] = [f"... {len(steps) - 2 * half:,} more ..."]
        return " ".join(steps)

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Explanation:
    """The derivative of y by x: `total`, the sum of the products of `count` paths. Prints as a table.

    `paths` are the paths with the largest products. `count` is exact, an int, below 2**53, and a float above, which may
    be inf.
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
        names = _names(self.y, self.x)
        y, x = _node(self.y, names), _node(self.x, names)
        head = f"d {y} / d {x} = {self.total:.6g}, the sum over {number} path"
        if not self.count:
            return f"d {y} / d {x} = 0: {y} is not computed from {x}, or no gradient flows"
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
    """The paths from x to y that make up dy/dx, as a table: the k with the largest products of partials, and the sum.

    Takes time linear in the graph, however many paths there are, plus the length of the k paths. No path leads through
    an argument that receives no gradient: a detached one, or the side of a `where` that was not taken.

    A TypeError if y or x is not a Value or k is not an int; a ValueError if k is negative.

    >>> from autograd_lite import Value
    >>> a, b = Value(2.0, label="a"), Value(3.0, label="b")
    >>> explain(a * b + a, a)
    d add=8 / d a = 4, the sum over 2 paths
         product    share  path
               3    75.0%  a -[3]-> mul=6 -[1]-> add=8
               1    25.0%  a -[1]-> add=8
    """
    for z in (y, x):
        if not isinstance(z, Value):
            raise TypeError(f"explain takes two Values, got {type(z).__name__}: make x a Value, and compute y from it")
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
    """All paths from x to one node: the sum of their products, their number, and the size of the largest product.

    `edges` lists the last step of these paths: (size of the largest product through the edge, size of the edge's own
    partial, argument, partial). Sizes are logarithms, see `_size`.
    """

    total: float
    paths: float
    size: float
    edges: list[tuple[float, float, Value, float]]


def _size(partial: float) -> float:
    """log |partial|, so that products of long paths do not overflow. A nan or an infinity ranks above every number."""
    if not math.isfinite(partial):
        return 1e30
    return math.log(abs(partial)) if partial else -1e18


def _largest_first(y: Value, x: Value, reach: dict[Value, _Reach], k: int) -> Iterator[Path]:
    """The k paths from x to y with the largest products, the largest first.

    A path follows the best edges from y down to x. Every edge that it passes over is the start of another path and goes
    on a heap, unless k better ones are known already.
    """
    order = count()  # breaks ties: the one found first goes first
    heap: list[tuple[float, int, Value, float, Any]] = [(-reach[y].size, next(order), y, 0.0, None)]
    best = [reach[y].size]  # a heap of the k largest sizes found so far, the smallest first
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


def _names(*roots: Value) -> dict[Value, str]:
    """The names in the graph under `roots`, fit to be printed."""
    return {z: text for z, name in names_of(topological_order(*roots)).items() if (text := printable(name))}


def _node(z: Value, names: dict[Value, str]) -> str:
    return names.get(z) or f"{z.op or 'leaf'}={z.data:.4g}"
