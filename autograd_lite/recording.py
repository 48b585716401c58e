"""Choosing the recorder: `recording_with`, `no_grad`, and how a context manager serves as a decorator too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar, cast, overload

from autograd_lite import primitives as p
from autograd_lite.primitives import Primitive
from autograd_lite.value import EAGER, LEAVES, Recorder, Value, active, active_recorder, constant, constants, opened

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def recording_with(recorder: Recorder) -> Iterator[None]:
    """While this is open, `recorder` is the active recorder of this thread or task.

    A task or thread that inherits the context must end before this is closed.
    """
    token = active.set(recorder)
    opened.append(recorder)
    try:
        yield
    finally:
        opened.remove(recorder)
        active.reset(token)


class Wrapper(Recorder):
    """A recorder in front of the recorder `outer`, which does everything that a subclass does not change."""

    def __init__(self, outer: Recorder, keeps_history: bool = True) -> None:
        super().__init__(keeps_history)
        self.outer = outer
        self.symbolic, self.inlines, self.watches = outer.symbolic, outer.inlines, outer.watches

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        return self.outer.record(op, args)

    def detach(self, x: Value) -> Value:
        return self.outer.detach(x)

    def fresh(self, x: Any) -> Value:
        return self.outer.fresh(x)

    def constant(self, x: float) -> Value:
        return self.outer.constant(x)

    def symbol_for(self, x: Value) -> Value:
        return self.outer.symbol_for(x)

    def check(self, op: Primitive, args: tuple[Any, ...], z: Any) -> None:
        self.outer.check(op, args, z)

    def watch_backward(self, order: list[Value]) -> None:
        self.outer.watch_backward(order)

    def watch_pull_back(
        self, order: list[Value], active: set[Value], ys: Sequence[Any], cotangents: Sequence[Any]
    ) -> None:
        self.outer.watch_pull_back(order, active, ys, cotangents)

    def watch_push_forward(self, order: list[Value], xs: Sequence[Value], tangents: Sequence[Any]) -> None:
        self.outer.watch_push_forward(order, xs, tangents)


class NoHistory(Wrapper):
    """The recorder of `no_grad` inside a derivative or in front of a recorder other than EAGER.

    Its results are leaves, constant for the enclosing derivative. In all other cases LEAVES is used, which is faster.
    """

    def __init__(self, outer: Recorder) -> None:
        super().__init__(outer, keeps_history=False)

    @property
    def with_history(self) -> Recorder:
        return self.outer

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        z = self.outer.record(op, args)
        if self.symbolic:  # the trace may use the same node elsewhere, with its history
            return self.outer.record(p.detach, (z,))
        return constant(Value(z.data))


@overload
def no_grad() -> Mode: ...
@overload
def no_grad(function: F) -> F: ...
def no_grad(function: Any = None) -> Any:
    """Record no history: while this is open in this thread, every operation gives a leaf.

    `with no_grad():` opens it; `@no_grad` and `@no_grad()` make a function run inside it. As with `torch.func`, `grad`,
    `jvp` and the like still compute right derivatives inside; only their results have no history.

    >>> from autograd_lite import Value
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.args
    (9.0, ())
    """
    mode = Mode("no_grad", _without_history)
    return mode if function is None else mode(function)


@contextmanager
def _without_history() -> Iterator[None]:
    outer = active_recorder().with_history
    # Inside a derivative, leaves are marked as constant. A derivative that begins later opens `with_history` itself.
    with recording_with(LEAVES if outer is EAGER and constants.get() is None else NoHistory(outer)):
        yield


@contextmanager
def with_history() -> Iterator[None]:
    """While this is open, in this thread, operations are recorded even inside `no_grad`."""
    recorder = active_recorder()
    if recorder.keeps_history:
        yield
    else:
        with recording_with(recorder.with_history):
            yield


def keeps_history() -> bool:
    """Whether the active recorder keeps the history of what it records: False under `no_grad`."""
    return active_recorder().keeps_history


class Mode:
    """A reentrant context manager that is a decorator too. Entering it enters a new `make_context()`."""

    _open: ContextVar[Any] = ContextVar("the context managers open in this thread, the innermost first", default=None)

    def __init__(self, name: str, make_context: Callable[[], AbstractContextManager[None]]) -> None:
        self.name, self.make_context = name, make_context

    def __enter__(self) -> None:
        manager = self.make_context()
        manager.__enter__()
        self._open.set((manager, self._open.get()))

    def __exit__(self, *error: object) -> None:
        if self._open.get() is None:
            raise RuntimeError(f"{self.name} ends in another task or thread than it began in: open it where it ends")
        manager, around = self._open.get()
        self._open.set(around)
        manager.__exit__(None, None, None)

    def __call__(self, function: F) -> F:
        """A function that runs `function` inside this mode.

        A TypeError if `function` is a generator or a coroutine: other code runs while it pauses.
        """
        if not callable(function):
            raise TypeError(f"{self.name} decorates a function, got {type(function).__name__}")
        for code in (function, getattr(function, "__call__", None)):  # noqa: B004 - the method, if this is an object
            if isgeneratorfunction(code) or iscoroutinefunction(code) or isasyncgenfunction(code):
                name = getattr(function, "__name__", type(function).__name__)
                raise TypeError(f"{self.name} cannot decorate {name}, which pauses: open it inside, in a `with`")

        @wraps(function)
        def within(*args: Any, **options: Any) -> Any:
            with self:
                return function(*args, **options)

        return cast(F, within)
