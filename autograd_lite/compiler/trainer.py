"""Training at full speed: parameters, gradients and an optimiser's memory stay in arrays from step to step."""

from __future__ import annotations

from typing import Any, Protocol

from autograd_lite.compiler.arguments import batch
from autograd_lite.compiler.compiled import Compiled
from autograd_lite.compiler.jit import Jitted
from autograd_lite.value import Value


class Optimizer(Protocol):
    """What a trainer needs of an optimiser. Those of `nn` have it.

    `update(p, g, t, *state) -> (p, *state)` is the rule for a parameter, its gradient and the number of the step, in
    arithmetic that serves floats and arrays alike; `state` has a list for each thing remembered of the parameters.
    """

    parameters: list[Value]
    steps: int
    state: dict[str, list[float]]

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """The parameter and its memory after step number `t`."""

    def step(self) -> None:
        """Move every parameter by its gradient."""


def trainer(loss: Jitted, optimizer: Optimizer) -> Trainer:
    """What makes one step of `optimizer` on the mean of `loss` over the rows of each batch that it is called with.

        step = trainer(jit(loss), SGD(model.parameters(), lr=0.1))
        for _ in range(100):
            step(X, Y)
        step.write()

    `loss` is a jitted function of one row. With NumPy, the numbers live in arrays and a step does no work in Python
    for each parameter; `write` puts them into the Values and the optimiser. Without, they never leave the Values.
    """
    if not isinstance(loss, Jitted):
        raise TypeError(f"trainer takes a jitted loss, got {type(loss).__name__}: write trainer(jit(loss), optimizer)")
    try:
        import numpy as np
    except ImportError:
        return Trainer(loss, optimizer)
    return _ArrayTrainer(loss, optimizer, np)


class Trainer:
    """Steps of an optimiser on the mean of a jitted loss. `trainer` makes it."""

    def __init__(self, loss: Jitted, optimizer: Optimizer) -> None:
        self.loss, self.optimizer = loss, optimizer

    def __call__(self, *columns: Any) -> float:
        """The mean of the loss over the rows; and then one step of the optimiser down its gradient."""
        for x in self.optimizer.parameters:
            x.grad = 0.0
        loss: Value = self.loss.mean(*columns)
        loss.backward()
        self.optimizer.step()
        return loss.data

    def write(self) -> None:
        """Put the numbers into the parameters and the optimiser's memory."""


class _ArrayTrainer(Trainer):
    """Has the numbers in one array: of the parameters, as the loss captured them; then of what else it captured."""

    def __init__(self, loss: Jitted, optimizer: Optimizer, np: Any) -> None:
        super().__init__(loss, optimizer)
        self.np = np
        self._places: dict[Value, int] = {}  # where each number is in the array
        self._numbers: Any = None
        self._state: list[Any] = []  # the optimiser's memory of the parameters
        self._found: dict[Compiled, Any] = {}  # where the captured ones are: a slice, if they are in order

    def __call__(self, *columns: Any) -> float:
        n, row, structure, flat = batch(columns, "a training step")
        compiled = self.loss.compiled(row, structure)
        places = self._found[compiled] if compiled in self._found else self._find(compiled)
        _, sums = compiled.total(n, flat, self._numbers[places])
        means = self.np.asarray(sums) / n
        optimizer, count = self.optimizer, len(self.optimizer.parameters)
        gradient = means[1:]
        if places != slice(count):
            gradient = self.np.zeros(len(self._numbers))
            gradient[places] = means[1:]
        optimizer.steps += 1
        moved, *self._state = optimizer.update(self._numbers[:count], gradient[:count], optimizer.steps, *self._state)
        self._numbers[:count] = moved
        return float(means[0])

    def write(self) -> None:
        """Put the numbers into the parameters and the optimiser's memory."""
        if self._places:
            places = [self._places[x] for x in self.optimizer.parameters]
            for x, number in zip(self.optimizer.parameters, self._numbers[places].tolist(), strict=True):
                x.data = number
            names = zip(self.optimizer.state, self._state, strict=True)
            self.optimizer.state = {name: numbers[places].tolist() for name, numbers in names}

    def _find(self, compiled: Compiled) -> Any:
        """Where the numbers are that `compiled` captured."""
        np, optimizer = self.np, self.optimizer
        if not self._places:
            position = {x: n for n, x in enumerate(optimizer.parameters)}
            order = dict.fromkeys([x for x in compiled.captured if x in position] + optimizer.parameters)
            self._places = {x: n for n, x in enumerate(order)}
            self._numbers = np.array([x.data for x in order])
            places = [position[x] for x in order]
            self._state = [np.array(numbers)[places] for numbers in optimizer.state.values()]
        new = [x for x in compiled.captured if x not in self._places]
        self._places |= {x: len(self._places) + n for n, x in enumerate(new)}
        self._numbers = np.append(self._numbers, [x.data for x in new])
        places = [self._places[x] for x in compiled.captured]
        in_order = places == list(range(len(places)))
        self._found[compiled] = slice(len(places)) if in_order else places
        return self._found[compiled]
