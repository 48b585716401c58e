"""Doing without history: `no_grad`, and how a derivative inside it keeps the history that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from autograd_lite import primitives as p
from autograd_lite.recording import Mode, Recorder, constant, current, recording_with
from autograd_lite.value import Value, new_node

F = TypeVar("F", bound=Callable[..., Any])
_kept: ContextVar[bool] = ContextVar("history kept", default=True)


class _Forgetful:
    """The recorder of `no_grad`: an operation gives its number, as a leaf. `outer` is the recorder it stands before."""

    takes_numbers = True  # of the arguments, where the caller has them at hand

    def __init__(self, outer: Recorder | None) -> None:
        self.outer = outer
        self.watch_backward = getattr(outer, "watch_backward", None)
        self.check = getattr(outer, "check", None)
        self.fresh = getattr(outer, "fresh", None)
        self.traced = getattr(outer, "traced", None)

    def __call__(self, op: p.Primitive, args: tuple[Any, ...], numbers: Sequence[float] = ()) -> Value:
        if self.outer is None and not _kept.get():
            leaf = Value(op.compute(*(numbers or [x if type(x) is float else x.data for x in args])))
            constant(leaf)
            return leaf
        record = self.outer or new_node
        z: Value = record(op, args)
        if not _kept.get():
            if self.fresh is not None:  # a tracer's node is not ours to change
                return record(p.detach, (z,))
            z.op, z._x, z._y = None, (), None
            constant(z)
        return z


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
    token = _kept.set(False)
    try:
        with recording_with(_Forgetful(current.get())):
            yield
    finally:
        _kept.reset(token)


@contextmanager
def with_history() -> Iterator[None]:
    """While this is open, in this thread, operations are recorded even inside `no_grad`."""
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)


def is_kept() -> bool:
    """Whether operations are recorded with their history here and now."""
    return _kept.get()
