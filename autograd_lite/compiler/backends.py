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
    options: dict[str, Any]  # of its executor, beside the program

    def executor(self, program: Program) -> Callable[..., Any]:
        """`run(n, rows, captured) -> (results, sums)`: see `autograd_lite.compiler`."""
        run: Callable[..., Any] = self._module.executor(program, **self.options)
        return run

    def writer(self, program: Program) -> Callable[..., None]:
        """`write(n, rows, captured, results, sums)`: see `autograd_lite.compiler`."""
        write: Callable[..., None] = self._module.writer(program, **self.options)
        return write

    @property
    def _module(self) -> Any:
        """Where the executor is: an array namespace is run by that for NumPy."""
        return import_module(f"autograd_lite.compiler.{self.name if self.name in NEEDS else 'numpy'}")


def find_backends(backend: Any, threads: int = 1) -> list[Backend]:
    """The one that is meant: a name, or a namespace of arrays. For "auto", those that are installed, fastest first."""
    if not isinstance(threads, int):
        raise TypeError(f"threads is a whole number, 1 to 256, got {threads!r}: write an int")
    if not 1 <= threads <= 256:
        raise ValueError(f"threads: 1 to 256, got {threads}")
    if not isinstance(backend, str):
        if not hasattr(backend, "matmul"):
            raise TypeError(f"backend is a name or an array module such as jax.numpy, got {type(backend).__name__}")
        return [Backend(backend.__name__, {"xp": backend})]
    installed = {name: find_spec(needed) is not None for name, needed in NEEDS.items()}
    if backend != "auto" and backend not in installed:
        raise ValueError(f"there is no backend {backend!r}: it is auto, {', '.join(installed)}, or an array module")
    if not installed.get(backend, True):
        raise ImportError(f"the backend {backend!r} is not installed: {NEEDS[backend]} cannot be imported")
    names = [name for name in installed if installed[name]] if backend == "auto" else [backend]
    return [Backend(name, {"threads": threads} if name == "native" else {}) for name in names]
