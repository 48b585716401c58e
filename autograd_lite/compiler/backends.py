"""Which executors there are, and which of them can run here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from autograd_lite.compiler.program import Program

# What each needs to be importable, the fastest first.
NEEDS = {"native": "autograd_lite.compiler._kernel", "numpy": "numpy", "python": "sys"}


class Backend(NamedTuple):
    """An executor and what it is called."""

    name: str
    executor: Callable[[Program], Callable[..., Any]]


def find_backends(backend: Any) -> list[Backend]:
    """The one that is meant: a name, or a namespace of arrays. For "auto", those that are installed, fastest first."""
    if not isinstance(backend, str):
        if not hasattr(backend, "matmul"):
            raise TypeError(f"backend is a name or an array module such as jax.numpy, got {type(backend).__name__}")
        return [Backend(backend.__name__, lambda program: _module("numpy").executor(program, backend))]
    installed = {name: find_spec(needed) is not None for name, needed in NEEDS.items()}
    if backend != "auto" and backend not in installed:
        raise ValueError(f"there is no backend {backend!r}: it is auto, {', '.join(installed)}, or an array module")
    if not installed.get(backend, True):
        raise ImportError(f"the backend {backend!r} is not installed: {NEEDS[backend]} cannot be imported")
    names = [name for name in installed if installed[name]] if backend == "auto" else [backend]
    return [Backend(name, _lazily(name)) for name in names]


def _lazily(name: str) -> Callable[[Program], Any]:
    return lambda program: _module(name).executor(program)


def _module(name: str) -> Any:
    return import_module(f"autograd_lite.compiler.{name}")
