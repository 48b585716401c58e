"""A function compiled for one structure of its arguments: its graph, the programs made of it, and its derivatives."""

from __future__ import annotations

import gc
import inspect
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import islice
from math import prod
from numbers import Real
from typing import Any, TypeVar

from autograd_lite.calculus import jacobian_of, pull_back, push_forward
from autograd_lite.compiler.arguments import Batch, floats, is_number, joined
from autograd_lite.compiler.backends import Backend
from autograd_lite.compiler.pipeline import Pipeline, planned
from autograd_lite.compiler.program import Program, UnknownPrimitiveError
from autograd_lite.compiler.simplify import leaves_by_use, simplify
from autograd_lite.compiler.trace import Symbol, Trace, TraceError, order_of
from autograd_lite.primitives import Primitive, Result, sum_
from autograd_lite.recording import keeps_history, recording_with
from autograd_lite.sparsity import Sparse
from autograd_lite.trees import Tree, container_like, lists_to_arrays, tree_leaves, tree_map, tree_paths
from autograd_lite.value import EAGER, LEAVES, Value, active_recorder, constant, leaves_of, node_of, numbers_of, opened

T = TypeVar("T")
Run = Callable[..., Any]  # see `Executor`
SWEPT = 2  # how many sets of results (arguments) get a reverse (forward) sweep of their own; others use the Jacobian


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector, which would walk the growing graph again and again: there are no cycles in it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Graph:
    """A graph of Symbols as a function: `roots`, from the numbers of `captured` and of the inputs.

    `roots` are Symbols, or floats where a result is constant. `captured_symbols` stand for `captured` in the graph.
    """

    def __init__(
        self,
        name: str,
        backends: list[Backend],
        trace: Trace,
        inputs: list[Symbol],
        captured: dict[Symbol, Value],
        roots: list[Any],
    ) -> None:
        self.name, self.backends, self.roots = name, backends, roots
        self.title = f"jit({name})"  # of the operation that a call records
        self.backend = backends[0].name
        self._trace, self._inputs = trace, inputs
        self.captured_symbols, self.captured = list(captured), list(captured.values())
        self._places: list[list[tuple[int, int]]] = []
        self._pulled: dict[tuple[int, ...], Graph] = {}
        self._pushed: dict[tuple[int, ...], Graph] = {}
        self.wants_gradient = False  # whether a gradient of a mean was asked for

    @property
    def width(self) -> int:
        """The number of numbers in the arguments."""
        return len(self._inputs)

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """Suggested variable names for `captured` and the inputs; `source` makes them valid and unique."""
        return [value.label or f"w{n}" for n, value in enumerate(self.captured)], [x.label for x in self._inputs]

    # --- Programs, and functions that run them ------------------------------------------------------------------

    @collector_paused()
    def program(
        self, results: Sequence[Any] = (), sums: Sequence[Any] = (), captured: Sequence[Symbol] | None = None
    ) -> Program | Pipeline:
        """The program that computes the operands `results` for each row, and adds up the operands `sums` over the rows.

        `captured` are the Symbols that a call gets numbers for, by default those that the function captured.
        """
        roots = simplify(self._trace, [*results, *sums])
        captured = self.captured_symbols if captured is None else captured
        return planned(self._trace, roots[: len(results)], roots[len(results) :], self._inputs, captured)

    @cached_property
    def _normal_roots(self) -> list[Any]:
        """`roots` in normal form."""
        return simplify(self._trace, self.roots)

    @collector_paused()
    def _runnable(self, program: Program | Pipeline, kind: str = "executor") -> Run:
        """The function of `kind` that runs `program` on the first backend that has all of its primitives."""
        refused: Exception = RuntimeError("there is no backend")
        for backend in self.backends:
            try:
                run: Run = getattr(backend, kind)(program)
            except UnknownPrimitiveError as error:
                refused = error
                continue
            self.backend = backend.name
            return run
        raise refused

    @cached_property
    def forward_program(self) -> Program | Pipeline:
        """The results for each row."""
        with collector_paused():
            return planned(self._trace, self._normal_roots, [], self._inputs, self.captured_symbols)

    @cached_property
    def forward(self) -> Run:
        """Runs `forward_program`."""
        return self._runnable(self.forward_program)

    @cached_property
    def forward_total(self) -> Run:
        """Runs the function and adds up its results over the rows."""
        return self._runnable(self.program((), self.roots))

    @cached_property
    def total_program(self) -> Program | Pipeline:
        """The function, and its derivative by each of `captured`, added up over the rows."""
        gradient = self.gradient[: len(self.captured)] if len(self.roots) == 1 else []
        return self.program((), [*self.roots, *gradient])

    @cached_property
    def total(self) -> Run:
        """Runs `total_program`."""
        return self._runnable(self.total_program)

    @cached_property
    def constants(self) -> list[tuple[int, float]]:
        """The index and the number of each result that is constant."""
        return [(n, root) for n, root in enumerate(self.roots) if type(root) is float]

    @cached_property
    def writer(self) -> Run:
        """Runs `forward_program` and writes the results into buffers."""
        return self._runnable(self.forward_program, "writer")

    def numbers(self, given: Sequence[float]) -> list[float]:
        """The results for one row: `given` has the numbers of `captured`, then those of the inputs."""
        at = len(self.captured)
        return floats(self.forward(1, array("d", given[at:]), array("d", given[:at]))[0])

    # --- Derivatives --------------------------------------------------------------------------------------------

    @cached_property
    @collector_paused()
    def gradient(self) -> list[Any]:
        """The derivatives of the one result by `captured` and the inputs."""
        xs = [*self.captured_symbols, *self._inputs]
        with recording_with(self._trace):
            return [self._trace.operand(x) for x in pull_back(self.roots, [1.0], xs)]

    @cached_property
    @collector_paused()
    def derivative(self) -> Graph:
        """The Jacobian of the results by `captured` and the inputs: the entries that are not zero everywhere.

        `_places` then has for each result the pairs of an argument's number and its entry's number. Reverse mode, so
        that `backward` through a call gives the infinities and nans that it gives without `jit`.
        """
        with recording_with(self._trace):
            jacobian = jacobian_of(self.roots, [*self.captured_symbols, *self._inputs], forward=False)
        roots: list[Any] = []
        for begin, end in zip(jacobian.indptr, jacobian.indptr[1:], strict=False):
            row = [(jacobian.indices[n], self._trace.operand(jacobian.values[n])) for n in range(begin, end)]
            row = [(j, x) for j, x in row if type(x) is not float or x != 0.0]
            self._places.append([(j, len(roots) + n) for n, (j, _) in enumerate(row)])
            roots += [x for _, x in row]
        captured = dict(zip(self.captured_symbols, self.captured, strict=True))
        return Graph(f"grad({self.name})", self.backends, self._trace, self._inputs, captured, roots)

    def partials(self, n: int, found: Sequence[Any]) -> tuple[Any, ...]:
        """The derivatives of result `n`, from `found`, the results of `derivative`; None where it is 0 everywhere."""
        row: list[Any] = [None] * (len(self.captured) + self.width)
        for place, entry in self._places[n]:
            row[place] = found[entry]
        return tuple(row)

    def pulled(self, results: tuple[int, ...]) -> Graph | None:
        """The cotangents of `captured` and the inputs, from cotangents of `results`, which are inputs after the others.

        None if it was compiled for SWEPT other sets of results: then the Jacobian serves all others.
        """
        xs = [*self.captured_symbols, *self._inputs]
        return self._swept(self._pulled, results, lambda gs: pull_back([self.roots[n] for n in results], gs, xs))

    def pushed(self, places: tuple[int, ...]) -> Graph | None:
        """The tangents of the results, from tangents of the arguments `places`, which are inputs after the others.

        None if it was compiled for SWEPT other sets of arguments: then the Jacobian serves all others.
        """
        xs = [*self.captured_symbols, *self._inputs]
        return self._swept(self._pushed, places, lambda ts: push_forward(self.roots, [xs[n] for n in places], ts))

    @collector_paused()
    def _swept(
        self, known: dict[tuple[int, ...], Graph], places: tuple[int, ...], sweep: Callable[[list[Symbol]], list[Any]]
    ) -> Graph | None:
        """The graph of `sweep`, a function of one new input for each of `places`; None if SWEPT others are `known`."""
        if places not in known and len(known) < SWEPT:
            with recording_with(self._trace):
                given = [Symbol(self._trace, row=True, label=f"g{n}") for n in places]
                roots = [self._trace.operand(x) for x in sweep(given)]
            captured = dict(zip(self.captured_symbols, self.captured, strict=True))
            name, inputs = f"grad({self.name})", [*self._inputs, *given]
            known[places] = Graph(name, self.backends, self._trace, inputs, captured, roots)
        return known.get(places)

    # --- Calls on Values ----------------------------------------------------------------------------------------

    def call(self, given: tuple[Any, ...]) -> list[Any]:
        """The results for `given`, the Values and floats in place of `captured` and the inputs: floats if none is a
        Value, else one node each, whose arguments are `given`, or leaves under `no_grad`. All share one run of the
        program."""
        recorder, run = active_recorder(), _Call(self)
        if recorder is not EAGER and recorder is not LEAVES:
            made: list[Any] = []
            for n, root in enumerate(self.roots):
                op = run.operation(n)
                x = checked(op, given, op(*given))
                made.append(recorder.constant(root) if type(root) is float and type(x) is not float else x)
            return made
        numbers = numbers_of(given)
        if numbers is None:
            numbers = [x if type(x) is float else x.data for x in given]
        found = run.results(tuple(numbers))
        if set(map(type, given)) <= {float}:
            return found
        if recorder is LEAVES:
            return leaves_of(found)
        return [
            recorder.constant(x) if type(root) is float else node_of(run.operation(n), given, x)
            for n, (root, x) in enumerate(zip(self.roots, found, strict=True))
        ]

    def of(self, given: tuple[Any, ...]) -> list[Any]:
        """The results for `given`: floats of floats, nodes of Values. A result that is constant is a float."""
        found = self.numbers(given) if set(map(type, given)) <= {float} else self.call(given)
        for n, root in self.constants:
            found[n] = root
        return found

    def nodes(self, given: tuple[Any, ...], found: list[float]) -> list[Value]:
        """The results for `given` as Values, when their numbers `found` are known: leaves if no history is kept."""
        run = _Call(self)
        ops = [run.operation(n) for n in range(len(found))]
        if keeps_history():
            return [checked(op, given, node_of(op, given, x)) for op, x in zip(ops, found, strict=True)]
        return [constant(checked(op, given, Value(x))) for op, x in zip(ops, found, strict=True)]

    def replayed(self, roots: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        """`roots`, recorded anew with the Values and floats `given` in place of `captured` and the inputs."""
        new = dict(zip([*self.captured_symbols, *self._inputs], given, strict=False))
        for node in order_of(roots):
            if node.op is not None:
                new[node] = node.op(*[x if type(x) is float else new[x] for x in node.args])
        return [x if type(x) is float else new[x] for x in roots]


class Compiled(Graph):
    """The graph of what `f` computes from `tree`, its (args, kwargs), for any numbers in it.

    `captured` are the Values outside that `f` uses; the numbers in the arguments are its inputs.
    """

    @collector_paused()
    def __init__(self, f: Callable[..., Any], tree: Tree, backends: list[Backend]) -> None:
        name = str(getattr(f, "__name__", None) or getattr(f, "name", type(f).__name__))
        self.example = tree
        trace, inputs = Trace(), list[Symbol]()
        labels = iter(_names_of_inputs(f, tree))

        def symbol(leaf: Any) -> Any:
            label = next(labels)
            if not is_number(leaf):
                return leaf
            inputs.append(Symbol(trace, row=True, label=label))
            return inputs[-1]

        args, kwargs = tree_map(symbol, tree)
        with recording_with(trace):
            result = f(*args, **kwargs)
        self.operations = trace.made - len(inputs)  # how many were recorded
        self.sparse = result if isinstance(result, Sparse) else None
        self._result = result.values if isinstance(result, Sparse) else result
        _check_result(name, self._result)
        roots = [trace.operand(x) for x in tree_leaves(self._result) if isinstance(x, Value)]
        super().__init__(
            name, backends, trace, inputs, {symbol: value for value, symbol in trace.captured.items()}, roots
        )
        if self.captured:
            self._sort_captured()

    def _sort_captured(self) -> None:
        """Sort `captured` by first use. Values that no result depends on are left out."""
        values = dict(zip(self.captured_symbols, self.captured, strict=True))
        self.captured_symbols = [x for x in leaves_by_use(self._normal_roots, self.roots) if x in values]
        self.captured = [values[x] for x in self.captured_symbols]

    def result(self, found: Iterable[Any]) -> Tree:
        """The function's result, with `found` in place of its Values."""
        rest = iter(found)
        return tree_map(lambda leaf: next(rest) if isinstance(leaf, Value) else leaf, self._result)

    def plain_result(self, found: Any, arrays: bool) -> Any:
        """The function's result, with the numbers of the buffer `found` in place of its Values.

        Lists become arrays if `arrays`; a sparse matrix becomes a SciPy array.
        """
        if self.sparse is not None:
            return self.sparse.to_scipy(found)
        if not arrays:
            return self.result(floats(found))
        import numpy

        return self._in_arrays(numpy.array(found, dtype=float))

    def stacked_results(self, n: int, rows: Any) -> Any:
        """The function's results for `n` rows, as arrays with one axis more, for the rows.

        For a function that captures no Value.
        """
        import numpy

        memory, at = numpy.empty(n * len(self.roots)), 0
        columns: list[Any] = []

        def column(shape: tuple[int, ...]) -> Any:
            nonlocal at
            begin, at = at, at + n * prod(shape)
            columns.append(memory[begin:at])
            return columns[-1].reshape(n, *shape)

        results = _stacked(self._result, n, column)
        self.writer(n, rows, array("d"), tuple(columns), array("d"))
        return _lists_stacked(results)

    @cached_property
    def _in_arrays(self) -> Callable[[Any], Any]:
        """A function from the array of all numbers to the function's result, with arrays in place of lists."""
        build, _ = _builder(self._result, 0)
        return build

    def make_entry(self, args: Tree) -> Callable[[tuple[Any, ...]], Any] | None:
        """The fast path for a call on plain numbers: from the tuple of arguments to the function's result.

        It returns NotImplemented if its arguments have another structure than `args`. None if every call must
        take the slow path.
        """
        if self.captured or not _is_template(self._result):
            return None
        arguments = tree_map(lambda leaf: float if is_number(leaf) else leaf, args)
        results = tree_map(lambda leaf: float if isinstance(leaf, Value) else leaf, self._result)
        array_type = getattr(sys.modules.get("numpy"), "ndarray", None)
        finish = self._finish if self.sparse is not None or _has_list(results) else None
        for backend in self.backends:
            with suppress(UnknownPrimitiveError):
                entry: Callable[[tuple[Any, ...]], Any] | None = backend.entry(
                    self.forward_program, arguments, results, array_type, finish
                )
                self.backend = backend.name
                return entry if self.sparse is None or entry is None else self._sparse_entry(entry)
        return None

    def _sparse_entry(self, entry: Callable[[tuple[Any, ...]], Any]) -> Callable[[tuple[Any, ...]], Any]:
        """The fast path to a SciPy array, from the fast path `entry` to its entries."""
        sparse = self.sparse
        assert sparse is not None

        def matrix(args: tuple[Any, ...]) -> Any:
            found = entry(args)
            return found if found is NotImplemented else sparse.to_scipy(found)

        return matrix

    def _finish(self, raw: bytearray) -> Any:
        """The function's result for arguments with arrays, from the memory of its numbers."""
        import numpy

        return self._in_arrays(numpy.frombuffer(raw))

    def mean(self, batch: Batch) -> _Mean:
        """The mean over the rows of `batch`. A TraceError if the function does not return one Value."""
        self.check_one_result("mean")
        return _Mean(self, batch)

    def training_writer(self, values: Sequence[Value], count: int) -> Run:
        """A function that writes the sums over the rows of the result and of its derivative by the first `count` of
        `values`. A call gets the numbers of `values`, which include all of `captured`."""
        self.check_one_result("trainer")
        symbols = dict(zip(self.captured, self.captured_symbols, strict=True))
        given = [symbols[x] if x in symbols else Symbol(self._trace, row=False) for x in values]
        derivatives = dict(zip(self.captured_symbols, self.gradient, strict=False))
        sums = [*self.roots, *[derivatives.get(x, 0.0) for x in given[:count]]]
        return self._runnable(self.program((), sums, given), "writer")

    def check_one_result(self, what: str) -> None:
        """A TraceError unless the function returns one Value."""
        if len(self.roots) != 1 or not isinstance(self._result, Value):
            raise TraceError(f"{what} takes a function that gives one Value; {self.name} gives {self._result!r}")


class _Call:
    """One call on Values. Its results share one run of the program, and so do their cotangents: see `Result`."""

    __slots__ = ("_given", "_graph", "_jacobian", "_numbers", "_results")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._given: tuple[float, ...] | None = None  # what the results were computed from
        self._results: list[float] = []
        self._numbers: tuple[float, ...] | None = None  # what the Jacobian was computed from
        self._jacobian: list[float] = []

    def operation(self, n: int) -> Primitive:
        """The operation that gives result `n`."""
        name, compute, partials = self._graph.title, partial(self._number, n), partial(self._partials, n)
        if len(self._graph.roots) == 1:
            return Primitive(name, compute, partials, arity=None)
        return Result(name, compute, partials, self, n)

    def pull(self, cotangents: list[tuple[int, Any]], given: tuple[Any, ...]) -> list[Any]:
        """The cotangents of the arguments `given`, from pairs of a result's number and its cotangent: see `Result`.

        Floats of floats, nodes of Values. None for an argument that no result depends on.
        """
        total: dict[int, Any] = {}
        for n, g in sorted(cotangents, key=lambda pair: pair[0]):
            total[n] = total[n] + g if n in total else g
        graph = self._graph.pulled(tuple(total))
        if graph is not None:
            found = graph.of((*given, *total.values()))
            for n, root in graph.constants:
                found[n] = root or None
            return found
        rows = [[None if dx is None else g * dx for dx in self._partials(n, None, *given)] for n, g in total.items()]
        columns = [[x for x in column if x is not None] for column in zip(*rows, strict=True)]
        return [sum_(*column) if column else None for column in columns]

    def push(self, tangents: list[tuple[int, Any]], given: tuple[Any, ...]) -> list[Any] | None:
        """The tangents of all results, from pairs of an argument's number and its tangent: see `Result`."""
        graph = self._graph.pushed(tuple([n for n, _ in tangents]))
        if graph is None:
            return None
        return graph.of((*given, *[tangent for _, tangent in tangents]))

    def results(self, given: tuple[float, ...]) -> list[float]:
        """The numbers of all results."""
        if self._given != given:
            self._given, self._results = given, self._graph.numbers(given)
        return self._results

    def _number(self, n: int, *given: float) -> float:
        return self.results(given)[n]

    def _partials(self, n: int, _: Any, *given: Any) -> tuple[Any, ...]:
        """The derivatives of result `n`: floats of floats, nodes of Values."""
        derivative = self._graph.derivative
        if not set(map(type, given)) <= {float}:
            return self._graph.partials(n, derivative.of(given))
        if self._numbers != given:
            self._numbers, self._jacobian = given, derivative.numbers(given)
        return self._graph.partials(n, self._jacobian)


class _Mean:
    """The mean of a graph's one result over the rows of a batch, from the numbers of its `captured`."""

    __slots__ = ("_batch", "_graph", "_known", "_sums")

    def __init__(self, graph: Graph, batch: Batch) -> None:
        self._graph, self._batch = graph, batch
        self._known = b""  # the numbers that the gradient was computed from
        self._sums: list[float] = []

    def operation(self) -> Primitive:
        """The operation on the captured Values."""
        return Primitive(f"mean({self._graph.name})", self._compute, self._partials, arity=None)

    def number(self, given: array[float]) -> float:
        """The mean. Once a gradient of such a mean was asked for, one run of the program finds both at once."""
        graph, batch = self._graph, self._batch
        if graph.wants_gradient and keeps_history():
            return self._totals(given)[0] / batch.n
        _, sums = graph.forward_total(batch.n, batch.numbers, given)
        return float(sums[0]) / batch.n

    def _compute(self, *given: float) -> float:
        return self.number(array("d", given))

    def _totals(self, given: array[float]) -> list[float]:
        """The sum over the rows, and its gradient."""
        known = given.tobytes()
        if self._known != known or not self._sums:
            _, sums = self._graph.total(self._batch.n, self._batch.numbers, given)
            self._known, self._sums = known, floats(sums)
        return self._sums

    def _partials(self, _: Any, *given: Any) -> tuple[Any, ...]:
        graph, batch = self._graph, self._batch
        if set(map(type, given)) <= {float}:
            graph.wants_gradient = True
            return tuple([x / batch.n for x in self._totals(array("d", given))[1:]])
        inputs, roots = iter(floats(joined(batch.n, batch.numbers))), graph.gradient[: len(given)]
        rows = [[*islice(inputs, graph.width)] for _ in range(batch.n)]
        each = [graph.replayed(roots, (*given, *row)) for row in rows]
        return tuple([sum_(*terms) / float(batch.n) for terms in zip(*each, strict=True)])


def _is_template(tree: Tree) -> bool:
    """Whether `tree` is made of exact lists, tuples and dicts, which the kernel can build."""
    if not isinstance(tree, list | tuple | dict):
        return True
    branches = tree.values() if isinstance(tree, dict) else tree
    return type(tree) in (list, tuple, dict) and all(map(_is_template, branches))


def _has_list(tree: Tree) -> bool:
    """Whether `tree` has a list in it. A call on arrays gives an array in its place."""
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple) else ()
    return isinstance(tree, list) or any(map(_has_list, branches))


