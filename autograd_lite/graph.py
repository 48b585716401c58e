"""Walking a recorded graph. Knows how a node stores its arguments, and nothing about derivatives.

Arguments are nodes and plain floats, stored inline: `_x` for one, `_x` and `_y` for two, otherwise a tuple in `_x`,
which is empty for a leaf; an unused slot is None. So most nodes are one object in memory. Only this module and
value.py know that layout.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from autograd_lite.extension import adopt, core

Node = TypeVar("Node")  # Value or Symbol


def topological_order(*roots: Node) -> list[Node]:
    """Every node that the roots are made from, the roots included, each once and after its arguments.

    Arguments are visited in order, so the same graph always gives the same list. Linear in the edges, at any depth. A
    TypeError if a root is not a Value.

    >>> from autograd_lite import Value
    >>> a = Value(2.0)
    >>> [node.data for node in topological_order(a * a + 1.0)]
    [2.0, 4.0, 5.0]
    """
    if wrong := [type(root).__name__ for root in roots if not hasattr(root, "_x")]:
        raise TypeError(f"topological_order takes Values, got {wrong[0]}: of a list, write topological_order(*values)")
    order: list[Node] = []
    seen: set[Any] = set()
    stack: list[Any] = [*reversed(roots)]
    pop, push, mark = stack.pop, stack.append, seen.add
    while stack:
        node = pop()
        if node is None:  # the arguments of the node beneath are done, and so is it
            order.append(pop())
        elif node not in seen:
            mark(node)
            push(node)
            push(None)
            x, y = node._x, node._y
            if type(x) is tuple:
                if not seen.issuperset(x):
                    for arg in reversed(x):
                        if arg not in seen:  # a float counts as seen from its first time on
                            (mark if type(arg) is float else push)(arg)
                continue
            if y is not None and type(y) is not float and y not in seen:
                push(y)
            if type(x) is not float and x not in seen:
                push(x)
    return order


def dependents(order: list[Any], xs: Iterable[Any]) -> set[Any]:
    """The set of `xs` and of all nodes of `order` that are made from any of them. `order` is a topological order."""
    found = set(xs)
    add, none_of = found.add, found.isdisjoint
    for node in order:
        x, y = node._x, node._y
        if x in found or y in found or (type(x) is tuple and not none_of(x)):
            add(node)
    return found


def slots(args: tuple[Any, ...]) -> tuple[Any, Any]:
    """The `_x` and `_y` in which a node stores `args`."""
    return args if len(args) == 2 else (args[0], None) if len(args) == 1 else (args, None)


if core is not None:
    adopt(globals(), "topological_order", "dependents")
