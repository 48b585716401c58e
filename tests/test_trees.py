"""Nested structures: mapped, taken apart and put together again."""

from collections import OrderedDict, namedtuple

import pytest

from autograd_lite import Value
from autograd_lite.trees import lists_to_arrays, tree_leaves, tree_like, tree_map, tree_paths

Pair = namedtuple("Pair", "a b")
TREE = {"w": [1, (2, 3)], "pair": Pair(4, {}), 5: []}


def test_leaves_are_in_order_and_go_back_to_their_places() -> None:
    assert tree_leaves(TREE) == [1, 2, 3, 4]
    assert tree_like(TREE, "abcd") == {"w": ["a", ("b", "c")], "pair": Pair("d", {}), 5: []}
    assert tree_leaves(7) == [7]
    assert tree_like(7, [8]) == 8


def test_a_map_copies_every_container() -> None:
    copy = tree_map(lambda x: x, TREE)
    assert copy == TREE
    assert copy is not TREE
    assert copy["w"] is not TREE["w"]
    assert type(copy["pair"]) is Pair


def test_a_map_of_several_trees_pairs_their_leaves() -> None:
    assert tree_map(lambda x, y: x - y, {"a": [1], "b": 2}, {"b": 20, "a": [10]}) == {"a": [-9], "b": -18}


def test_paths_are_written_as_python_does() -> None:
    assert tree_paths(TREE, "x") == ["x['w'][0]", "x['w'][1][0]", "x['w'][1][1]", "x['pair'][0]"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([1], "expected a dict like"),
        ({"w": 1}, "expected 2 items like"),
        ({"w": 1, "c": 2}, r"expected the keys \['w', 'b'\], got \['w', 'c'\]"),
        ({"w": (1, 2), "b": 3}, "expected a list like"),
    ],
)
def test_a_different_structure_is_named(other: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree_map(lambda x, y: x, {"w": [1, 2], "b": 3}, other)


def test_lists_to_arrays_takes_objects_in_any_row() -> None:
    pytest.importorskip("numpy")
    for rows in ([[1.0, 2.0], [Value(1.0), 2.0]], [[Value(1.0), 2.0], [1.0, 2.0]]):
        array = lists_to_arrays(rows)
        assert (array.shape, array.dtype) == ((2, 2), object)
        assert array.tolist() == rows
    assert lists_to_arrays([[1.0, 2.0], [3.0, 4.0]]).dtype == float


@pytest.mark.parametrize("leaves", [[1, 2], [1, 2, 3, 4]])
def test_tree_like_takes_as_many_leaves_as_the_tree_has(leaves: list[int]) -> None:
    with pytest.raises(ValueError, match=r"tree_like takes 3 leaves like \(0, \[0, 0\]\), got (fewer|more)"):
        tree_like((0, [0, 0]), leaves)


def test_lists_to_arrays_keeps_the_class_of_a_dict() -> None:
    pytest.importorskip("numpy")
    tree = OrderedDict(x=[1.0, 2.0], y=3.0)
    arrays = lists_to_arrays(tree)
    assert type(arrays) is OrderedDict
    assert [*arrays] == ["x", "y"]
    assert arrays["x"].tolist() == [1.0, 2.0]
    assert tree["x"] == [1.0, 2.0]
