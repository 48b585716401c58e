"""Notes on nodes: the scope and the line of code that recorded them. A node without notes is a plain Value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from autograd_lite.primitives import Primitive
from autograd_lite.recording import Mode, Wrapper, recording_with
from autograd_lite.value import Recorder, Value, active_recorder, node_of


class Annotated(Value):
    """A Value with notes: `scope`, the path of the scopes it was recorded in, and `site`, the line of code.

    An attribute that was not noted is not set.
    """

    __slots__ = ("scope", "site")
    _notes = ("scope", "site")
    scope: str
    site: Any


def annotated(z: Value, op: Primitive, **notes: Any) -> Value:
    """`z`, the result of `op`, with `notes`, if it is a new node of `op` and no Symbol; else `z` as it is.

    Nothing may use `z` yet: the result is a copy of it if it is a plain Value.
    """
    if z.op is not op or type(z) not in (Value, Annotated):
        return z
    if type(z) is Value:
        z = node_of(z.op, z.args, z.data, Annotated)
    for name, note in notes.items():
        setattr(z, name, note)
    return z


def scope(name: str) -> Mode:
    """Group operations under `name` in pictures: `with scope("attention"):`, or a decorator of a function.

    Scopes nest: inside `with scope("block"):` the group above is called `block.attention`. While no scope is open,
    nothing is slower. A TypeError if `name` is not a string, a ValueError if it is empty or has a dot or a slash.

    >>> x = Value(0.5)
    >>> with scope("swish"):
    ...     y = x * x.sigmoid()
    >>> print(y.scope)
    swish
    """
    if not isinstance(name, str):
        raise TypeError(f"scope takes a name, got {type(name).__name__}")
    if not name.strip() or "." in name or "/" in name:
        raise ValueError(f"scope takes a name without dots and slashes, got {name!r}")
    return Mode("scope", partial(_opened, name))


@contextmanager
def _opened(name: str) -> Iterator[None]:
    with recording_with(_Scope(name, active_recorder())):
        yield


class _Scope(Wrapper):
    """A recorder that notes the path of the open scopes on every node that `outer` records."""

    def __init__(self, name: str, outer: Recorder) -> None:
        super().__init__(outer, outer.keeps_history)
        self.path = f"{around}.{name}" if (around := _path_of(outer)) else name

    @property
    def with_history(self) -> Recorder:
        """The recorder that is active without `no_grad`: this one, if `outer` keeps the history."""
        return self if self.keeps_history else self.outer.with_history

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        """The node of `op` on `args`, with its scope. The results of a trace and leaves get no note."""
        return annotated(self.outer.record(op, args), op, scope=self.path)


def _path_of(recorder: Recorder) -> str:
    """The path of the innermost scope that is open in `recorder`, or ""."""
    while isinstance(recorder, Wrapper):
        if isinstance(recorder, _Scope):
            return recorder.path
        recorder = recorder.outer
    return ""
