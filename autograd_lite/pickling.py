"""Pickling and deep-copying graphs of any depth. Importing this module teaches `pickle` and `copy` how.

A graph is saved as a flat list of rows, in topological order. Leaves are saved as objects, so that a model and a loss
that are saved together still share their parameters afterwards; a node in between is copied once for each root. A
primitive is saved by its name.
"""

import copyreg
from typing import Any

from autograd_lite.graph import slots, topological_order
from autograd_lite.primitives import PRIMITIVES, Primitive
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
        node._x, node._y = slots(args)
        nodes.append(node)
    return nodes[-1]


def _reduce_primitive(op: Primitive) -> tuple[Any, ...]:
    if PRIMITIVES.get(op.name) is not op:
        raise TypeError(f"{op} cannot be saved, as it was compiled: save the leaves, and call the function again")
    return _named, (op.name,)


def _named(name: str) -> Primitive:
    if name not in PRIMITIVES:
        raise ValueError(f"no primitive is called {name!r} here: import the module that defines it first")
    return PRIMITIVES[name]


copyreg.pickle(Value, _reduce)
copyreg.pickle(Primitive, _reduce_primitive)
setattr(Primitive, "__deepcopy__", lambda op, memo: op)  # noqa: B010
