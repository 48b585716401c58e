"""Module: a function with parameters, and the names by which they are listed, saved and loaded."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from numbers import Real
from operator import is_
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar

from autograd_lite import Value, register_owner, zero_grads
from autograd_lite.trees import tree_leaves
from nn.tables import Table


class Array(Protocol):
    """An array of NumPy, PyTorch or the like: something with `tolist`."""

    def tolist(self) -> Any:
        """The numbers in nested lists."""


Scalar: TypeAlias = Value | float  # and every other real number
Inputs: TypeAlias = Scalar | Sequence[Scalar] | Array  # what a layer is called with: a number, or a list of them

Parts = TypeVar("Parts", bound=Callable[..., Any])
_reads_attributes: set[Callable[..., Any]] = set()  # the methods `parts` that `parts_of_attributes` marked


def parts_of_attributes(parts: Parts) -> Parts:
    """Mark a `parts` method whose result depends only on the attributes and on the lists and modules in them.

    `parameters` then walks the tree again only if one of those has changed. Unmarked methods are called every time.
    """
    _reads_attributes.add(parts)
    return parts


class Module:
    """A callable that holds Values which can be trained: its parameters.

    The parameters are the leaf Values among its attributes, in nested lists, tuples and dicts of them, and in the
    Modules that it holds. A regular nested list of Values is one array with one name, as a tensor is in PyTorch.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Value(2.0)
    ...     def __call__(self, x):
    ...         return self.factor * x
    >>> Scale()(3.0).data
    6.0
    >>> Scale().state_dict()
    {'factor': 2.0}
    """

    __slots__ = ("__dict__", "__weakref__", "_walk")  # `_walk` is not searched for parameters
    _walk: _Walk | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A new module. Pictures, texts and errors name its parameters by their path: `layers.0.neurons.3.w.1`."""
        module = super().__new__(cls)
        module._walk = None
        register_owner(module)
        return module

    if TYPE_CHECKING:  # subclasses choose their own arguments and results
        __call__: Callable[..., Any]
    else:

        def __call__(self, x: Any) -> Any:
            """The result for the input `x`. Every subclass defines it."""
            name = type(self).__name__
            raise NotImplementedError(f"{name} has no __call__ method: define __call__(self, x)")

    def __getstate__(self) -> Any:
        """The attributes that a copy and a pickle hold: all but `_walk`, which is made again."""
        state: Any = super().__getstate__()
        attributes, slots = state if isinstance(state, tuple) else (state, {})
        slots = {name: slot for name, slot in slots.items() if name != "_walk"}
        return (attributes, slots) if slots else attributes

    def _repr_html_(self) -> str | None:
        """A table for notebooks: that of `summary`, or of the names and shapes of the parameters. Never raises."""
        try:
            summary = getattr(self, "summary", None)
            return Table._repr_html_(summary() if summary else _table_of_parameters(self))
        except Exception:
            return None  # the notebook shows the repr

    @parts_of_attributes
    def parts(self) -> Iterable[tuple[str, Any]]:
        """The named things in which parameters are looked for: the attributes. A subclass may give better names."""
        return vars(self).items()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """The name and the Value, or nested list of Values, of each parameter, in the order of the attributes."""
        for name, part in self.parts():
            yield from _named(part, prefix + name)

    def parameters(self) -> list[Value]:
        """Every Value that can be trained, once, in the order of `named_parameters`.

        A new list of the Values that the attributes hold now. The tree is walked again only where something changed.
        """
        walk = self._walk
        if walk is None or not walk.is_current(self):
            walk = self._walk = _Walk(self)
        return walk.parameters.copy()

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        zero_grads(self.parameters())

    def state_dict(self) -> dict[str, Any]:
        """The numbers of the parameters: for each name a float or a nested list of floats."""
        return {name: numbers(array) for name, array in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the number of every parameter from `state`: a dict of nested lists, or of arrays with `tolist`.

        A ValueError if a name is missing or unknown, a shape differs or a number is not finite, a TypeError if `state`
        is not a dict or holds something else than numbers; the parameters are then as they were.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, as state_dict() gives, got {type(state).__name__}")
        mine = dict(self.named_parameters())
        if missing := [name for name in mine if name not in state]:
            raise ValueError(f"load_state_dict: the state has no {', '.join(missing)}; it has {_listed(state)}")
        if unknown := [name for name in state if name not in mine]:
            raise ValueError(f"load_state_dict: there is no {_listed(unknown)} here; there is {', '.join(mine)}")
        pairs: list[tuple[Value, float]] = []
        for name, array in mine.items():
            given = as_list(state[name])
            if shape(given) != shape(array):
                raise ValueError(f"load_state_dict: {name} has shape {shape(array)}, got {shape(given)}")
            given = [finite(f"load_state_dict: {name}", number) for number in tree_leaves(given)]
            pairs += zip(tree_leaves(array), given, strict=True)
        for p, number in pairs:
            p.data = number


class _Walk:
    """The parameters of a module, the containers in which they were found, and copies of the containers' items.

    `is_current` compares the containers with the copies, item by item and by identity, in C loops: a tenth of the time
    of a walk. It holds no reference to the module itself, so it makes no reference cycle.
    """

    def __init__(self, module: Module) -> None:
        found = [p for _, array in module.named_parameters() for p in tree_leaves(array)]
        self.parameters: list[Value] = list(dict.fromkeys(found))
        self._kind = type(module)
        self._modules: list[Module] = []  # the modules inside `module`
        self._attributes: list[dict[str, Any]] = []  # of `module` and of the modules inside it
        self._containers: list[Collection[Any]] = []
        self._watched = self._watch(module)
        self._kinds = list(map(type, self._modules))
        self._lengths = list(map(len, self._containers))
        self._items = list(chain.from_iterable(self._containers)) if self._watched else []

    def is_current(self, module: Module) -> bool:
        """True if `module` has the same parameters in the same order as when this walk was made."""
        return (
            self._watched
            and type(module) is self._kind
            and list(map(type, self._modules)) == self._kinds
            and all(map(is_, map(vars, chain((module,), self._modules)), self._attributes))
            and list(map(len, self._containers)) == self._lengths
            and all(map(is_, chain.from_iterable(self._containers), self._items))
        )

    def _watch(self, module: Module) -> bool:
        """Collect the containers that the parameters of `module` depend on. False if one of them cannot be watched."""
        seen: set[int] = set()
        stack: list[Any] = [module]
        while stack:
            thing = stack.pop()
            if id(thing) in seen or type(thing) is Value:
                continue
            seen.add(id(thing))
            if isinstance(thing, Module):
                if not _is_plain(thing):
                    return False
                if thing is not module:
                    self._modules.append(thing)
                self._attributes.append(vars(thing))
                inner: Collection[Any] = vars(thing).values()
            elif type(thing) in (dict, OrderedDict):
                inner = thing.values()
            elif type(thing) in (list, tuple):
                inner = thing
            elif isinstance(thing, (list, tuple, Mapping)):
                return False  # a class of the user, which may give its items in another way
            else:
                continue
            self._containers.append(inner)
            stack += inner
        return True


def _is_plain(module: Module) -> bool:
    """True if the parameters of `module` depend on its attributes only."""
    kind = type(module)
    return (
        kind.parts in _reads_attributes
        and kind.named_parameters is Module.named_parameters
        and vars(module).keys().isdisjoint(("parts", "named_parameters"))
    )


def _table_of_parameters(module: Module) -> Table:
    rows = [("parameter", "shape", "numbers")]
    for name, array in module.named_parameters():
        size = " x ".join(map(str, shape(array) or ())) or "number"
        rows.append((name, size, f"{len(tree_leaves(array)):,}"))
    rows.append(("total", "", f"{len(module.parameters()):,}"))
    return Table(rows, caption=type(module).__name__)


def as_list(array: Any) -> Any:
    """An array of NumPy, PyTorch or the like as nested lists of numbers; anything else unchanged."""
    return array.tolist() if hasattr(array, "tolist") else array


def numbers(array: Any) -> Any:
    """`array` with the number of each Value in its place, and lists in place of tuples and arrays."""
    array = as_list(array)
    if isinstance(array, (list, tuple)):
        return [numbers(item) for item in array]
    return array.data if isinstance(array, Value) else array


def shape(array: Any) -> tuple[int, ...] | None:
    """The lengths of a nested list, the outermost first; () for one item, None for a dict or rows that differ."""
    if not isinstance(array, (list, tuple)):
        return None if isinstance(array, Mapping) else ()
    inner = {shape(item) for item in array} or {()}
    first = inner.pop()
    return None if inner or first is None else (len(array), *first)


def finite(what: str, number: Any) -> float:
    """`number` as a float.

    An error names `what`: a TypeError if `number` is not a real number, a ValueError if the number is not finite.
    """
    if not isinstance(number, Real):
        raise TypeError(f"{what} takes real numbers, got {type(number).__name__} {number!r:.60}")
    if not all_finite([number]):
        raise ValueError(f"{what} takes finite numbers, got {number!s:.60}")
    return float(number)


def all_finite(numbers: Iterable[Any]) -> bool:
    """True if no infinity, no NaN and no int beyond the largest float is among `numbers`."""
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:
        return False


def _listed(names: Iterable[Any]) -> str:
    """Names on one line, cut where they are long: they may come from a damaged file."""
    return f"{', '.join([f'{name}'[:60] for name in names]):.400}"


def _named(part: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Module):
        yield from part.named_parameters(name + ".")
    elif isinstance(part, Mapping):
        for key, item in part.items():
            yield from _named(item, f"{name}.{key}")
    elif isinstance(part, (Value, list, tuple)):
        leaves = [isinstance(x, Value) and x.op is None for x in tree_leaves(part)]
        if leaves and all(leaves) and shape(part) is not None:
            yield name, part
        elif not isinstance(part, Value):
            for i, item in enumerate(part):
                yield from _named(item, f"{name}.{i}")
