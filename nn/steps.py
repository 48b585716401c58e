"""The three ways in which `fit` makes a step, the fastest first: compiled, jitted, eager."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from nn.losses import Loss, cross_entropy
from nn.module import shape
from nn.optim import Optimizer
from nn.prediction import Model, as_array

Clip: TypeAlias = Callable[[Sequence[Value]], None]


class Step(Protocol):
    """One way to make a training step."""

    warning: ClassVar[str]  # what `fit` says when it falls back to the next way, before the reason

    def __call__(self, rows: list[int]) -> float:
        """Move the parameters by the gradient of the mean loss of these rows, and return that loss."""
        ...

    def write(self) -> None:
        """Bring the parameters and the optimiser up to date with the steps so far."""


class CompiledStep:
    """Loss, gradient and update in compiled programs; the numbers stay in arrays between `write`s."""

    warning: ClassVar[str] = "fit moves one parameter after the other, as the step cannot be compiled"

    def __init__(self, loss: Any, X: Any, y: Any, optimizer: Optimizer) -> None:
        self._X, self._y = X, y
        self._trainer = ag.trainer(loss, optimizer)

    def __call__(self, rows: list[int]) -> float:
        """One step of the trainer on these rows."""
        return float(self._trainer(_pick(self._X, rows), _pick(self._y, rows)))

    def write(self) -> None:
        """Write the trainer's arrays into parameters and optimiser."""
        self._trainer.write()


class JittedStep:
    """Loss and gradient in a compiled program; the optimiser's own `step` moves the parameters."""

    warning: ClassVar[str] = "fit trains eagerly, and slowly, as the loss cannot be compiled"

    def __init__(self, loss: Any, X: Any, y: Any, optimizer: Optimizer, clip: Clip | None) -> None:
        self._X, self._y, self._optimizer, self._clip = X, y, optimizer, clip
        self._mean = loss.mean

    def __call__(self, rows: list[int]) -> float:
        """One step on the compiled mean of the loss over these rows."""
        return _descend(self._mean(_pick(self._X, rows), _pick(self._y, rows)), self._optimizer, self._clip)

    def write(self) -> None:
        """Nothing is left to write."""


class EagerStep:
    """Every operation recorded as a Value: works for any loss."""

    warning: ClassVar[str] = ""

    def __init__(
        self, model: Model, loss: Loss, X: list[Any], y: list[Any], optimizer: Optimizer, clip: Clip | None
    ) -> None:
        self._model, self._loss, self._X, self._y = model, loss, X, y
        self._optimizer, self._clip = optimizer, clip

    def __call__(self, rows: list[int]) -> float:
        """One step on the recorded mean of the loss over these rows."""
        mean = ag.mean([self._loss(self._model(self._X[i]), self._y[i]) for i in rows])
        return _descend(mean, self._optimizer, self._clip)

    def write(self) -> None:
        """Nothing is left to write."""


class Stepper:
    """The inner loop of `fit`: makes steps in the fastest way that can be compiled, which the first step finds out."""

    def __init__(
        self, model: Model, loss: Loss, optimizer: Optimizer, X: list[Any], y: list[Any], clip: Clip | None, jit: bool
    ) -> None:
        self._ways: list[Step] = []  # the fastest first; one is left after the first step
        if jit:

            def one(x: Any, target: Any) -> Any:
                try:
                    return loss(model(x), target)
                except ag.CompileError:
                    raise
                except Exception as error:
                    error.add_note("raised while the loss was traced to be compiled: jit=False runs it on numbers")
                    raise

            jitted = ag.jit(one)
            columns = _columns(model, loss, X, y)
            if clip is None and type(optimizer).step is Optimizer.step:
                self._ways.append(CompiledStep(jitted, *columns, optimizer))
            self._ways.append(JittedStep(jitted, *columns, optimizer, clip))
        self._ways.append(EagerStep(model, loss, X, y, optimizer, clip))
        self._chosen = False

    @property
    def is_eager(self) -> bool:
        """True if steps are made without compiled programs."""
        return isinstance(self._ways[0], EagerStep)

    def train(self, batches: Sequence[list[int]], note: Callable[[float], None]) -> float:
        """Make a step on each of `batches`, lists of row numbers, and return the mean loss of the rows.

        `note` is called with the loss of each step. Ends early where the loss is not finite.
        """
        total = 0.0
        for rows in batches:
            loss = self.step(rows)
            total += loss * len(rows)
            if not math.isfinite(total):
                break
            note(loss)
        self.write()
        return total / sum(map(len, batches))

    def step(self, rows: list[int]) -> float:
        """Make a step on these rows and return their mean loss.

        The first step chooses the way, with a warning if that is a slow one.
        """
        if self._chosen:
            return self._ways[0](rows)
        refused: tuple[str, Exception] | None = None
        while True:
            way = self._ways[0]
            try:
                loss = way(rows)
                break
            except ag.CompileError as error:
                if len(self._ways) == 1:
                    raise
                refused = way.warning, error
                del self._ways[0]
        self._chosen = True
        del self._ways[1:]
        if refused:
            warnings.warn("{}: {}".format(*refused), stacklevel=4)
        return loss

    def write(self) -> None:
        """Bring the parameters and the optimiser up to date with the steps so far."""
        self._ways[0].write()


def mean_loss(model: Model, loss: Loss, X: list[Any], y: list[Any], jit: bool) -> Callable[[], Any]:
    """A function that gives the mean loss over the rows as a Value: compiled, or recorded if it cannot be compiled."""

    def recorded() -> Any:
        return ag.mean([loss(model(x), target) for x, target in zip(X, y, strict=True)])

    if not jit:
        return recorded
    jitted = ag.jit(lambda x, target: loss(model(x), target))
    columns = _columns(model, loss, X, y)
    try:
        jitted.mean(*columns)
    except ag.CompileError:
        return recorded
    return lambda: jitted.mean(*columns)


def _columns(model: Model, loss: Loss, X: list[Any], y: list[Any]) -> tuple[Any, Any]:
    """The rows of X and y as arrays that compiled code takes."""
    labels = loss is cross_entropy and shape(y[0]) == ()
    return as_array(X), as_array(_one_hot(y, len(model(X[0]))) if labels else y)


def _descend(loss: Any, optimizer: Optimizer, clip: Clip | None) -> float:
    """Move the parameters by the gradient of `loss`, and return its number."""
    if not isinstance(loss, Value):
        raise TypeError(
            f"fit: the loss returns a Value that depends on the parameters, got {type(loss).__name__} {loss}"
        )
    optimizer.zero_grad()
    loss.backward()
    if clip:
        clip(optimizer.parameters)
    optimizer.step()
    return float(loss.data)


def _pick(column: Any, rows: list[int]) -> Any:
    return [column[i] for i in rows] if isinstance(column, list) else column[rows]


def _one_hot(labels: list[int], classes: int) -> list[list[float]]:
    """Labels as lists, 1 for the class and 0 for the others: compiled code cannot index a list by a traced number."""
    return [[float(k == label) for k in range(classes)] for label in labels]
