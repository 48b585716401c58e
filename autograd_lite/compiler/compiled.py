"""A function compiled for one structure of its arguments: its graph, the programs made of it, and its derivatives."""

from __future__ import annotations

import inspect
import operator
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from autograd_lite.calculus import pull_back
from autograd_lite.compiler.arguments import Batch, floats, is_number, joined
from autograd_lite.compiler.backends import Backend
from autograd_lite.compiler.program import Program, UnknownPrimitiveError
from autograd_lite.compiler.schedule import schedule
from autograd_lite.compiler.simplify import simplify
from autograd_lite.compiler.trace import Symbol, Trace, TraceError
from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive, sum_
from autograd_lite.recording import recording_with
from autograd_lite.trees import Tree, tree_leaves, tree_map, tree_paths
from autograd_lite.value import Value

Run = Callable[..., Any]  # see `autograd_lite.compiler`, and `Backend.writer`


class Compiled:
    """What `f` computes from `tree`, its arguments and keyword arguments, whatever numbers are in it.

    `captured` are the Values outside that it depends on; the numbers in the arguments are its inputs.
    """

    def __init__(self, f: Callable[..., Any], tree: Tree, backends: list[Backend]) -> None:
        self.name = getattr(f, "__name__", None) or getattr(f, "name", type(f).__name__)
        self.backends = backends
        self.example = tree
        self._trace = Trace()
        labels = iter(_names_of_inputs(f, tree))
        self._inputs: list[Symbol] = []

        def symbol(leaf: Any) -> Any:
            label = next(labels)
            if not is_number(leaf):
                return leaf
            self._inputs.append(Symbol(self._trace, row=True, label=label))
            return self._inputs[-1]

        args, kwargs = tree_map(symbol, tree)
        with recording_with(self._trace):
            self._result = f(*args, **kwargs)
        self._check_result()
        self.roots = [self._trace.operand(x) for x in tree_leaves(self._result) if isinstance(x, Value)]
        values = {symbol: value for value, symbol in self._trace.captured.items()}
        simple = simplify(self._trace, self.roots)
        order = topological_order(*[x for x in simple if type(x) is not float])
        # In the order of use, so that what is used together lies together: a layer's weights, neuron by neuron.
        used = dict.fromkeys([x for node in order for x in node.args] + simple)
        self._captured = [x for x in used if x in values]
        self.captured = [values[x] for x in self._captured]
        self.ops = [Primitive(f"jit({self.name})", self._number(n), self._partials(n)) for n in range(len(self.roots))]
        self._last: tuple[tuple[float, ...], Sequence[float]] = (), ()
        self.backend = backends[0].name

    def _check_result(self) -> None:
        """A TypeError if there is a leaf in what `f` gives that may have traced Values in it."""
        for leaf in tree_leaves(self._result):
            if not isinstance(leaf, Value | str | None) and not is_number(leaf):
                raise TraceError(
                    f"jit takes a function that gives Values, numbers, strings and None, in lists, tuples and dicts; "
                    f"{self.name} gives {type(leaf).__name__}: give a list"
                )

    @property
    def width(self) -> int:
        """How many numbers there are in the arguments."""
        return len(self._inputs)

    def result(self, nodes: Iterable[Any]) -> Tree:
        """What the function gives, with `nodes` in place of the Values."""
        rest = iter(nodes)
        return tree_map(lambda leaf: next(rest) if isinstance(leaf, Value) else leaf, self._result)

    # --- Programs and how to run them --------------------------------------------------------------------------

    @cached_property
    def forward(self) -> Run:
        """Runs the function: gives its results for each row."""
        return self._runnable(self.program(self.roots))

    @cached_property
    def forward_total(self) -> Run:
        """Runs the function: gives the sum of its results over the rows."""
        return self._runnable(self.program((), self.roots))

    @cached_property
    def total_program(self) -> Program:
        """The function, and its derivative by each of `captured`, added up over the rows."""
        gradient = self._gradients[0][: len(self.captured)] if len(self.roots) == 1 else []
        return self.program((), [*self.roots, *gradient])

    @cached_property
    def total(self) -> Run:
        """Runs `total_program`."""
        return self._runnable(self.total_program)

    @cached_property
    def gradient(self) -> list[Run]:
        """Runs the derivatives of each result by `captured` and the inputs."""
        return [self._runnable(self.program(roots)) for roots in self._gradients]

    @cached_property
    def _gradients(self) -> list[list[Any]]:
        by = [*self._captured, *self._inputs]
        with recording_with(self._trace):
            return [[self._trace.operand(x) for x in pull_back([y], [1.0], by)] for y in self.roots]

    def trained(self, numbers: Sequence[Value], count: int) -> Run:
        """Writes the function and its derivative by each of the first `count` of `numbers`, added up over the rows.

        `numbers`, which are what it is called with, have all of `captured` among them.
        """
        self._check_is_one("trainer")
        symbols = dict(zip(self.captured, self._captured, strict=True))
        given = [symbols[x] if x in symbols else Symbol(self._trace, row=False) for x in numbers]
        derivatives = dict(zip(self._captured, self._gradients[0], strict=False))
        sums = [*self.roots, *[derivatives.get(x, 0.0) for x in given[:count]]]
        return self._runnable(self.program((), sums, given), "writer")

    @cached_property
    def writer(self) -> Run:
        """Writes what `forward` gives."""
        return self._runnable(self.program(self.roots), "writer")

    def program(
        self, results: Sequence[Any] = (), sums: Sequence[Any] = (), captured: Sequence[Symbol] | None = None
    ) -> Program:
        """The program that computes the operands `results` for each row, and adds up the operands `sums` over the rows.

        `captured` are the Symbols that a call gets numbers for, by default those that the function captured.
        """
        roots = simplify(self._trace, [*results, *sums])
        captured = self._captured if captured is None else captured
        return schedule(roots[: len(results)], roots[len(results) :], self._inputs, captured)

    def _runnable(self, program: Program, kind: str = "executor") -> Run:
        """The function of `kind` that runs `program` on the first backend that has all of its primitives."""
        for backend in self.backends:
            try:
                run: Run = getattr(backend, kind)(program)
            except UnknownPrimitiveError as error:
                refused = error
                continue
            self.backend = backend.name
            return run
        raise refused

    # --- The node that a call is -------------------------------------------------------------------------------

    def _number(self, n: int) -> Callable[..., float]:
        """Result `n` from the numbers of `captured` and the inputs."""

        def compute(*given: float) -> float:
            known, results = self._last
            if not (len(known) == len(given) and all(map(operator.is_, known, given))):
                at = len(self.captured)
                results, _ = self.forward(1, array("d", given[at:]), array("d", given[:at]))
                self._last = given, results  # one run for all the results of a call
            return float(results[n])

        return compute

    def _partials(self, n: int) -> Callable[..., tuple[Any, ...]]:
        """The derivatives of result `n` by `captured` and the inputs: floats of floats, graphs of Values."""

        def partials(_: Any, *given: Any) -> tuple[Any, ...]:
            roots = self._gradients[n]
            if all(type(x) is float for x in given):
                at = len(self.captured)
                found = floats(self.gradient[n](1, array("d", given[at:]), array("d", given[:at]))[0])
            else:
                found = self._replayed(roots, given)
            return tuple([None if _is_zero(root) else x for root, x in zip(roots, found, strict=True)])

        return partials

    def mean(self, batch: Batch) -> Primitive:
        """The mean over the rows of `batch`, as an operation on `captured`. A TypeError if there is not one result."""
        self._check_is_one("mean")

        def compute(*given: float) -> float:
            _, sums = self.forward_total(batch.n, batch.numbers, array("d", given))
            return float(sums[0]) / batch.n

        def partials(_: Any, *given: Any) -> tuple[Any, ...]:
            if all(type(x) is float for x in given):
                _, sums = self.total(batch.n, batch.numbers, array("d", given))
                return tuple([x / batch.n for x in floats(sums)[1:]])
            inputs, roots = iter(floats(joined(batch.n, batch.numbers))), self._gradients[0][: len(given)]
            rows = [[*islice(inputs, self.width)] for _ in range(batch.n)]
            each = [self._replayed(roots, (*given, *row)) for row in rows]
            return tuple([sum_(*terms) / float(batch.n) for terms in zip(*each, strict=True)])

        return Primitive(f"mean({self.name})", compute, partials)

    def _check_is_one(self, what: str) -> None:
        if len(self.roots) != 1 or not isinstance(self._result, Value):
            raise TraceError(f"{what} takes a function that gives one Value; {self.name} gives {self._result!r}")

    def _replayed(self, roots: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        """`roots`, recorded anew with the Values and floats `given` in place of `captured` and the inputs."""
        new = dict(zip([*self._captured, *self._inputs], given, strict=False))
        for node in topological_order(*[x for x in roots if type(x) is not float]):
            if node.op is not None:
                new[node] = node.op(*[x if type(x) is float else new[x] for x in node.args])
        return [x if type(x) is float else new[x] for x in roots]

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """What to call `captured` and the inputs in source code, by and large."""
        return [value.label or f"w{n}" for n, value in enumerate(self.captured)], [x.label for x in self._inputs]


def _is_zero(root: Any) -> bool:
    return type(root) is float and root == 0.0


def _names_of_inputs(f: Callable[..., Any], tree: Tree) -> list[str]:
    """The name of each leaf of the arguments and keyword arguments: that of the parameter, and where the leaf is."""
    args, kwargs = tree
    try:
        kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [x.name for x in inspect.signature(f).parameters.values() if x.kind in kinds]
    except (TypeError, ValueError):
        parameters = []
    parameters += [f"x{n}" for n in range(len(parameters), len(args))]
    named = [*zip(parameters, args, strict=False), *kwargs.items()]
    return [name + path for name, branch in named for path in tree_paths(branch)]
