"""Module: a function with parameters, and the names by which they are listed, saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Self

from autograd_lite import Value, register_owner


class Module:
    """Something that is called with numbers and holds Values that can be trained.

    Its parameters are the leaf Values among its attributes, in nested lists, tuples and dicts, and in Modules of its
    own. A regular nested list of Values is one array with one name, as a tensor is in PyTorch.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A module whose parameters pictures, texts and errors call by their path: `layers.0.neurons.3.w.1`."""
        module = super().__new__(cls)
        register_owner(module)
        return module

    def __call__(self, x: Any) -> Any:
        """What this makes of the input `x`; every Module says for itself."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: give it a __call__(self, x)")

    def parts(self) -> Iterable[tuple[str, Any]]:
        """The named things to look for parameters in: the attributes, unless a Module knows better names."""
        return vars(self).items()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Each parameter's name and Value, or nested list of Values, in a fixed order."""
        for name, part in self.parts():
            yield from _named(part, prefix + name)

    def parameters(self) -> list[Value]:
        """Every Value that can be trained, once, in the order of `named_parameters`."""
        return list(dict.fromkeys(p for _, array in self.named_parameters() for p in flatten(array)))

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The numbers of the parameters: a float or a nested list of floats under each name."""
        return {name: numbers(array) for name, array in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give every parameter the number that `state` has for it: nested lists, or anything with `tolist`.

        A ValueError if a name is missing or unknown, a shape differs or a number is not finite, a TypeError if it is no
        number; the parameters are then as they were.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, as state_dict() gives, got {type(state).__name__}")
        mine = dict(self.named_parameters())
        if missing := [name for name in mine if name not in state]:
            raise ValueError(f"load_state_dict: the state has no {', '.join(missing)}; it has {', '.join(state)}")
        if unknown := [name for name in state if name not in mine]:
            raise ValueError(f"load_state_dict: there is no {', '.join(unknown)} here; there is {', '.join(mine)}")
        pairs: list[tuple[Value, float]] = []
        for name, array in mine.items():
            given = as_list(state[name])
            if shape(given) != shape(array):
                raise ValueError(f"load_state_dict: {name} has shape {shape(array)}, got {shape(given)}")
            given = [finite(f"load_state_dict: {name}", number) for number in flatten(given)]
            pairs += zip(flatten(array), given, strict=True)
        for p, number in pairs:
            p.data = number


def as_list(array: Any) -> Any:
    """`array` as numbers in nested lists, if it comes from NumPy, PyTorch or the like; else as it is."""
    return array.tolist() if hasattr(array, "tolist") else array


def numbers(array: Any) -> Any:
    """The numbers of Values, in the nested lists that they came in; numbers stay as they are."""
    array = as_list(array)
    if isinstance(array, (list, tuple)):
        return [numbers(item) for item in array]
    return array.data if isinstance(array, Value) else array


def flatten(array: Any) -> Iterator[Any]:
    """The things in a nested list, from first to last; the thing itself if it is no list."""
    if isinstance(array, (list, tuple)):
        for item in array:
            yield from flatten(item)
    else:
        yield array


def shape(array: Any) -> tuple[int, ...] | None:
    """The lengths of a nested list, outermost first, () for a single thing; None if its rows differ in shape."""
    if not isinstance(array, (list, tuple)):
        return ()
    inner = {shape(item) for item in array} or {()}
    first = inner.pop()
    return None if inner or first is None else (len(array), *first)


def finite(what: str, number: Any) -> float:
    """`number` as a float; an error that names `what` if it is not a real number (TypeError) or not finite."""
    if not isinstance(number, Real):
        raise TypeError(f"{what} takes real numbers, got {type(number).__name__} {str(number)[:60]}")
    if not math.isfinite(number):
        raise ValueError(f"{what} takes finite numbers, got {number}")
    return float(number)


def all_finite(numbers: Iterable[float]) -> bool:
    """Whether there is no infinity and no NaN among `numbers`."""
    return all(map(math.isfinite, numbers))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as aligned text: a header, a rule, the rows. A column is aligned to the right if it is numbers."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(cell[:1].isdigit() or cell[:1] == "-" for cell in column[1:] if cell) for column in columns]
    lines = [
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _named(part: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Module):
        yield from part.named_parameters(name + ".")
    elif isinstance(part, Mapping):
        for key, item in part.items():
            yield from _named(item, f"{name}.{key}")
    elif isinstance(part, (Value, list, tuple)):
        leaves = [isinstance(x, Value) and x.op is None for x in flatten(part)]
        if leaves and all(leaves) and shape(part) is not None:
            yield name, part
        elif not isinstance(part, Value):
            for i, item in enumerate(part):
                yield from _named(item, f"{name}.{i}")
