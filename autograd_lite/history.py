"""Doing without history: `no_grad`, and how a derivative inside it keeps the history that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar, overload

from autograd_lite import primitives as p
from autograd_lite.recording import Mode, Recorder, constant, constants, current, recording_with
from autograd_lite.value import Value, new_leaf, new_node

F = TypeVar("F", bound=Callable[..., Any])


class _Forgetful:
    """The recorder of `no_grad` before another one, or in a derivative: a node of `outer`'s, made a leaf.

    Where there is neither, `new_leaf` does as much. One of the two is what `current` gives while history is not kept.
    """

    def __init__(self, outer: Recorder | None) -> None:
        self.outer = outer
        self.watch_backward = getattr(outer, "watch_backward", None)
        self.watch_pull_back = getattr(outer, "watch_pull_back", None)
        self.check = getattr(outer, "check", None)
        self.fresh = getattr(outer, "fresh", None)
        self.traced = getattr(outer, "traced", None)

    def __call__(self, op: p.Primitive, args: tuple[Any, ...]) -> Value:
        record = self.outer or new_node
        z: Value = record(op, args)
        if self.fresh is not None:  # a tracer's node is not ours to change
            return record(p.detach, (z,))
        z.op, z._x, z._y = None, (), None
        return constant(z)


@overload
def no_grad() -> Mode: ...
@overload
def no_grad(function: F) -> F: ...
def no_grad(function: Any = None) -> Any:
    """While this is open, in this thread, operations give leaves: their numbers, and no history.

    `with no_grad():` opens it; `@no_grad` and `@no_grad()` make a function run so. As in PyTorch, the derivatives that
    `grad`, `jvp` and the like take inside are right all the same; it is their results that have no history.
    """
    mode = Mode("no_grad", _without_history)
    return mode if function is None else mode(function)


@contextmanager
def _without_history() -> Iterator[None]:
    outer = _keeping()
    leaves = outer is None and constants.get() is None  # a derivative that begins in here, begins `with_history`
    with recording_with(new_leaf if leaves else _Forgetful(outer)):
        yield


def with_history() -> AbstractContextManager[None]:
    """While this is open, in this thread, operations are recorded even inside `no_grad`."""
    return nullcontext() if is_kept() else recording_with(_keeping())


def is_kept() -> bool:
    """Whether operations are recorded with their history here and now."""
    recorder = current.get()
    return recorder is not new_leaf and type(recorder) is not _Forgetful


def _keeping() -> Recorder | None:
    """The recorder in force, but for `no_grad`."""
    recorder = current.get()
    return recorder.outer if type(recorder) is _Forgetful else None if recorder is new_leaf else recorder
