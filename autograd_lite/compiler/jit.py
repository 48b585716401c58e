"""`jit`: plain scalar code, run as a compiled program. In the graph around it, a call is one node for each result."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import update_wrapper
from importlib import import_module
from itertools import islice
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeAlias, TypeVar, overload
from warnings import warn_explicit
from weakref import ref

from autograd_lite.calculus import Transformable
from autograd_lite.compiler.arguments import INTEGERS, Batch, batch, flatten, floats, is_number, joined
from autograd_lite.compiler.backends import find_backends
from autograd_lite.compiler.compiled import Compiled, checked
from autograd_lite.compiler.errors import CompileError
from autograd_lite.compiler.executors.straightline import source
from autograd_lite.compiler.pipeline import Pipeline
from autograd_lite.compiler.program import Program
from autograd_lite.debugging.callsite import call_site
from autograd_lite.ieee import to_float
from autograd_lite.recording import keeps_history
from autograd_lite.signatures import Unannotated
from autograd_lite.trees import Tree, arrays_to_lists, has_numpy_array, note_about_lists, tree_map
from autograd_lite.value import EAGER, Value, active_recorder, copy_fields, node_of, opened

if TYPE_CHECKING:
    from autograd_lite.signatures import (
        Gradient,
        Hessian,
        Jacobian,
        JittedGradient,
        JittedHessian,
        JittedJacobian,
        JittedValueAndGradient,
        ValueAndGradient,
    )

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
N = TypeVar("N", bound=float)
Entry: TypeAlias = Callable[[tuple[Any, ...]], Any]
UNROLLED = 100_000  # a trace with more operations gets a warning


@overload
def jit(f: Gradient[T, R, P], *, backend: Any = "auto", threads: int = 1) -> JittedGradient[T, R, P]: ...
@overload
def jit(
    f: ValueAndGradient[T, R, P], *, backend: Any = "auto", threads: int = 1
) -> JittedValueAndGradient[T, R, P]: ...
@overload
def jit(f: Hessian[T, R, P], *, backend: Any = "auto", threads: int = 1) -> JittedHessian[T, R, P]: ...
@overload
def jit(f: Jacobian[T, R, P], *, backend: Any = "auto", threads: int = 1) -> JittedJacobian[T, R, P]: ...
@overload
def jit(f: Callable[P, R], *, backend: Any = "auto", threads: int = 1) -> Jitted[P, R]: ...
@overload
def jit(*, backend: Any = "auto", threads: int = 1) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...
def jit(f: Callable[..., Any] | None = None, *, backend: Any = "auto", threads: int = 1) -> Any:
    """`f` compiled: it takes numbers, Values, and lists, tuples, dicts and arrays of them, and returns what f returns.

        @jit
        def loss(x, y):
            return (model(x) - y) ** 2

        loss.mean(X, Y).backward()

    The code of `f` runs once for each structure of its arguments, on Values that have no number. Other Values that it
    uses are captured: their numbers are read at each call, and gradients flow to them. Everything else that it uses
    becomes a constant of the program, the `.data` of a captured Value included.

    A call on plain numbers runs the program once and makes no nodes; if there is a NumPy array among the arguments,
    lists in the result come as arrays. Where `f` captures Values, or is called with Values, each Value in the result is
    one node with compiled derivatives, and the nodes of a call share one run of the program. In such a node, an
    infinite gradient that comes back to it times a partial of 0 is nan, also where a relu or a where inside would have
    dropped it.

    `grad`, `value_and_grad`, `jacobian`, `hessian`, `jvp`, `vjp` and `hvp` of a jitted function are compiled, too.

    `backend` is "native", "numpy" or "python"; "auto" is the first of them that is installed and has all primitives of
    the program; an array module such as jax.numpy or torch runs the program on its arrays. With the native backend,
    `threads` threads share the rows of a large batch; the last digits of a sum then depend on how many there are.

    A comparison of traced Values, such as `x < 3.0`, is the number 1.0 or 0.0: a condition for `where`, `cond` and
    `while_loop`, which `&` and `|` combine. In `if`, `and`, `or`, `not`, `max` and `sorted`, which need a Python bool,
    it raises a TraceError.

    A TraceError if `f` needs the number of a traced Value; a UserWarning if its trace has more than 100,000 operations,
    as unrolled loops give.

    >>> f = jit(lambda x: [x[0] * x[1], x[0] + x[1]])
    >>> f([2.0, 3.0])
    [6.0, 5.0]
    """
    if f is None:
        return lambda f: Jitted(f, backend, threads)
    return Jitted(f, backend, threads)


class _Cache(dict[Hashable, Compiled]):
    """The compiled functions by the structure of their arguments; and the caches of derived functions."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: Compiled | None = None
        self.entry: Entry = _no_entry  # the fast path for a call like the latest one
        self.entries: dict[
            Hashable, tuple[bool, Entry]
        ] = {}  # and for others; whether NumPy was there when it was made
        self.derived: dict[Hashable, _Cache] = {}


