"""Nested lists, tuples and dicts with numbers, or whatever else, at their leaves. Imports nothing of ours."""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, TypeAlias

Tree: TypeAlias = Any  # a leaf, or a list, tuple, namedtuple or dict of Trees


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """A tree of the structure of `tree`, whose leaves are `function` of the leaves in that place, in order.

    What is no list, tuple or dict is a leaf. A ValueError if one of `others` has another structure than `tree`.
    """
    if not isinstance(tree, (dict, list, tuple)):
        return function(tree, *others)
    for other in others:
        _check_same_structure(tree, other)
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    branches = [tree_map(function, tree[key], *[other[key] for other in others]) for key in keys]
    if isinstance(tree, tuple):
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    result: Any = copy(tree)
    for key, branch in zip(keys, branches, strict=True):
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
    """The leaves of `tree`, in order."""
    leaves: list[Any] = []
    tree_map(leaves.append, tree)
    return leaves


def tree_like(tree: Tree, leaves: Iterable[Any]) -> Tree:
    """A tree of the structure of `tree` with other `leaves`, in order."""
    rest = iter(leaves)
    return tree_map(lambda _: next(rest), tree)


def tree_paths(tree: Tree, path: str = "") -> list[str]:
    """Where each leaf is, as one would write it in Python after the name of the tree: `["w"][2]`, in order."""
    if not isinstance(tree, (dict, list, tuple)):
        return [path]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for key, branch in items for leaf in tree_paths(branch, f"{path}[{key!r}]")]
