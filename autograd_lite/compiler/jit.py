"""`jit`: plain scalar code, run as a compiled program, one node in the graph around it."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import update_wrapper
from importlib import import_module
from itertools import islice
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn, TypeVar, overload
from weakref import ref

from autograd_lite.compiler.arguments import INTEGERS, batch, flatten, floats, is_number, joined, without_arrays
from autograd_lite.compiler.backends import find_backends
from autograd_lite.compiler.compiled import Compiled
from autograd_lite.compiler.executors.straightline import source
from autograd_lite.compiler.program import Program
from autograd_lite.ieee import to_float
from autograd_lite.primitives import Primitive
from autograd_lite.recording import keeps_history
from autograd_lite.trees import Tree, tree_map
from autograd_lite.value import Value, active_recorder, constant, node_of, opened

T = TypeVar("T")


@overload
def jit(f: Callable[..., Any], *, backend: Any = "auto", threads: int = 1) -> Jitted: ...
@overload
def jit(*, backend: Any = "auto", threads: int = 1) -> Callable[[Callable[..., Any]], Jitted]: ...
def jit(f: Callable[..., Any] | None = None, *, backend: Any = "auto", threads: int = 1) -> Any:
    """`f`, compiled: a function of numbers, Values, and nested lists, tuples and dicts of them, that gives the same.

        @jit
        def loss(x, y):
            return (model(x) - y) ** 2

        loss.mean(X, Y).backward()

    The code of `f` runs once for each structure of its arguments, on Values without numbers. Other Values that it
    reaches are captured: they are read at each call, and gradients flow on to them. What else it reaches is part of
    the program for good, and so is a captured Value's `.data` where the code asks for it.

    A result is one node with compiled partials: an infinite gradient that comes back to it times a partial of 0 is nan,
    also where a relu or a where inside would let nothing through.

    `backend` is "native", "numpy" or "python"; "auto" takes the first of them that is there; a module such as jax.numpy
    or torch runs the program on its arrays. The native one shares the rows of a large batch among as many `threads` as
    are asked for; the last digits of a sum then depend on how many.
    """
    if f is None:
        return lambda f: Jitted(f, backend, threads)
    return Jitted(f, backend, threads)


class _Cache(dict[Hashable, Compiled]):
    """What was compiled, by the structure of the arguments; and what of it was asked for last."""

    latest: Compiled | None = None


class Jitted:
    """A function that runs as a compiled program. `jit` makes it."""

    def __init__(self, f: Callable[..., Any], backend: Any, threads: int = 1) -> None:
        if not callable(f):
            raise TypeError(f"jit takes a function, got {type(f).__name__}")
        self._f, self._options = f, (backend, threads)
        self.backends = find_backends(backend, threads)
        self._compiled = _Cache()
        self._owners: dict[int, tuple[ref[Any], _Cache]] = {}  # of which this is a method, by id
        update_wrapper(self, f, updated=())  # what else `f` has is not this one's

    def __reduce__(self) -> Any:
        """A name, if this is what its module has under it; or else what it was made from, to be compiled anew."""
        name = getattr(self, "__qualname__", "")
        with suppress(AttributeError, KeyError):
            if attrgetter(name)(sys.modules[self.__module__]) is self:
                return name
        backend, threads = self._options
        if isinstance(backend, str):
            return Jitted, (self._f, backend, threads)
        return _jitted_on, (backend.__name__, self._f, threads)

    def __get__(self, owner: Any, kind: type | None = None) -> Jitted:
        """As a method of `owner`: with what was compiled for that, which goes when it goes.

        Where no weak reference to `owner` can be made, it is compiled anew each time that it is asked for.
        """
        if owner is None or not hasattr(self._f, "__get__"):
            return self
        method, bound = self._f.__get__(owner, kind), object.__new__(Jitted)
        vars(bound).update(vars(self), _f=method, _compiled=self._cache_of(owner), _owners={}, __wrapped__=method)
        return bound

    def _cache_of(self, owner: Any) -> _Cache:
        owners, key = self._owners, id(owner)
        if key in owners and owners[key][0]() is owner:
            return owners[key][1]
        cache = _Cache()
        with suppress(TypeError):
            owners[key] = ref(owner, lambda _: owners.pop(key, None)), cache
        return cache

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives; a Value in it is one node, made from the captured Values and the arguments."""
        if active_recorder().inlines:
            return self._f(*args, **kwargs)
        numbers: list[Any] = []
        structure = flatten((args, kwargs), numbers)
        compiled = self.compiled((args, kwargs), structure)
        given = (*compiled.captured, *[to_float(x, "jit") if type(x) in INTEGERS else x for x in numbers])
        try:
            return compiled.result([_checked(op, given, op(*given)) for op in compiled.ops])
        except FloatingPointError as error:
            self._find(error, [(args, kwargs)])

    def map(self, *columns: Any) -> list[Any]:
        """`f` of each row: a list of what it gives. A column is an array, or a list with one item per row."""
        rows = batch(columns, "map", kind=self._array_type)
        if rows.numbers is None or active_recorder().inlines:
            return [self(*row) for row in zip(*columns, strict=True)]
        compiled = self.compiled(rows.row, rows.structure)
        results, _ = compiled.forward(rows.n, rows.numbers, array("d", [x.data for x in compiled.captured]))
        found, inputs = iter(floats(results)), iter(floats(joined(rows.n, rows.numbers)))
        each: list[Any] = []
        needs_args = keeps_history() or active_recorder().watches
        try:
            for _ in range(rows.n):
                given = (*compiled.captured, *islice(inputs, compiled.width)) if needs_args else ()
                each.append(compiled.result([_node(op, given, next(found)) for op in compiled.ops]))
        except FloatingPointError as error:
            self._find(error, [(tuple([column[len(each)] for column in columns]), {})])
        return each

    def mean(self, *columns: Any) -> Any:
        """The mean of `f` over the rows, as one node made from the captured Values."""
        rows = batch(columns, "mean", keep=keeps_history(), kind=self._array_type)
        if rows.numbers is None or active_recorder().inlines:
            each = [self(*row) for row in zip(*columns, strict=True)]
            return sum(each) / len(each)
        compiled = self.compiled(rows.row, rows.structure)
        mean, given = compiled.mean(rows), tuple(compiled.captured)
        try:
            return _checked(mean, given, mean(*given))
        except FloatingPointError as error:
            self._find(error, [(row, {}) for row in zip(*columns, strict=True)])

    def _find(self, error: FloatingPointError, calls: list[Any]) -> NoReturn:
        """Raise what the watch that raised `error` says of the lines inside: run on Values, as they were written."""
        for call in calls if active_recorder().watches else []:
            args, kwargs = tree_map(_value, without_arrays(call))
            self._f(*args, **kwargs)
        raise error

    def compiled(self, tree: Tree, structure: Hashable) -> Compiled:
        """The function compiled for arguments of the `structure` of `tree`, which is (args, kwargs)."""
        found = self._compiled.get(structure)
        if found is None:
            found = self._compiled[structure] = Compiled(self._f, without_arrays(tree), self.backends)
        self._compiled.latest = found
        return found

    @property
    def _array_type(self) -> Any:
        """The type of the arrays that the backend computes with, if it is an array module."""
        return getattr(self.backends[0].options.get("xp"), "ndarray", None)

    @property
    def backend(self) -> str:
        """The name of the executor in use."""
        latest = self._compiled.latest
        return self.backends[0].name if latest is None else latest.backend

    @property
    def program(self) -> Program:
        """The function and its gradient, added up over the rows, for arguments like the last ones."""
        return self._called().total_program

    @property
    def source(self) -> str:
        """`program` as Python."""
        compiled = self._called()
        return source(compiled.total_program, *compiled.names)

    def export(
        self,
        path: str | PathLike[str],
        *example: Any,
        gradient: bool = True,
        hvp: bool = False,
        captured: str = "constants",
        precision: str | None = None,
    ) -> Path:
        """Write the function to a source file without dependencies, in the language of the suffix; return its path.

        `.c` (C99, no allocation), `.py` and `.js` (a script for a web page, a module in Node) hold the functions

            f(x, ...)              the value, or the values
            f_gradient(x, ...)     and the derivatives by every argument; f_jacobian, row after row, of several values
            f_hvp(x, ..., v, ...)  the Hessian times the direction v, if `hvp`

        and a self-test, which compares them with the numbers that this package computed. An argument that is a list, or
        a deeper structure, is one flat array there. `.onnx` (extra `onnx`) is a model whose inputs are the arguments
        and whose outputs are the values and, if `gradient`, their derivatives, each as one row per example.

        `example` are arguments for a call, whose structure is exported and whose numbers are those of the self-test;
        without it, those of the call that was compiled last. Captured Values are constants of the file, with the
        numbers that they have now and the names of their labels; with `captured="arguments"` they are arguments, and
        there are derivatives by them, too. `precision` is "double" or "float", 64 or 32 bits; by default C has double
        and ONNX float, for which every operation of ONNX is implemented.

        A ValueError for another suffix and for a primitive that the language lacks, an OSError if the file cannot be
        written. There is never half a file: it is written beside `path`, then renamed.
        """
        from autograd_lite.compiler.export import export

        tree = (example, {}) if example else self._called().example
        return export(self._f, tree, path, gradient=gradient, hvp=hvp, captured=captured, precision=precision)

    def _called(self) -> Compiled:
        if self._compiled.latest is None:
            raise RuntimeError("not compiled yet: call the function once, to show what its arguments are like")
        return self._compiled.latest


def _jitted_on(module: str, f: Callable[..., Any], threads: int) -> Jitted:
    """`f` jitted, with the array module of that name as its backend."""
    return Jitted(f, import_module(module), threads)


def _value(x: Any) -> Any:
    return Value(x) if is_number(x) and not isinstance(x, Value) else x


def _node(op: Primitive, args: tuple[Any, ...], number: float) -> Value:
    """The Value of `op` on `args`, of which the number is known."""
    if keeps_history():
        return _checked(op, args, node_of(op, args, number))
    return constant(_checked(op, args, Value(number)))


def _checked(op: Primitive, args: tuple[Any, ...], z: T) -> T:
    """Let the active recorder check `z`, the result of `op` on `args`, and return it."""
    if opened:
        active_recorder().check(op, args, z)
    return z
