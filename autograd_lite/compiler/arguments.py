"""From the arguments of a compiled function to flat buffers of numbers."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple

from autograd_lite.ieee import to_float
from autograd_lite.trees import Tree, is_array
from autograd_lite.value import Value

INTEGERS = {int, bool}
PLAIN = {float, *INTEGERS}


class Batch(NamedTuple):
    """`n` rows of numbers. `row` is an example of a row, as the (args, kwargs) of a call, and has that `structure`.

    `numbers` is one buffer, row after row, or a tuple of buffers side by side; None if there are Values in the rows.
    """

    n: int
    row: Tree
    structure: Hashable
    numbers: Any


def is_number(x: Any) -> bool:
    """Whether a leaf of the arguments is a number. Other leaves, such as strings and None, belong to the structure."""
    return isinstance(x, Real | Value) or type(x).__name__ in ("bool", "bool_")


def flatten(tree: Tree, numbers: list[Any]) -> Hashable:
    """Append the numbers in `tree` to `numbers`; return its structure, the hashable key of what jit compiles for it.

    An array counts as nested lists, one without axes as a number. A TypeError for a leaf that is not hashable.
    """
    if type(tree) is float:
        numbers.append(tree)
        return Real
    if isinstance(tree, list | tuple):
        kind: type = type(tree)
        if PLAIN.issuperset(map(type, tree)):
            numbers += tree
            return kind, len(tree)
        branches = [flatten(branch, numbers) for branch in tree]
        return (kind, len(tree)) if all(branch is Real for branch in branches) else (kind, tuple(branches))
    if isinstance(tree, dict):
        return type(tree), tuple(tree), tuple([flatten(branch, numbers) for branch in tree.values()])
    if is_array(tree):
        return flatten(tree.tolist(), numbers)
    if is_number(tree):
        numbers.append(tree if isinstance(tree, Value) else to_float(tree, "jit"))
        return Real
    if isinstance(tree, Hashable):
        return type(tree), tree
    raise TypeError(f"jit takes numbers, and lists, tuples, dicts and arrays of them; got {type(tree).__name__}")


def batch(columns: Sequence[Any], what: str, keep: bool = False, array_type: Any = None) -> Batch:
    """The rows of `columns`, each an array or a list with one item per row. A ValueError if their structures differ.

    The buffers may be the caller's arrays; with `keep` they are copies, which the caller cannot change. Arrays of
    the executor's own type `array_type` stay where they are, on one device or on several.
    """
    try:
        lengths = [len(column) for column in columns]
    except TypeError:
        _check_columns(columns, what)
        raise
    if not lengths or 0 in lengths:
        raise ValueError(f"{what} of an empty batch: give it at least one row")
    if lengths.count(lengths[0]) < len(lengths):
        raise ValueError(f"{what} takes columns of one length, got {', '.join(map(str, lengths))} rows")
    n, tables, shapes = lengths[0], [], []
    for column in columns:
        shape = _shape(column)
        table: Any = _table(column, what, array_type) if shape else _table_of_list(column)
        if table is None:
            break
        tables.append(table.copy() if keep and shape else table)
        shapes.append(shape)
    else:
        if all(shapes):
            return Batch(n, *_row_of_arrays(*shapes), tuple(tables))
    _check_columns(columns, what)
    example = tuple([column[0] for column in columns])
    if len(tables) == len(columns):
        return Batch(n, (example, {}), flatten((example, {}), []), tuple(tables))
    numbers: list[Any] = []
    first: Hashable = None
    for i, row in enumerate(zip(*columns, strict=True)):
        structure = flatten((row, {}), numbers)
        if i and structure != first:
            text, first_text = str(row)[:60], str(example)[:60]
            raise ValueError(f"{what}: row {i} has another structure than row 0: {text}, {first_text}")
        first = structure
    has_values = any(issubclass(kind, Value) for kind in set(map(type, numbers)))
    return Batch(n, (example, {}), first, None if has_values else _buffer(numbers))


def _check_columns(columns: Iterable[Any], what: str) -> None:
    """A TypeError that names the first column that is not an array or a list."""
    for column in columns:
        ordered = hasattr(column, "__len__") and not isinstance(column, (dict, set, frozenset))
        if not ordered or (is_array(column) and not _shape(column)):
            raise TypeError(
                f"{what} takes columns, each an array or a list with one item per row, "
                f"got {type(column).__name__} {str(column)[:60]}: make it a list of the rows"
            )


@lru_cache
def _row_of_arrays(*shapes: tuple[int, ...]) -> tuple[Tree, Hashable]:
    """An example of a row of columns of these shapes, as lists, and its structure."""

    def nested(shape: tuple[int, ...]) -> Tree:
        return [nested(shape[1:]) for _ in range(shape[0])] if shape else 0.0

    row: Tree = tuple([nested(shape[1:]) for shape in shapes]), {}
    return row, flatten(row, [])


def joined(n: int, rows: Any) -> Any:
    """The `n` rows as one buffer: `rows` may be a tuple of buffers side by side."""
    if type(rows) is not tuple:
        return rows
    rows = tuple([x if isinstance(x, array | memoryview) else _numpy().asarray(x) for x in rows])
    tables = [memoryview(table).cast("B").cast("d") for table in rows if len(table) and memoryview(table).nbytes]
    together = memoryview(array("d", bytes(8 * sum(map(len, tables)))))
    width, at = len(together) // n, 0
    for table in tables:
        w = len(table) // n
        if w < n:
            for column in range(w):
                together[at + column :: width] = table[column::w]
        else:
            for begin, row in zip(range(at, len(together), width), range(0, len(table), w), strict=True):
                together[begin : begin + w] = table[row : row + w]
        at += w
    return together


def floats(buffer: Any) -> list[float]:
    """The numbers of a flat buffer as Python floats."""
    found: list[float] = buffer.tolist() if hasattr(buffer, "tolist") else list(buffer)
    return found


def _shape(x: Any) -> Any:
    """The shape of an array; () of anything else."""
    return getattr(x, "shape", ()) if hasattr(x, "tolist") else ()


@cache
def _numpy() -> Any:
    import numpy

    return numpy


def _table(column: Any, what: str, array_type: Any = None) -> Any:
    """The rows of an array as one contiguous array of float64, without a copy if possible; None if it holds objects.

    An array of float64 of the type `array_type` is returned as it is.
    """
    np = _numpy()
    if array_type not in (None, np.ndarray) and isinstance(column, array_type) and "float64" in str(column.dtype):
        return column
    kind = column.dtype if type(column) is np.ndarray else None
    if kind is None or kind.char != "d" or not kind.isnative or not column.flags.c_contiguous:
        column = np.asarray(column)
        if column.dtype.kind == "O":
            return None
        if column.dtype.kind not in "biuf":
            raise TypeError(f"{what} takes arrays of real numbers, got dtype {column.dtype}")
        column = np.ascontiguousarray(column, dtype=float)
    return column


def _table_of_list(column: Sequence[Any]) -> array[float] | None:
    """The rows of a list as one buffer; None unless they are all numbers, or all lists of equally many numbers."""
    numbers, kinds = column, set(map(type, column))
    if kinds in ({list}, {tuple}) and len(set(map(len, column))) == 1:
        numbers = list(chain.from_iterable(column))
        kinds = set(map(type, numbers))
    return _buffer(numbers) if kinds <= PLAIN else None


def _buffer(numbers: Sequence[Any]) -> array[float]:
    try:
        return array("d", numbers)
    except OverflowError:  # an int that is larger than any float
        return array("d", [to_float(x, "jit") for x in numbers])