def _builder(tree: Tree, at: int) -> tuple[Callable[[Any], Any], int]:
    """Return a function and an index. The function builds `tree`, with arrays in place of lists, from the array of the
    results; it reads those from `at` on, up to the index that is returned.
    """
    shape = _shape(tree)
    if shape is not None:
        end = at + prod(shape)
        if len(shape) == 1:
            part = slice(at, end)
            return (lambda x: x[part]), end
        return (lambda x: float(x[at])) if shape == () else lambda x: x[at:end].reshape(shape), end
    if not isinstance(tree, list | tuple | dict):
        return lambda x: tree, at
    builders = []
    for branch in tree.values() if isinstance(tree, dict) else tree:
        build, at = _builder(branch, at)
        builders.append(build)
    if isinstance(tree, list):
        return lambda x: lists_to_arrays([build(x) for build in builders]), at
    if type(tree) is tuple:
        return lambda x: tuple([build(x) for build in builders]), at
    return lambda x: container_like(tree, [build(x) for build in builders]), at


def _stacked(tree: Tree, n: int, column: Callable[[tuple[int, ...]], Any]) -> Tree:
    """`tree` with the array column(shape), of n rows, in place of each Value and each list of Values of that shape."""
    shape = _shape(tree)
    if shape is not None:
        return column(shape)
    if isinstance(tree, list | tuple | dict):
        branches = tree.values() if isinstance(tree, dict) else tree
        return container_like(tree, [_stacked(branch, n, column) for branch in branches])
    if isinstance(tree, Real):
        import numpy

        return numpy.full(n, float(tree))
    return tree


