"""Pickling and deep-copying graphs of any depth. Importing this module teaches `pickle` and `copy` about Values.

A graph is saved as a flat list of rows, in topological order. Leaves are saved as objects, so that a model and a loss
that are saved together still share their parameters afterwards; a node in between is copied once for each root.
"""

import copyreg
from typing import Any

from autograd_lite.graph import topological_order
from autograd_lite.value import Value

Row = tuple[Any, ...]


def _reduce(root: Value) -> tuple[Any, ...]:
    order = topological_order(root)
    index = {node: i for i, node in enumerate(order)}

    def row(node: Value) -> Value | Row:
        if node.op is None and node is not root:
            return node
        args = tuple([x if type(x) is float else index[x] for x in node.args])
        return node.op, args, node.data, node.grad, node.label

    return _restore, ([row(node) for node in order],)


def _restore(rows: list[Value | Row]) -> Value:
    """The Value of the last row. In a row's arguments an int stands for an earlier row."""
    nodes: list[Value] = []
    for row in rows:
        if isinstance(row, Value):
            nodes.append(row)
            continue
        node: Value = Value.__new__(Value)
        node.op, args, node.data, node.grad, node.label = row
        args = tuple([nodes[x] if type(x) is int else x for x in args])
        node._x, node._y = args if len(args) == 2 else (args, None)
        nodes.append(node)
    return nodes[-1]


copyreg.pickle(Value, _reduce)
