"""Who records an operation: new nodes as a rule, or in this thread, for a while, somebody else. Imports primitives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

from autograd_lite.primitives import Primitive

Recorder = Callable[[Primitive, tuple[Any, ...]], Any]
T = TypeVar("T")
current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
in_force = current.get  # the recorder of this thread, None where new nodes are recorded
constants: ContextVar[set[Any] | None] = ContextVar("leaves that are fixed in the derivative under way", default=None)
installed: list[Recorder | None] = []  # in all threads; while it is empty, an operator need not ask for the current one


@contextmanager
def recording_with(recorder: Recorder | None) -> Iterator[None]:
    """While this is open, in this thread, every operation gives `recorder(op, args)`; a new node, if that is None."""
    token = current.set(recorder)
    installed.append(recorder)
    try:
        yield
    finally:
        installed.pop()
        current.reset(token)


def constant(leaf: T) -> T:
    """`leaf`, which the derivative under way in this thread, if there is one, may take for a number that is fixed."""
    known = constants.get()
    if known is not None:
        known.add(leaf)
    return leaf


class Mode:
    """Opens `opened()`: a context manager, which may be entered again while it is, and a decorator."""

    _open: ContextVar[Any] = ContextVar("the modes open in this thread, the innermost first", default=None)

    def __init__(self, name: str, opened: Callable[[], AbstractContextManager[None]]) -> None:
        self.name, self.opened = name, opened

    def __enter__(self) -> None:
        manager = self.opened()
        manager.__enter__()
        self._open.set((manager, self._open.get()))

    def __exit__(self, *error: object) -> None:
        if self._open.get() is None:
            raise RuntimeError(f"{self.name} ends in another task or thread than it began in: open it where it ends")
        manager, around = self._open.get()
        self._open.set(around)
        manager.__exit__(None, None, None)

    def __call__(self, function: Callable[..., T]) -> Callable[..., T]:
        """`function`, run with this open. A TypeError if that runs in pieces, between which other code would run."""
        if not callable(function):
            raise TypeError(f"{self.name} decorates a function, got {type(function).__name__}")
        for code in (function, getattr(function, "__call__", None)):  # noqa: B004 - of an object, its method
            if isgeneratorfunction(code) or iscoroutinefunction(code) or isasyncgenfunction(code):
                name = getattr(function, "__name__", type(function).__name__)
                raise TypeError(f"{self.name} cannot decorate {name}, which pauses: open it inside, in a `with`")

        @wraps(function)
        def within(*args: Any, **options: Any) -> T:
            with self:
                return function(*args, **options)

        return within
