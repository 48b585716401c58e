"""Callbacks: objects that follow a training, and may change or end it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nn.data import Row
from nn.history import History
from nn.losses import Loss
from nn.module import all_finite
from nn.optim import Optimizer


@dataclass
class Training:
    """A running training, as its callbacks see it.

    Parameters and optimiser hold the numbers after the last finished epoch.

    >>> from nn.callbacks import Callback
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, training):
    ...         if training.history["loss"][-1] < 0.01:
    ...             training.stop("the loss is small enough")
    """

    model: Callable[[Any], Any]
    loss: Loss
    optimizer: Optimizer
    X: list[Any]  # the rows that are trained on
    y: list[Any]
    X_val: list[Any]  # empty without validation
    y_val: list[Any]
    history: History
    jit: bool = True
    completed: bool = False  # True after the last epoch; False after an error or Ctrl-C

    def stop(self, reason: str) -> None:
        """End the training after this epoch. `history.stopped` says why."""
        self.history.stopped = reason


class Callback:
    """The base class of callbacks. Every method does nothing; a subclass writes those that it needs.

    In place of a Callback, `fit` takes a plain function of the history: it is called at the end of each epoch, and ends
    the training by returning True.

    >>> import nn
    >>> class Count(Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, training):
    ...         self.epochs += 1
    >>> count, model = Count(), nn.MLP(1, [1], seed=0)
    >>> history = nn.fit(
    ...     model, [[1.0]], [2.0], nn.mse, nn.SGD(model.parameters()), epochs=3, callbacks=[count], verbose=False
    ... )
    >>> count.epochs
    3
    """

    def on_start(self, training: Training) -> None:
        """Called before the first epoch. An error here ends `fit` before anything has changed."""

    def on_epoch_start(self, training: Training, epoch: int) -> None:
        """Called before the epoch of this number, from 1."""

    def columns(self, training: Training) -> Row:
        """Numbers to add to the row of the history, by name; called after each epoch, before `on_epoch_end`."""
        return {}

    def on_epoch_end(self, training: Training) -> None:
        """Called after each epoch, when its row is the last of the history."""

    def on_finish(self, training: Training) -> None:
        """Called at the end, also after Ctrl-C and where an error ends the training."""


class FunctionCallback(Callback):
    """A plain function of the history as a callback."""

    def __init__(self, function: Callable[[History], object]) -> None:
        self._function = function

    def on_epoch_end(self, training: Training) -> None:
        """Call the function with the history; True ends the training."""
        if self._function(training.history) is True:
            training.stop(f"ended by a callback in epoch {len(training.history)}")


class Checkpoint:
    """The numbers of the parameters and the optimiser after an epoch, and its loss."""

    def __init__(self, optimizer: Optimizer, epoch: int, loss: float) -> None:
        self.epoch, self.loss = epoch, loss
        self._optimizer, self._state = optimizer, optimizer.state_dict()
        self._numbers = [p.data for p in optimizer.parameters]

    def is_finite(self) -> bool:
        """True if the loss and every parameter are finite numbers."""
        return all_finite([self.loss, *self._numbers])

    def restore(self) -> None:
        """Set parameters and optimiser back to these numbers."""
        for p, number in zip(self._optimizer.parameters, self._numbers, strict=True):
            p.data = number
        self._optimizer.load_state_dict(self._state)


class EarlyStopping(Callback):
    """Ends a training that does not improve any more, and sets parameters and optimiser back to the best epoch.

    The best epoch is the first one with the smallest `val_loss`, or `loss` without rows for validation.

    >>> import nn
    >>> model = nn.MLP(1, [1], seed=0)
    >>> optimizer = nn.SGD(model.parameters(), lr=0.0)  # nothing improves
    >>> history = nn.fit(
    ...     model, [[1.0]], [2.0], nn.mse, optimizer, epochs=9, callbacks=[EarlyStopping(2)], verbose=False
    ... )
    >>> len(history), history.stopped
    (3, 'no better loss for 2 epochs: back to epoch 1')
    """

    def __init__(self, patience: int) -> None:
        """`patience` is how many epochs without a smaller loss end the training. ValueError if it is less than 1."""
        if not isinstance(patience, int):
            raise TypeError(f"EarlyStopping takes an int as patience, got {patience!r}")
        if patience < 1:
            raise ValueError(f"EarlyStopping takes a patience of at least 1, got {patience}")
        self.patience = patience
        self._best: Checkpoint | None = None

    def on_start(self, training: Training) -> None:
        """Forget the best epoch of an earlier training."""
        self._best = None

    def on_epoch_end(self, training: Training) -> None:
        """Remember this epoch if it is the best so far; stop if the best one is `patience` epochs ago."""
        row, epoch = training.history.rows[-1], len(training.history)
        loss = row.get("val_loss", row["loss"])
        if self._best is None or loss < self._best.loss:
            self._best = Checkpoint(training.optimizer, epoch, loss)
        elif epoch - self._best.epoch >= self.patience:
            training.stop(f"no better loss for {self.patience} epochs: back to epoch {self._best.epoch}")

    def on_finish(self, training: Training) -> None:
        """Set parameters and optimiser back to the best epoch, unless an error or Ctrl-C ended the training."""
        if training.completed and self._best is not None:
            self._best.restore()
