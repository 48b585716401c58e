"""Doing without history: `no_grad`, and how a derivative inside it keeps the history that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from autograd_lite import primitives as p
from autograd_lite.recording import Recorder, current, recording_with
from autograd_lite.value import Value, new_node

_kept: ContextVar[bool] = ContextVar("history kept", default=True)


class _Forgetful:
    """The recorder of `no_grad`: an operation gives its number, as a leaf. `outer` is the recorder it stands before."""

    def __init__(self, outer: Recorder | None) -> None:
        self.outer = outer
        self.watch_backward = getattr(outer, "watch_backward", None)
        self.check = getattr(outer, "check", None)
        self.fresh = getattr(outer, "fresh", None)

    def __call__(self, op: p.Primitive, args: tuple[Any, ...]) -> Value:
        record = self.outer or new_node
        z: Value = record(op, args)
        if not _kept.get():
            if self.fresh is not None:  # a tracer's node is not ours to change
                return record(p.detach, (z,))
            z.op, z._x, z._y = None, (), None
        return z


@contextmanager
def no_grad() -> Iterator[None]:
    """While this is open, in this thread, operations give leaves: their numbers, and no history.

    `@no_grad()` makes a function run so. As in PyTorch, the derivatives that `grad`, `jvp` and the like take inside
    are right all the same; it is their results that have no history.
    """
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
