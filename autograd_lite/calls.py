"""Operations with several results. One node stands for the call, and an `item` node for each result that is used.

The node of a call has no number of its own, so calls occur in graphs of Symbols only. `pull_back` collects the
cotangents of all results and hands them to the call at once; `push_forward` gets the tangents of all results at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from autograd_lite.primitives import Primitive

Scalar = Any  # a node, or a float
Key = Any  # an int for a result that is a number; other keys belong to the operation


class Cotangent(NamedTuple):
    """A contribution to the cotangent of the node `to`: of its result `key` if `to` is a call, else of its number."""

    to: Any
    value: Any
    key: Key = None


class Call(Primitive):
    """An operation with several results, numbered from 0. It has no partials: it is differentiated as a whole.

    `may_not_end` is True of a while_loop, and of a loop that contains one. Where a condition skips operations, the
    arguments of such a loop are computed nonetheless: on wrong numbers it might run for ever.
    """

    may_not_end = False

    def __init__(self, name: str) -> None:
        super().__init__(name, self._no_number, self._no_number, arity=None)

    def _no_number(self, *_: Any) -> NoReturn:
        raise TypeError(f"{self.name} has several results, and no number or partial derivatives of its own")

    def pull(self, node: Any, cotangents: Mapping[Key, list[Any]], active: set[Any]) -> list[Cotangent]:
        """The cotangents of the arguments of `node` that are in `active`, from the `cotangents` of its results."""
        raise NotImplementedError

    def push(self, node: Any, tangents: Mapping[Any, Any]) -> Tangents:
        """The tangents of the results of `node`, from `tangents`, a dict of the arguments that have a tangent."""
        raise NotImplementedError


class Tangents:
    """The tangents of the results of a call."""

    def item(self, key: int) -> Scalar:
        """The tangent of result `key`."""
        raise NotImplementedError


class Results:
    """The results of a call that was replayed on Values: `item` takes them from here."""

    def item(self, key: int) -> Scalar:
        """Result `key`."""
        raise NotImplementedError


class _Item(Primitive):
    """`item(call, k)` is result k of a call."""

    def __init__(self) -> None:
        super().__init__("item", self._no_number, self._no_number, arity=2)

    def _no_number(self, *_: Any) -> NoReturn:
        raise TypeError("item is differentiated with the call that it belongs to")

    def __call__(self, *args: Any) -> Any:
        call, key = args
        return call.item(int(key)) if isinstance(call, Results) else super().__call__(*args)


item = _Item()
