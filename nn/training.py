"""Training: `fit`, `predict` and `evaluate`."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from nn.data import examples_of, order_of, rows_of, split
from nn.history import History, Row, progress
from nn.losses import Loss, cross_entropy
from nn.module import Module, all_finite, numbers, shape
from nn.optim import Optimizer, Schedule, clip_grad_norm_, clip_grad_value_

Model: TypeAlias = Callable[[Any], Any]
Metric: TypeAlias = Callable[[Any, Any], float]  # (prediction, target), of plain numbers
Callback: TypeAlias = Callable[[History], object]
Clip: TypeAlias = Callable[[Sequence[Value]], None]


class DivergenceError(ArithmeticError):
    """The loss or a parameter became infinite or NaN. `history` has the epochs before that."""

    def __init__(self, epoch: int, loss: float, lr: float, history: History) -> None:
        super().__init__(
            f"training diverged in epoch {epoch} (loss {loss:.4g}), and went back to the parameters before it: "
            f"try a learning rate below {lr:g}, or clip_norm"
        )
        self.history = history


def fit(
    model: Model,
    X: Any,
    y: Any,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int = 10,
    batch_size: int | None = 32,
    *,
    shuffle: bool = True,
    seed: int = 0,
    validation_data: tuple[Any, Any] | None = None,
    validation_split: float = 0.0,
    metrics: Sequence[Metric] = (),
    schedule: Schedule | None = None,
    patience: int | None = None,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    callbacks: Sequence[Callback] = (),
    history: History | None = None,
    jit: bool = True,
    verbose: bool | None = None,
) -> History:
    """Train `model` to make `loss(model(x), y)` small on the rows of X and y; the History of that.

    X has one row of numbers, or one number, for each example, and y one target: nested lists or arrays. An epoch goes
    through the rows in mini-batches of `batch_size` (None: all at once), in an order drawn from `seed` and the epoch's
    number. Rows for validation are given, or drawn from X and y: a part of `validation_split`, by `seed`.

    A row of the history has the mean `loss` of the batches as they were trained, and as things are after the epoch the
    `metrics` under their names, and val_loss and so on of the validation rows. With `patience`, training ends when
    val_loss (without validation: loss) has not become smaller for so many epochs, and goes back to its best epoch.
    `callbacks` get the history after each epoch; one that returns True ends the training. Gradients are clipped to
    +-`clip_value`, and to `clip_norm` as one vector. Of a `history`, `epochs` counts the epochs that it has already.

    The loss is compiled; model and loss must then do the same at every call, but for the numbers. One that cannot be
    compiled is trained eagerly, with a warning that says why; so is every one, with no warning, if not `jit`. What is
    in `grad` of the parameters afterwards says nothing.

    `verbose` prints a line for each epoch (None: if standard output is a terminal), with a progress bar if tqdm is
    installed. Ctrl-C ends the training and keeps parameters and history so far. ValueError or TypeError if data or
    settings make no sense, before anything has changed; DivergenceError when the loss or a parameter is infinite or
    NaN, after going back to the epoch before.
    """
    X, y = examples_of("fit", X, y)
    X_val, y_val = examples_of("fit: validation", *validation_data) if validation_data else ([], [])
    if not X_val and validation_split:
        X, y, X_val, y_val = split(X, y, validation_split, seed)
    size = len(X) if batch_size is None else batch_size
    for name, setting in {"batch_size": size, "patience": patience, "epochs": epochs}.items():
        if not isinstance(setting, int | None):
            raise TypeError(f"fit takes an int for {name}, got {setting!r}")
        if setting is not None and setting < 1 and name != "epochs":
            raise ValueError(f"fit takes a {name} of at least 1, or None, got {setting}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit takes an optimizer, such as nn.Adam(model.parameters()), got {optimizer!r}")
    if not isinstance(history, History | None):
        raise TypeError(f"fit takes a History to go on with, as fit returns it, got {type(history).__name__}")
    if schedule and schedule.optimizer is not optimizer:
        raise ValueError("fit takes a schedule of the optimizer that it trains with, and this one is of another")
    _rehearse(model, loss, optimizer, [*X, *X_val], [*y, *y_val])

    history = History() if history is None else history
    history.stopped = ""
    trainer = _Trainer(model, loss, optimizer, X, y, _clip(clip_value, clip_norm), jit)
    outputs = _outputs(model, jit)
    best, now = None, _Checkpoint(optimizer, len(history), 0.0)
    with progress(verbose, (epochs - len(history)) * math.ceil(len(X) / size)) as (show, note):
        try:
            while len(history) < epochs and not history.stopped:
                start, before, epoch = time.perf_counter(), now, len(history) + 1
                if schedule:
                    schedule.start(epoch - 1)
                order = order_of(len(X), f"{seed} {epoch}" if shuffle else None)
                mean_loss = trainer.train([order[i : i + size] for i in range(0, len(X), size)], note)
                now = _Checkpoint(optimizer, epoch, mean_loss)
                if not now.is_finite():
                    before.restore()
                    raise DivergenceError(epoch, mean_loss, optimizer.lr, history)
                row = {"epoch": epoch, "loss": mean_loss, **_means(outputs, X, y, None, metrics)}
                if X_val:
                    row |= {f"val_{name}": x for name, x in _means(outputs, X_val, y_val, loss, metrics).items()}
                    now.loss = row["val_loss"]
                if schedule:
                    row["lr"] = optimizer.lr
                history.rows.append(row | {"seconds": time.perf_counter() - start})
                show(history.rows[-1])
                if best is None or now.loss < best.loss:
                    best = now
                if patience and epoch - best.epoch >= patience:
                    history.stopped = f"no better loss for {patience} epochs: back to epoch {best.epoch}"
                if True in [callback(history) is True for callback in callbacks]:
                    history.stopped = f"ended by a callback in epoch {epoch}"
        except KeyboardInterrupt:
            trainer.write()
            history.stopped = f"interrupted in epoch {len(history) + 1}"
        else:
            if patience and best:
                best.restore()
    return history


def predict(model: Model, X: Any, *, jit: bool = True) -> list[Any]:
    """What `model` makes of each row of X: a number, or a list of numbers. For `jit` see `fit`."""
    X = rows_of("predict", "X", X)
    return _outputs(model, jit)(X)


def evaluate(
    model: Model, X: Any, y: Any, loss: Loss | None = None, metrics: Sequence[Metric] = (), *, jit: bool = True
) -> Row:
    """The means over all rows of `loss`, as "loss", and of `metrics`, under their names. For `jit` see `fit`."""
    X, y = examples_of("evaluate", X, y)
    return _means(_outputs(model, jit), X, y, loss, metrics)


class _Trainer:
    """The inner loop of `fit`: steps of the optimiser on rows of the data. Only it knows where a gradient is from."""

    def __init__(
        self, model: Model, loss: Loss, optimizer: Optimizer, X: Any, y: Any, clip: Clip | None, jit: bool
    ) -> None:
        def one(x: Any, target: Any) -> Any:
            return loss(model(x), target)

        def mean(X: Any, y: Any) -> Any:
            return ag.mean([one(x, target) for x, target in zip(X, y, strict=True)])

        self.optimizer, self.clip = optimizer, clip
        # The ways to make a step, until one has worked: what to say of it, rows, targets, mean of the loss, a trainer.
        self.ways: list[tuple[str, Any, Any, Callable[[Any, Any], Any], Any]] = []
        eager = "fit trains eagerly, and slowly, as the loss cannot be compiled", X, y, mean, None
        if jit:
            if loss is cross_entropy and shape(y[0]) == ():
                y = _probabilities(y, len(model(X[0])))
            jitted = ag.jit(one)
            way = "fit moves one parameter after the other, as the step cannot be compiled", _array(X), _array(y)
            if not clip and type(optimizer).step is Optimizer.step:
                self.ways.append((*way, jitted.mean, ag.trainer(jitted, optimizer)))
            self.ways.append((*way, jitted.mean, None))
        self.ways.append(eager)

    def train(self, batches: Sequence[list[int]], note: Callable[[float], None]) -> float:
        """A step on each of `batches`, numbers of rows; the mean loss of the rows. Ends early if that is not finite."""
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
        """Move the parameters by the gradient of the mean loss of these rows; that loss."""
        refused = None
        while True:
            try:
                loss = self._step(rows, *self.ways[0][1:])
                break
            except ArithmeticError:
                raise
            except Exception as error:
                if len(self.ways) == 1:
                    raise
                refused = error
                del self.ways[0]
        if refused:
            warnings.warn(f"{self.ways[0][0]}: {refused}", stacklevel=4)
        del self.ways[1:]
        return loss

    def _step(self, rows: list[int], X: Any, y: Any, mean: Callable[[Any, Any], Any], compiled: Any) -> float:
        X, y = ([column[i] for i in rows] if isinstance(column, list) else column[rows] for column in (X, y))
        if compiled:
            return float(compiled(X, y))
        loss = mean(X, y)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip:
            self.clip(self.optimizer.parameters)
        self.optimizer.step()
        return float(loss.data)

    def write(self) -> None:
        """See to it that the parameters and the optimiser hold what the steps have made of them."""
        *_, compiled = self.ways[0]
        if compiled:
            compiled.write()


class _Checkpoint:
    """The numbers of the parameters and the optimiser after an epoch, and its loss."""

    def __init__(self, optimizer: Optimizer, epoch: int, loss: float) -> None:
        self.epoch, self.loss = epoch, loss
        self._optimizer, self._state = optimizer, optimizer.state_dict()
        self._numbers = [p.data for p in optimizer.parameters]

    def is_finite(self) -> bool:
        """Whether the loss and every parameter are finite numbers."""
        return all_finite([self.loss, *self._numbers])

    def restore(self) -> None:
        """Give parameters and optimiser these numbers back."""
        for p, number in zip(self._optimizer.parameters, self._numbers, strict=True):
            p.data = number
        self._optimizer.load_state_dict(self._state)


def _means(outputs: Callable[[Any], list[Any]], X: Any, y: Any, loss: Loss | None, metrics: Sequence[Metric]) -> Row:
    """The means of loss and metrics over the rows of X, of which `outputs` makes the predictions."""
    predictions = outputs(X) if loss or metrics else []
    means = {}
    if loss:
        with ag.no_grad():
            losses = [loss(_values(p), target) for p, target in zip(predictions, y, strict=True)]
        means["loss"] = statistics.fmean(numbers(losses))
    for metric in metrics:
        means[metric.__name__] = statistics.fmean([metric(p, target) for p, target in zip(predictions, y, strict=True)])
    return means


def _outputs(model: Model, jit: bool) -> Callable[[Any], list[Any]]:
    """The function from rows, all of one structure, to the numbers that `model` makes of them."""
    jitted = [ag.jit(lambda x: model(x))] * jit  # none if it turns out that it cannot be compiled, whatever the reason

    def outputs(X: Any) -> list[Any]:
        with ag.no_grad():
            if jitted:
                with suppress(Exception):
                    return list(numbers(jitted[0].map(_array(X))))
                jitted.clear()
            return list(numbers([model(x) for x in X]))

    return outputs


def _array(rows: list[Any]) -> Any:
    """The rows as an array, where there is NumPy."""
    try:
        import numpy as np
    except ImportError:
        return rows
    return np.asarray(rows, dtype=float)


def _values(prediction: Any) -> Any:
    """The numbers of a prediction as Values."""
    return [_values(item) for item in prediction] if isinstance(prediction, list) else Value(prediction)


def _probabilities(labels: list[int], classes: int) -> list[list[float]]:
    """Labels as probabilities, 1 for the class and 0 for the others: a compiled loss cannot take the n-th of a list."""
    return [[float(k == label) for k in range(classes)] for label in labels]


def _rehearse(model: Model, loss: Loss, optimizer: Optimizer, X: list[Any], y: list[Any]) -> None:
    """Find out what cannot work before anything has changed."""
    if not all_finite([p.data for p in optimizer.parameters]):
        raise ValueError("fit: a parameter is infinite or NaN before the first step: initialise or load the model anew")
    if isinstance(model, Module) and set(optimizer.parameters).isdisjoint(model.parameters()):
        raise ValueError("fit: none of the optimizer's parameters is one of the model's: give it model.parameters()")
    with ag.no_grad():
        prediction = model(X[0])
        for i, target in enumerate(y):
            try:
                loss(prediction, target)
            except (ValueError, TypeError) as error:
                raise type(error)(f"fit: row {i} of y: {error}") from error


def _clip(clip_value: float | None, clip_norm: float | None) -> Clip | None:
    """What clips the gradients of parameters, if anything is to."""
    for name, limit in {"clip_value": clip_value, "clip_norm": clip_norm}.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"fit takes a {name} above 0, or None, got {limit}")
    if clip_value is None and clip_norm is None:
        return None

    def clip(parameters: Sequence[Value]) -> None:
        if clip_value is not None:
            clip_grad_value_(parameters, clip_value)
        if clip_norm is not None:
            clip_grad_norm_(parameters, clip_norm)

    return clip