def _no_entry(args: tuple[Any, ...]) -> Any:
    """The fast path of a function that has none."""
    return NotImplemented


class Jitted(Transformable, Generic[P, R]):
    """A function that runs as a compiled program. `jit` makes it."""

    __wrapped__: Callable[P, R]

    def __init__(self, f: Callable[P, R], backend: Any, threads: int = 1) -> None:
        if not callable(f):
            raise TypeError(f"jit takes a function, got {type(f).__name__}")
        self._f, self._options = f, (backend, threads)
        self.backends = find_backends(backend, threads)
        self._compiled = _Cache()
        self._derived: dict[Hashable, Jitted[..., Any]] = {}
        self._is_derived = False
        self._owners: dict[int, tuple[ref[Any], _Cache]] = {}  # the objects whose method this is, by id
        update_wrapper(self, f, updated=())  # without the attributes of `f`

    def __reduce__(self) -> Any:
        """Pickle the name, if the module has this object by that name; else the function, to be compiled again."""
        name = getattr(self, "__qualname__", "")
        with suppress(AttributeError, KeyError):
            if attrgetter(name)(sys.modules[self.__module__]) is self:
                return name
        backend, threads = self._options
        if isinstance(backend, str):
            return Jitted, (self._f, backend, threads)
        return _jitted_on, (backend.__name__, self._f, threads)

    def __repr__(self) -> str:
        return f"jit({getattr(self, '__qualname__', self._f)})"

    def __get__(self, owner: Any, kind: type | None = None) -> Jitted[..., Any]:
        """This as a method of `owner`, with the programs compiled for `owner`, which are dropped together with it.

        If no weak reference to `owner` can be made, the method is compiled anew each time it is looked up.
        """
        if owner is None or not hasattr(self._f, "__get__"):
            return self
        return self._like(self._f.__get__(owner, kind), self._cache_of(owner), bound=True)

    def _like(self, f: Callable[..., Any], cache: _Cache, bound: bool) -> Jitted[..., Any]:
        """A jitted function of `f` with the same options, and its programs in `cache`."""
        made: Jitted[..., Any] = object.__new__(Jitted)
        vars(made).update(vars(self), _f=f, _compiled=cache, _derived={}, _owners={}, __wrapped__=f)
        if not bound:
            made._is_derived = True
            update_wrapper(made, f, updated=())
        return made

    def _cache_of(self, owner: Any) -> _Cache:
        owners, key = self._owners, id(owner)
        if key in owners and owners[key][0]() is owner:
            return owners[key][1]
        cache = _Cache()
        with suppress(TypeError):
            owners[key] = ref(owner, lambda _: owners.pop(key, None)), cache
        return cache

    def transformed(self, key: Hashable, transform: Callable[[Callable[..., Any]], Any]) -> Jitted[..., Any]:
        """The jitted function of `transform(f)`. Its programs are kept under `key`, and used again."""
        made = self._derived.get(key)
        if made is None:
            cache = self._compiled.derived.setdefault(key, _Cache())
            made = self._derived[key] = self._like(transform(self._f), cache, bound=False)
        return made

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result: numbers for numbers; Values, one node each, for Values or if it captures some."""
        if not opened and not kwargs:
            found: Any = self._compiled.entry(args)
            if found is not NotImplemented:
                return found  # type: ignore[no-any-return]
        return self._call(args, kwargs)  # type: ignore[no-any-return]

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that the fast path does not handle."""
        recorder = active_recorder()
        # A program of derivatives does not show a nan in the function itself, which anomaly detection looks for.
        if recorder.inlines or (recorder.watches and self._is_derived):
            return self._f(*args, **kwargs)
        numbers: list[Any] = []
        structure = flatten((args, kwargs), numbers)
        compiled = self.compiled((args, kwargs), structure)
        kinds = set(map(type, numbers))
        if not kinds.isdisjoint(INTEGERS):
            numbers = [to_float(x, "jit") if type(x) in INTEGERS else x for x in numbers]
        try:
            if compiled.captured or any(issubclass(kind, Value) for kind in kinds):
                return compiled.result(compiled.call((*compiled.captured, *numbers)))
            if opened:
                results = array("d", compiled.call(tuple(numbers)))
                return compiled.plain_result(results, has_numpy_array((args, kwargs)))
            if not kwargs:
                found = self._enter(compiled, structure, args)
                if found is not NotImplemented:
                    return found
            results, _ = compiled.forward(1, array("d", numbers), array("d"))
            return compiled.plain_result(results, has_numpy_array((args, kwargs)))
        except FloatingPointError as error:
            self._raise_located(error, [(args, kwargs)])

    def _enter(self, compiled: Compiled, structure: Hashable, args: tuple[Any, ...]) -> Any:
        """Make the next calls of this structure fast, and this one if that is possible; else NotImplemented."""
        cache, with_numpy = self._compiled, "numpy" in sys.modules
        known, entry = cache.entries.get(structure, (False, None))
        if entry is None or known is not with_numpy:
            entry = compiled.make_entry(arrays_to_lists(args)) or _no_entry
            cache.entries[structure] = with_numpy, entry
        cache.entry = entry
        return entry(args)

    @overload
    def map(self: Jitted[P, Unannotated], *columns: Any) -> Any: ...
    @overload
    def map(self: Jitted[P, float], *columns: list[N] | list[list[N]]) -> list[float]: ...
    @overload
    def map(self: Jitted[P, list[float]], *columns: list[N] | list[list[N]]) -> list[list[float]]: ...
    @overload
    def map(self, *columns: Any) -> Any: ...
    def map(self, *columns: Any) -> Any:
        """`f` of each row. A column is an array, or a list with one item per row.

        A list of what `f` returns for each row; but if all columns are NumPy arrays and no Value is captured, what `f`
        returns with an array of one axis more, for the rows, in the place of each number and each list of numbers.

        >>> jit(lambda x, y: x * y).map([1.0, 2.0], [3.0, 4.0])
        [3.0, 8.0]
        """
        rows = batch(columns, "map", array_type=self._array_type)
        if rows.numbers is None or active_recorder().inlines:
            return [self._call(row, {}) for row in zip(*columns, strict=True)]
        compiled = self.compiled(rows.row, rows.structure, columns)
        plain = not compiled.captured and not (opened and active_recorder().watches)
        if plain and compiled.sparse is None and all(map(has_numpy_array, columns)):
            return compiled.stacked_results(rows.n, rows.numbers)
        results, _ = compiled.forward(rows.n, rows.numbers, _numbers_of(compiled.captured))
        if plain:
            found, k = floats(results), len(compiled.roots)
            return [compiled.plain_result(array("d", found[i * k : i * k + k]), False) for i in range(rows.n)]
        return self._map_nodes(compiled, rows, floats(results), columns)

    def _map_nodes(self, compiled: Compiled, rows: Batch, found: list[float], columns: Any) -> list[Any]:
        """The function's result for each row, with nodes that have the numbers `found`."""
        inputs, k = iter(floats(joined(rows.n, rows.numbers))), len(compiled.roots)
        each: list[Any] = []
        needs_args = keeps_history() or active_recorder().watches
        try:
            for i in range(rows.n):
                given = (*compiled.captured, *islice(inputs, compiled.width)) if needs_args else ()
                each.append(compiled.result(compiled.nodes(given, found[i * k : i * k + k])))
        except FloatingPointError as error:
            self._raise_located(error, [(tuple([column[len(each)] for column in columns]), {})])
        return each

    @overload
    def mean(self: Jitted[P, Unannotated], *columns: Any) -> Any: ...
    @overload
    def mean(self: Jitted[P, float], *columns: list[N] | list[list[N]]) -> float: ...
    @overload
    def mean(self, *columns: Any) -> Any: ...
    def mean(self, *columns: Any) -> Any:
        """The mean of `f` over the rows: one node made from the captured Values, or a float if there are none.

        If there are Values in the rows, it is made from one node for each row.

        >>> w = Value(2.0)
        >>> mean = jit(lambda x: w * x).mean([1.0, 3.0])
        >>> mean.backward()
        >>> mean.data, w.grad
        (4.0, 2.0)
        """
        rows = batch(columns, "mean", keep=keeps_history(), array_type=self._array_type)
        recorder = active_recorder()
        if rows.numbers is None or recorder.inlines:
            each = [self._call(row, {}) for row in zip(*columns, strict=True)]
            return sum(each) / len(each)
        compiled = self.compiled(rows.row, rows.structure, columns)
        mean, given = compiled.mean(rows), tuple(compiled.captured)
        op = mean.operation()
        if recorder is EAGER and given:
            return node_of(op, given, mean.number(_numbers_of(given)))
        try:
            return checked(op, given, op(*given))
        except FloatingPointError as error:
            self._raise_located(error, [(row, {}) for row in zip(*columns, strict=True)])

    def _raise_located(self, error: FloatingPointError, calls: list[Any]) -> NoReturn:
        """Run the calls eagerly, so that the recorder that raised `error` names the line; else raise `error`."""
        for call in calls if active_recorder().watches else []:
            args, kwargs = tree_map(_value, arrays_to_lists(call))
            self._f(*args, **kwargs)  # pyright: ignore[reportCallIssue]
        raise error

    def compiled(self, tree: Tree, structure: Hashable, columns: Tree = ()) -> Compiled:
        """The function compiled for arguments of the `structure` of `tree`, which is (args, kwargs).

        `columns` are what the caller gave in place of `tree`, a row of them. If `f` fails because it treats a list as
        the array that the caller gave, the error has a note about it.
        """
        found = self._compiled.get(structure)
        if found is None:
            try:
                found = Compiled(self._f, arrays_to_lists(tree), self.backends)
            except (AttributeError, TypeError) as error:
                if not isinstance(error, CompileError) and has_numpy_array((tree, columns)):
                    note_about_lists(error, "jit")
                raise
            if found.operations > UNROLLED:
                warn_explicit(
                    f"jit: {found.name} was unrolled into {found.operations:,} operations, which take long to compile: "
                    "write its long loops with fori_loop or scan",
                    UserWarning,
                    *call_site(),
                )
            self._compiled[structure] = found
        if found is not self._compiled.latest:
            self._compiled.latest, self._compiled.entry = found, _no_entry
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
    def program(self) -> Program | Pipeline:
        """The program of the function and its gradient, added up over the rows, for arguments like the latest ones."""
        return self._called().total_program

    @property
    def source(self) -> str:
        """`program` as Python source."""
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

        `example` are arguments for a call, whose structure is exported and whose numbers the self-test uses; by default
        the arguments of the call that was compiled last. Captured Values are constants of the file, with the
        numbers that they have now and the names of their labels; with `captured="arguments"` they are arguments, and
        there are derivatives by them, too. `precision` is "double" or "float", 64 or 32 bits; by default C has double
        and ONNX float, for which every operation of ONNX is implemented.

        `scan`, `fori_loop` and `while_loop` are loops of the file, and so are the loops of their derivatives, with the
        states that those need in arrays of fixed size (in C static, where they are large); `checkpoint=` makes them
        smaller. An `.onnx` model has no loops: a ValueError.

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


def _jitted_on(module: str, f: Callable[..., Any], threads: int) -> Jitted[..., Any]:
    """`f` jitted, with the array module of that name as its backend."""
    return Jitted(f, import_module(module), threads)


def _numbers_of(captured: Sequence[Value]) -> array[float]:
    """The numbers of `captured` now."""
    numbers = array("d", bytes(8 * len(captured)))
    copy_fields(captured, "data", numbers, False)
    return numbers


def _value(x: Any) -> Any:
    return Value(x) if is_number(x) and not isinstance(x, Value) else x