def _lists_stacked(tree: Tree) -> Tree:
    """`tree` with one array in place of each list of arrays of one shape: lists of Values and constants."""
    if not isinstance(tree, list | tuple | dict):
        return tree
    branches = [_lists_stacked(branch) for branch in (tree.values() if isinstance(tree, dict) else tree)]
    if type(tree) is list and len({getattr(x, "shape", None) for x in branches} - {None}) == 1:
        import numpy

        if all(isinstance(x, numpy.ndarray) for x in branches):
            return numpy.stack(branches, axis=1)
    return container_like(tree, branches)


def _shape(tree: Tree) -> tuple[int, ...] | None:
    """() of a Value; the shape of lists, of lists of one shape each, of Values; None of anything else."""
    if isinstance(tree, Value):
        return ()
    if type(tree) is not list:
        return None
    shapes = set(map(_shape, tree))
    inner = shapes.pop() if len(shapes) == 1 else None
    return None if inner is None else (len(tree), *inner)


def checked(op: Primitive, args: tuple[Any, ...], z: T) -> T:
    """`z`, the result of `op` on `args`, after the active recorder has checked it."""
    if opened:
        active_recorder().check(op, args, z)
    return z


def _check_result(name: str, result: Tree) -> None:
    """A TraceError if a leaf of `result` may contain traced Values."""
    for leaf in tree_leaves(result):
        if not isinstance(leaf, Value | str | None) and not is_number(leaf):
            raise TraceError(
                f"jit takes a function that gives Values, numbers, strings and None, in lists, tuples and dicts; "
                f"{name} gives {type(leaf).__name__}: give a list"
            )


def _names_of_inputs(f: Callable[..., Any], tree: Tree) -> list[str]:
    """The name of each leaf of (args, kwargs): its parameter's name, followed by the path to the leaf."""
    args, kwargs = tree
    try:
        kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [x.name for x in inspect.signature(f).parameters.values() if x.kind in kinds]
    except (TypeError, ValueError):
        parameters = []
    parameters += [f"x{n}" for n in range(len(parameters), len(args))]
    named = [*zip(parameters, args, strict=False), *kwargs.items()]
    return [name + path for name, branch in named for path in tree_paths(branch)]
