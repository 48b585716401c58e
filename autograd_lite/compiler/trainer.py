"""Training on arrays: parameters, gradients and the state of an optimiser stay in arrays from step to step."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import isfinite
from typing import Any

from autograd_lite.compiler.arguments import batch
from autograd_lite.compiler.compiled import Compiled
from autograd_lite.compiler.jit import Jitted
from autograd_lite.compiler.rule import Optimizer, UpdateRule, check_optimizer
from autograd_lite.compiler.trace import TraceError
from autograd_lite.graph import topological_order
from autograd_lite.value import Value, active_recorder, opened


def trainer(loss: Jitted[..., Any], optimizer: Optimizer) -> Trainer:
    """A function that makes one step of `optimizer` on the mean of `loss` over the rows of its arguments.

        step = trainer(jit(loss), SGD(model.parameters(), lr=0.1))
        for _ in range(100):
            step(X, Y)
        step.write()

    `loss` is a jitted function of one row. The optimiser's rule is compiled, too, and the numbers stay in arrays, so
    that a step does no Python work per parameter. `write` copies the numbers to the Values and the optimiser; the next
    step reads them from there again.

    >>> import nn
    >>> from autograd_lite import Value, jit
    >>> w = Value(0.0)
    >>> step = trainer(jit(lambda x, y: (w * x - y) ** 2), nn.SGD([w], lr=0.1))
    >>> for _ in range(50):
    ...     loss = step([1.0, 2.0], [2.0, 4.0])
    >>> step.write()
    >>> print(f"{w.data:.4f}")
    2.0000
    """
    if not isinstance(loss, Jitted):
        raise TypeError(f"trainer takes a jitted loss, got {type(loss).__name__}: write trainer(jit(loss), optimizer)")
    check_optimizer("trainer", optimizer)
    return Trainer(loss, optimizer)


class Trainer:
    """Steps of an optimiser on the mean of a jitted loss. `trainer` makes it."""

    def __init__(self, loss: Jitted[..., Any], optimizer: Optimizer) -> None:
        self.loss, self.optimizer = loss, optimizer
        self._parameters = list(optimizer.parameters)
        self._steps = 0
        self._runs: dict[Any, tuple[Callable[..., None], memoryview]] = {}  # for each structure of a row
        self._order: list[Value] = []  # the parameters in the order of the loss, then the other Values that it captured
        self._places: list[int] = []  # the index in `_order` of each parameter
        self._origins: list[int] = []  # the index of the parameter at each place of `_order`
        self._numbers = memoryview(array("d"))  # the numbers of `_order`
        self._sums = array("d")  # the loss and its gradient
        self._moved: tuple[Any, ...] = ()  # numbers and gradients of the parameters; then what the optimiser remembers
        self._rule: UpdateRule | None = None
        self._written = True  # whether Values and optimiser have the numbers

    def __call__(self, *columns: Any) -> float:
        """Make one step of the optimiser, and return the mean of the loss over the rows before the step."""
        n, row, structure, rows = batch(columns, "a training step")
        if rows is None:
            raise TypeError("a training step takes numbers, and there are Values in its rows")
        run, numbers = self._runs.get(structure) or self._prepare(self.loss.compiled(row, structure), structure)
        if self._written:
            self._read()
        optimizer, rule, sums = self.optimizer, self._rule, self._sums
        if fixed := self._order[len(self._places) : len(numbers)]:  # other captured Values
            numbers[len(self._places) :] = array("d", [x.data for x in fixed])
        run(n, rows, numbers, (), sums)
        if opened and active_recorder().watches and not all(map(isfinite, sums)):
            self.write()
            self.loss.mean(*columns).backward()  # says where that is from
        if rule is None or not rule.fits(optimizer):
            rule = self._rule = UpdateRule(optimizer, self.loss.backends)
        self._steps += 1
        rule(n, self._steps, optimizer.lr, *self._moved)
        return sums[0] / n

    def write(self) -> None:
        """Put the numbers into the parameters and the optimiser's memory."""
        if self._written:
            return
        optimizer = self.optimizer
        numbers, *_ = moved = [column.tolist() for column in self._moved]
        for x, number in zip(self._order, numbers, strict=False):
            x.data = number
        columns = [list(map(column.__getitem__, self._places)) for column in moved[2:]]
        optimizer.state = dict(zip(optimizer.state, columns, strict=True))
        optimizer.steps = self._steps
        self._written = True

    def _read(self) -> None:
        """Take the numbers from the Values and the optimiser."""
        if self.optimizer.parameters != self._parameters:
            raise ValueError("the optimizer has other parameters than when its trainer was made: make a new trainer")
        self._steps = self.optimizer.steps
        self._numbers[:] = array("d", [x.data for x in self._order])
        state = [array("d", map(column.__getitem__, self._origins)) for column in self.optimizer.state.values()]
        self._moved = self._numbers[: len(self._places)], memoryview(self._sums)[1:], *state
        self._written = False

    def _prepare(self, compiled: Compiled, structure: Any) -> tuple[Callable[..., None], memoryview]:
        """Load the program for rows of the `structure`: how to run it, and on which numbers."""
        self.write()
        parameters = self._parameters
        moved = set(parameters)
        for x in compiled.captured:
            if x.op is not None and not moved.isdisjoint(topological_order(x)):
                raise TraceError(f"the loss uses {x!r}, which was made of a parameter outside of it: make it inside")
        if not self._order:
            self._order = [*dict.fromkeys([x for x in compiled.captured if x in moved] + parameters)]
            places = {x: n for n, x in enumerate(self._order)}
            self._places = [places[x] for x in parameters]
            self._origins = sorted(range(len(parameters)), key=self._places.__getitem__)
            self._sums = array("d", bytes(8 * (1 + len(parameters))))
        self._order = [*dict.fromkeys(self._order + compiled.captured)]
        self._numbers = memoryview(array("d", bytes(8 * len(self._order))))
        lengths = {known: len(numbers) for known, (_, numbers) in self._runs.items()}
        self._runs = {known: (run, self._numbers[: lengths[known]]) for known, (run, _) in self._runs.items()}
        found = self._runs[structure] = compiled.training_writer(self._order, len(parameters)), self._numbers
        return found
