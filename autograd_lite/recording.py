"""Who records an operation: new nodes as a rule, or in this thread, for a while, somebody else. Imports primitives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from autograd_lite.primitives import Primitive

Recorder = Callable[[Primitive, tuple[Any, ...]], Any]
current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
installed: list[Recorder] = []  # in all threads; while it is empty, an operator need not ask for the current one


@contextmanager
def recording_with(recorder: Recorder) -> Iterator[None]:
    """While this is open, in this thread, every operation gives `recorder(op, args)` in place of a new node."""
    token = current.set(recorder)
    installed.append(recorder)
    try:
        yield
    finally:
        installed.pop()
        current.reset(token)
