"""Trees: nested lists, tuples, namedtuples and dicts. Everything else is a leaf. Imports nothing else of the package.

Public as `autograd_lite.trees`.
"""

import sys
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, TypeAlias

Tree: TypeAlias = Any  # a leaf, or a list, tuple, namedtuple or dict of Trees


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """A new tree of the structure of `tree`; each leaf is `function` of the leaves of all trees at that place.

    Leaves are visited in order. A ValueError if one of `others` has another structure than `tree`.

    >>> tree_map(lambda x, y: x + y, {"a": 1, "b": [2, 3]}, {"a": 10, "b": [20, 30]})
    {'a': 11, 'b': [22, 33]}
    """
    if not isinstance(tree, (dict, list, tuple)):
        return function(tree, *others)
    for other in others:
        _check_same_structure(tree, other)
    if others:
        keys = tree if isinstance(tree, dict) else range(len(tree))
        branches = [tree_map(function, tree[key], *[other[key] for other in others]) for key in keys]
    else:
        items = tree.values() if isinstance(tree, dict) else tree
        branches = [tree_map(function, x) if isinstance(x, (dict, list, tuple)) else function(x) for x in items]
    return container_like(tree, branches)


def container_like(tree: Tree, branches: list[Any]) -> Tree:
    """A container of the class of `tree`, a dict, list or tuple, with other `branches`. It may be `branches` itself."""
    if type(tree) is list:
        return branches
    if isinstance(tree, tuple):
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    result: Any = copy(tree)
    for key, branch in zip(tree if isinstance(tree, dict) else range(len(tree)), branches, strict=True):
        result[key] = branch
    return result


def _check_same_structure(tree: Tree, other: Tree) -> None:
    kind = next(kind for kind in (dict, list, tuple) if isinstance(tree, kind))
    if not isinstance(other, kind):
        raise ValueError(f"expected a {kind.__name__} like {_short(tree)}, got {type(other).__name__} {_short(other)}")
    if len(other) != len(tree):
        raise ValueError(f"expected {len(tree)} items like {_short(tree)}, got {len(other)}: {_short(other)}")
    if kind is dict and set(other) != set(tree):
        raise ValueError(f"expected the keys {[*tree]}, got {[*other]}")


def _short(tree: Tree) -> str:
    text = " ".join(str(tree).split())
    return text if len(text) <= 60 else text[:57] + "..."


def tree_leaves(tree: Tree) -> list[Any]:
    """The leaves of `tree`, in order.

    >>> tree_leaves({"a": 1, "b": [2, (3,)]})
    [1, 2, 3]
    """
    if not isinstance(tree, (dict, list, tuple)):
        return [tree]
    leaves: list[Any] = []
    for x in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(x, (dict, list, tuple)):
            leaves += tree_leaves(x)
        else:
            leaves.append(x)
    return leaves


def tree_like(tree: Tree, leaves: Iterable[Any]) -> Tree:
    """A new tree of the structure of `tree` with other `leaves`, in order.

    A ValueError if there are too few or too many.

    >>> tree_like((0, [0, 0]), [1, 2, 3])
    (1, [2, 3])
    """
    rest = iter(leaves)
    end = object()
    try:
        made = tree_map(lambda _: next(rest), tree)
    except StopIteration:
        raise ValueError(f"tree_like takes {len(tree_leaves(tree))} leaves like {_short(tree)}, got fewer") from None
    if next(rest, end) is not end:
        raise ValueError(f"tree_like takes {len(tree_leaves(tree))} leaves like {_short(tree)}, got more")
    return made


def tree_paths(tree: Tree, path: str = "") -> list[str]:
    """The path of each leaf in order, as Python code after the name of the tree.

    >>> tree_paths({"w": [1, 2]}, "x")
    ["x['w'][0]", "x['w'][1]"]
    """
    if not isinstance(tree, (dict, list, tuple)):
        return [path]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for key, branch in items for leaf in tree_paths(branch, f"{path}[{key!r}]")]


# ---- arrays in place of lists


def is_array(x: Any) -> bool:
    """Whether `x` is an array, with axes or without. NumPy's numbers are not arrays."""
    return hasattr(x, "tolist") and hasattr(x, "shape") and hasattr(x, "__len__")


def arrays_to_lists(tree: Tree) -> Tree:
    """A new tree with nested lists of numbers in place of arrays; an array without axes becomes a number."""
    return tree_map(lambda x: x.tolist() if is_array(x) else x, tree)


def has_numpy_array(tree: Tree) -> bool:
    """Whether a NumPy array that has axes is among the leaves of `tree`."""
    numpy = sys.modules.get("numpy")  # without it there is no array
    if numpy is None:
        return False
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return isinstance(tree, numpy.ndarray) and tree.ndim > 0
    return any(type(branch) is not float and has_numpy_array(branch) for branch in tree)


def note_about_lists(error: Exception, what: str) -> None:
    """Add to an `error` about a list, raised where `what` called a function on lists, that these stand for arrays."""
    if any(word in str(error) for word in ("list", "sequence")):
        error.add_note(f"{what} gives f lists of numbers in place of arrays: write sum(v * v for v in x)")


def lists_to_arrays(tree: Tree) -> Tree:
    """A new tree with NumPy arrays in place of lists of numbers, and of lists whose items become arrays of one shape.

    Other lists stay lists. An array is of float64 if all its leaves are floats, else of objects.
    """
    import numpy

    if isinstance(tree, dict | tuple):
        return container_like(tree, [lists_to_arrays(x) for x in (tree.values() if isinstance(tree, dict) else tree)])
    if not isinstance(tree, list):
        return tree
    if all(type(x) is float for x in tree):
        return numpy.array(tree, dtype=float)
    made = [lists_to_arrays(branch) for branch in tree]
    if any(isinstance(x, dict | tuple | list | str | None) for x in made):
        return made
    if len({getattr(x, "shape", None) for x in made}) > 1:
        return made
    dtype = numpy.result_type(*[getattr(x, "dtype", object) for x in made])
    array = numpy.empty((len(made), *getattr(made[0], "shape", ())), dtype)
    array[:] = made
    return array
