"""Choosing an executor: which ones exist, and which can run here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_lite.compiler.pipeline import LoopPlan, Pipeline
from autograd_lite.compiler.program import Program

if TYPE_CHECKING:
    from autograd_lite.compiler.executors import Executor, Run, RunLoop, Write

# The backends, fastest first: the module in `executors`, and the module that must be importable.
# fmt: off
MODULES = {"native": "kernel", "numpy": "arrays", "python": "straightline"}
NEEDS = {"native": "autograd_lite.compiler._kernel", "numpy": "numpy", "python": "sys"}
# fmt: on


class Backend(NamedTuple):
    """An executor under its public name, with the options that it gets beside the program."""

    name: str
    options: dict[str, Any]

    def executor(self, program: Program | Pipeline) -> Run:
        """`run(n, rows, captured) -> (results, sums)`: see `Executor`."""
        if isinstance(program, Pipeline):
            return program.executor(self)
        module: Executor = self._module
        return module.executor(program, **self.options)

    def writer(self, program: Program | Pipeline) -> Write:
        """`write(n, rows, captured, results, sums)`: see `Executor`."""
        if isinstance(program, Pipeline):
            return program.writer(self)
        module: Executor = self._module
        return module.writer(program, **self.options)

    def entry(self, program: Program | Pipeline, *template: Any) -> Any:
        """The kernel's fast path for a call on plain numbers (see `executors.kernel.entry`); None on other backends."""
        if self.name != "native":
            return None
        if isinstance(program, Pipeline):
            return self._module.pipeline_entry(program, self.executor, *template, **self.options)
        return self._module.entry(program, *template, **self.options)

    def looper(self, plan: LoopPlan) -> RunLoop:
        """`loop(n, arguments, tables) -> (results, others)`: see `Executor`."""
        module: Executor = self._module
        return module.looper(plan, self.executor, **self.options)

    @property
    def _module(self) -> Any:
        """The module of the executor; a name that is not in MODULES is that of an array module."""
        return import_module(f"autograd_lite.compiler.executors.{MODULES.get(self.name, 'arrays')}")


def find_backends(backend: Any, threads: int = 1) -> list[Backend]:
    """Resolve `backend`: a name, an array module, or "auto" (all that are installed, fastest first).

    A ValueError for an unknown name, an ImportError if the backend is not installed, a TypeError for other objects.
    """
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
