"""Training at full speed: parameters, gradients and an optimiser's memory stay in arrays from step to step."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from copy import copy
from math import isfinite
from operator import attrgetter
from typing import Any, Protocol

from autograd_lite.compiler.arguments import batch
from autograd_lite.compiler.backends import Backend
from autograd_lite.compiler.compiled import Compiled
from autograd_lite.compiler.jit import Jitted
from autograd_lite.functions import sum as sum_
from autograd_lite.graph import topological_order
from autograd_lite.ieee import to_float
from autograd_lite.value import Value, active_recorder, opened


class Optimizer(Protocol):
    """What a trainer needs of an optimiser. Those of `nn` have it.

    `update(p, g, t, *state) -> (p, *state)` is the rule for a parameter, its gradient and the number of the step, in
    operators and this package's functions, so that it can be compiled; `state` has a list for each thing remembered of
    the parameters. `lr` may change from step to step; where another attribute is assigned, the rule is compiled anew.
    """

    parameters: list[Value]
    lr: Any
    steps: int
    state: dict[str, list[float]]

    def update(self, p: Any, g: Any, t: Any, *state: Any) -> tuple[Any, ...]:
        """The parameter and its memory after step number `t`."""


def trainer(loss: Jitted, optimizer: Optimizer) -> Trainer:
    """What makes one step of `optimizer` on the mean of `loss` over the rows of each batch that it is called with.

        step = trainer(jit(loss), SGD(model.parameters(), lr=0.1))
        for _ in range(100):
            step(X, Y)
        step.write()

    `loss` is a jitted function of one row. The optimiser's rule is compiled, too, and the numbers stay in arrays, so
    that a step does no work in Python for each parameter. `write` puts them into the Values and the optimiser; the next
    step takes them from there, changed or not.
    """
    if not isinstance(loss, Jitted):
        raise TypeError(f"trainer takes a jitted loss, got {type(loss).__name__}: write trainer(jit(loss), optimizer)")
    if not hasattr(optimizer, "update"):
        raise TypeError(f"trainer takes an optimizer, such as nn.SGD(parameters), got {type(optimizer).__name__}")
    return Trainer(loss, optimizer)


class Trainer:
    """Steps of an optimiser on the mean of a jitted loss. `trainer` makes it."""

    def __init__(self, loss: Jitted, optimizer: Optimizer) -> None:
        self.loss, self.optimizer = loss, optimizer
        self._parameters = list(optimizer.parameters)
        self._steps = 0
        self._runs: dict[Any, tuple[Callable[..., None], memoryview]] = {}  # for each structure of a row
        self._order: list[Value] = []  # the parameters, as the loss met them, and then what else it captured
        self._places: list[int] = []  # where in it each parameter is,
        self._origins: list[int] = []  # and which parameter is at each place
        self._numbers = memoryview(array("d"))  # of those
        self._sums = array("d")  # the loss and its gradient
        self._moved: tuple[Any, ...] = ()  # numbers and gradients of the parameters; then what the optimiser remembers
        self._rule: _Rule | None = None
        self._written = True  # whether Values and optimiser have the numbers

    def __call__(self, *columns: Any) -> float:
        """The mean of the loss over the rows; and then one step of the optimiser down its gradient."""
        n, row, structure, rows = batch(columns, "a training step")
        if rows is None:
            raise TypeError("a training step takes numbers, and there are Values in its rows")
        run, numbers = self._runs.get(structure) or self._prepare(self.loss.compiled(row, structure), structure)
        if self._written:
            self._read()
        optimizer, rule, sums = self.optimizer, self._rule, self._sums
        if fixed := self._order[len(self._places) :]:  # what else the loss captured, which anybody may change
            numbers[len(self._places) :] = array("d", [x.data for x in fixed])
        run(n, rows, numbers, (), sums)
        if opened and active_recorder().watches and not all(map(isfinite, sums)):
            self.write()
            self.loss.mean(*columns).backward()  # says where that is from
        if rule is None or rule.settings != rule.read(optimizer):
            rule = self._rule = _Rule(optimizer, self.loss.backends)
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
                raise TypeError(f"the loss uses {x!r}, which was made of a parameter outside of it: make it inside")
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
        found = self._runs[structure] = compiled.trained(self._order, len(parameters)), self._numbers
        return found


class _Rule:
    """An optimiser's rule, compiled: what it does to one parameter, and the parameters are the rows."""

    def __init__(self, optimizer: Optimizer, backends: list[Backend]) -> None:
        names = sorted(vars(optimizer).keys() - {"parameters", "lr", "steps", "state"})
        self.read: Callable[[Optimizer], Any] = attrgetter("__class__", *names)  # what the rule may depend on
        self.settings = self.read(optimizer)
        self._share, self._t, self._lr = Value(1.0, "share"), Value(1.0, "t"), Value(1.0, "lr")
        symbolic, wanted = copy(optimizer), ", ".join(["p", *optimizer.state])

        def update(p: Any, total: Any, *state: Any) -> list[Any]:
            symbolic.lr = sum_([self._lr])  # a Symbol, on which the rule cannot branch
            moved = symbolic.update(p, total * self._share, sum_([self._t]), *state)
            if not isinstance(moved, tuple | list) or len(moved) != 1 + len(state):
                raise TypeError(f"{type(optimizer).__name__}.update should return ({wanted}), and returned {moved}")
            return [x if isinstance(x, Value) else x + 0.0 * self._t for x in moved]

        compiled = Compiled(update, ((0.0,) * (2 + len(optimizer.state)), {}), backends)
        self._given, self._write = compiled.captured, compiled.writer

    def __call__(self, n: int, t: int, lr: Any, p: Any, totals: Any, *state: Any) -> None:
        """Make step number `t`: change `p` and `state`, of which the gradients are `totals` divided by `n`."""
        self._share.data, self._t.data, self._lr.data = 1.0 / n, float(t), to_float(lr, "lr")
        settings = array("d", [x.data for x in self._given])
        self._write(len(p), (p, totals, *state), settings, (p, *state), _NOTHING)


_NOTHING = array("d")
