"""`predict` and `evaluate`: the outputs of a model for rows of data, and its loss and metrics on them."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from nn.data import Row, examples_of, rows_of
from nn.losses import Loss
from nn.module import numbers

Model: TypeAlias = Callable[[Any], Any]
Metric: TypeAlias = Callable[[Any, Any], float]  # (prediction, target), of plain numbers


def check_callable(what: str, **things: Any) -> None:
    """Raise a TypeError that names `what` and the first of `things`, a model, a loss, that cannot be called."""
    examples = {"model": "nn.MLP(2, [8, 1])", "loss": "nn.mse"}
    for name, thing in things.items():
        if not callable(thing):
            raise TypeError(f"{what} takes a {name} that can be called, such as {examples[name]}, got {thing!r:.60}")


def checked_metrics(what: str, metrics: Any) -> list[Metric]:
    """The functions in `metrics` as a list. A TypeError that names `what` if `metrics` is not a list of functions."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"{what} takes a list of functions as metrics, such as [nn.accuracy], got {metrics!r:.60}")
    listed = list(metrics)
    for metric in listed:
        if not callable(metric):
            raise TypeError(f"{what} takes functions as metrics, such as nn.accuracy, got {metric!r:.60}")
    return listed


def predict(model: Model, X: Any, *, jit: bool = True) -> list[Any]:
    """The outputs of `model` for the rows of X: a number for each row, or a list of numbers.

    X has one row of numbers, or one number, for each example: nested lists or an array. The model is compiled; one that
    cannot be compiled is called row by row, with one warning that says why, and without a warning if `jit` is False.
    A ValueError or TypeError names the row of X that is not finite numbers or has another shape than row 0.

    >>> predict(lambda x: 2.0 * x[0] + x[1], [[1.0, 2.0], [3.0, 4.0]])
    [4.0, 10.0]
    """
    check_callable("predict", model=model)
    X = rows_of("predict", "X", X)
    return Outputs("predict", model, jit)(X)


def evaluate(
    model: Model, X: Any, y: Any, loss: Loss | None = None, metrics: Sequence[Metric] = (), *, jit: bool = True
) -> Row:
    """The means over all rows of `loss`, as "loss", and of each of `metrics`, under its name.

    For `jit` see `predict`.

    >>> from nn.losses import accuracy, mse
    >>> evaluate(lambda x: 2.0 * x, [1.0, -2.0], [3.0, -4.0], mse, [accuracy])
    {'loss': 0.5, 'accuracy': 1.0}
    """
    check_callable("evaluate", model=model, **({} if loss is None else {"loss": loss}))
    metrics = checked_metrics("evaluate", metrics)
    X, y = examples_of("evaluate", X, y)
    return means(Outputs("evaluate", model, jit, stacklevel=4), X, y, loss, metrics)


class Outputs:
    """The function from rows, all of one shape, to the outputs of a model.

    The model is compiled, and traced again only for rows of another shape. If that fails, a warning says so once, in
    the name of the function `what`, and the rows go through the model one by one.
    """

    def __init__(self, what: str, model: Model, jit: bool, stacklevel: int = 3) -> None:
        self.warns = True
        self._what, self._model, self._stacklevel = what, model, stacklevel
        self._jitted: Any = ag.jit(lambda x: model(x)) if jit else None

    def __call__(self, X: list[Any]) -> list[Any]:
        """The outputs for the rows of X."""
        with ag.no_grad():
            if self._jitted is not None:
                try:
                    found = self._jitted.map(as_array(X))
                    if not hasattr(found, "tolist"):  # the model gives several arrays, one for each output
                        found = self._jitted.map(X)
                    return list(numbers(found))
                except ag.CompileError as error:
                    self._jitted = None
                    if self.warns:
                        warnings.warn(
                            f"{self._what} calls the model row by row, and slowly, as it cannot be compiled: {error}",
                            stacklevel=self._stacklevel,
                        )
            return list(numbers([self._model(x) for x in X]))


def means(outputs: Outputs, X: list[Any], y: list[Any], loss: Loss | None, metrics: Sequence[Metric]) -> Row:
    """The means of loss and metrics over the rows of X, whose predictions `outputs` makes."""
    if not loss and not metrics:
        return {}
    predictions = outputs(X)
    row: Row = {}
    if loss:
        with ag.no_grad():
            losses = [loss(_values(p), target) for p, target in zip(predictions, y, strict=True)]
        row["loss"] = _mean(numbers(losses))
    for metric in metrics:
        name = getattr(metric, "__name__", type(metric).__name__)
        row[name] = _mean([metric(p, target) for p, target in zip(predictions, y, strict=True)])
    return row


def _mean(numbers: list[float]) -> float:
    """The mean of `numbers`; infinite or NaN where their sum is."""
    try:
        return statistics.fmean(numbers)
    except (OverflowError, ValueError):  # a sum beyond the largest float, or infinities of both signs
        return float(ag.mean(numbers))


def as_array(rows: list[Any]) -> Any:
    """The rows as a NumPy array of floats, or as they are if NumPy is not installed."""
    try:
        import numpy as np
    except ImportError:
        return rows
    return np.asarray(rows, dtype=float)


def _values(prediction: Any) -> Any:
    """The numbers of a prediction as Values: a loss may call their methods."""
    return [_values(item) for item in prediction] if isinstance(prediction, list) else Value(prediction)
