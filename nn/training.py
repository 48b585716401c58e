"""Training: `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

import autograd_lite as ag
from autograd_lite import Value
from nn.callbacks import Callback, Checkpoint, EarlyStopping, FunctionCallback, Training
from nn.data import examples_of, order_of, split
from nn.diagnosis import Diagnose
from nn.history import History, progress
from nn.losses import Loss
from nn.module import Module, all_finite, numbers
from nn.optim import Optimizer, check_limit, clip_grad_norm_, clip_grad_value_
from nn.prediction import Metric, Model, Outputs, check_callable, checked_metrics, means
from nn.schedules import Schedule
from nn.steps import Clip, Stepper


class DivergenceError(ArithmeticError):
    """The loss or a parameter is infinite or NaN. `history` has the epochs before that.

    >>> import nn
    >>> model = nn.MLP(1, [1], seed=0)
    >>> optimizer = nn.SGD(model.parameters(), lr=1e200)
    >>> nn.fit(model, [[1.0]], [2.0], nn.mse, optimizer, epochs=9, verbose=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    nn.training.DivergenceError: training diverged in epoch ...
    """

    def __init__(self, epoch: int, loss: float, lr: float | None, history: History) -> None:
        """`lr` is None if the loss is not finite before the first step, so that the learning rate is not the cause."""
        advice = "the loss is not finite there, so try"
        if lr is not None:
            advice = f"try a learning rate below {lr:g}, clip_norm, or"
        super().__init__(
            f"training diverged in epoch {epoch} (loss {loss:.4g}), and went back to the parameters before it: "
            f"{advice} fit(..., jit=False) under detect_anomaly(), which names the operation"
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
    callbacks: Sequence[Callback | Callable[[History], object]] = (),
    history: History | None = None,
    jit: bool = True,
    diagnose: bool = False,
    verbose: bool | None = None,
) -> History:
    """Train `model` to make the mean of `loss(model(x), y)` over the rows of X and y small, and return the History.

    X has one row of numbers, or one number, for each example, and y one target: nested lists or arrays. An epoch goes
    through the rows in mini-batches of `batch_size` (None: all at once), in an order drawn from `seed` and the epoch's
    number. Rows for validation are given as `validation_data`, or drawn by `seed` from X and y: the
    fraction `validation_split` of them, which are not trained on. If both are given, `validation_data` is used.

    A row of the history has the mean `loss` of the batches as they were trained, and, computed after the epoch, the
    `metrics` under their names, and `val_loss` and `val_<metric>` of the validation rows. `callbacks` follow the
    training: see Callback. A plain function among them gets the history after each epoch, and ends the training by
    returning True. `schedule=s` stands for the callback s, and `patience=n` for EarlyStopping(n). Gradients are clipped
    to the range of +-`clip_value`, and as one vector to the length `clip_norm`. With a `history`, training continues:
    its epochs count towards `epochs`.

    Loss and model are traced once, without numbers, and compiled, so they must do the same operations for every row. A
    loss that cannot be compiled is trained eagerly, with one warning that says why; with `jit=False` every loss is,
    without a warning. `grad` of the parameters is undefined afterwards.

    `diagnose` examines the network before the first epoch and after the last: see `nn.diagnose`. What is found is in
    `history.diagnosis`, and a warning says it.

    `verbose` prints a line for each epoch (None: if standard output is a terminal), with a progress bar if tqdm is
    installed. Ctrl-C ends the training and keeps parameters and history so far. ValueError or TypeError for data or
    settings that make no sense, before anything has changed; DivergenceError when the loss or a parameter is infinite
    or NaN, after going back to the epoch before.

    >>> from nn.layers import MLP
    >>> from nn.losses import mse
    >>> from nn.optim import SGD
    >>> model = MLP(1, [1], seed=0)
    >>> history = fit(model, [0.0, 1.0, 2.0], [1.0, 3.0, 5.0], mse, SGD(model.parameters(), lr=0.2), epochs=100)
    >>> [round(p.data, 3) for p in model.parameters()]
    [2.0, 1.0]
    """
    check_callable("fit", model=model, loss=loss)
    X, y = examples_of("fit", X, y)
    metrics = checked_metrics("fit", metrics)
    if validation_data is not None and not (isinstance(validation_data, (tuple, list)) and len(validation_data) == 2):
        raise TypeError(f"fit takes the pair (X, y) as validation_data, got {type(validation_data).__name__}")
    X_val, y_val = examples_of("fit: validation", *validation_data) if validation_data else ([], [])
    if not X_val and validation_split:
        X, y, X_val, y_val = split(X, y, validation_split, seed)
    size = len(X) if batch_size is None else batch_size
    for name, setting in {"batch_size": size, "patience": patience, "epochs": epochs}.items():
        if not isinstance(setting, int | None):
            raise TypeError(f"fit takes an int for {name}, got {setting!r}")
        if setting is not None and setting < 1 and name != "epochs":
            raise ValueError(f"fit takes a {name} of at least 1, or None, got {setting}")
    if epochs < 0:
        raise ValueError(f"fit takes epochs of at least 0, got {epochs}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit takes an optimizer, such as nn.Adam(model.parameters()), got {optimizer!r}")
    if not isinstance(history, History | None):
        raise TypeError(f"fit takes a History to continue, as fit returns it, got {type(history).__name__}")
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"fit takes a list of callbacks, got {callbacks!r:.60}")
    given: list[Any] = [schedule, EarlyStopping(patience) if patience else None, *callbacks]
    given += [Diagnose()] if diagnose else []
    followers = [_callback(callback) for callback in given if callback is not None]
    _dry_run(model, loss, metrics, optimizer, [*X, *X_val], [*y, *y_val])

    history = History() if history is None else history
    stepper = Stepper(model, loss, optimizer, X, y, _clip(clip_value, clip_norm), jit)
    outputs = Outputs("fit", model, jit, stacklevel=4)
    training = Training(model, loss, optimizer, X, y, X_val, y_val, history, jit)
    for follower in followers:
        follower.on_start(training)
    history.stopped = ""
    initial = now = Checkpoint(optimizer, len(history), 0.0)
    with progress(verbose, (epochs - len(history)) * math.ceil(len(X) / size)) as (show, note):
        try:
            while len(history) < epochs and not history.stopped:
                start, before, epoch = time.perf_counter(), now, len(history) + 1
                for follower in followers:
                    follower.on_epoch_start(training, epoch)
                order = order_of(len(X), f"{seed} {epoch}" if shuffle else None)
                mean_loss = stepper.train([order[i : i + size] for i in range(0, len(X), size)], note)
                now = Checkpoint(optimizer, epoch, mean_loss)
                outputs.warns = not stepper.is_eager  # one warning is enough
                if not now.is_finite():
                    lr: float | None = optimizer.lr
                    before.restore()
                    if before is initial and not all_finite(means(outputs, X, y, loss, ()).values()):
                        lr = None
                    raise DivergenceError(epoch, mean_loss, lr, history)
                row = {"epoch": epoch, "loss": mean_loss, **means(outputs, X, y, None, metrics)}
                if X_val:
                    row |= {f"val_{name}": x for name, x in means(outputs, X_val, y_val, loss, metrics).items()}
                for follower in followers:
                    row |= {name: float(x) for name, x in follower.columns(training).items()}
                history.rows.append(row | {"seconds": time.perf_counter() - start})
                show(history.rows[-1])
                for follower in followers:
                    follower.on_epoch_end(training)
            training.completed = True
        except KeyboardInterrupt:
            stepper.write()
            history.stopped = f"interrupted in epoch {len(history) + 1}"
        finally:
            for follower in followers:
                follower.on_finish(training)
    return history


def _dry_run(
    model: Model, loss: Loss, metrics: Sequence[Metric], optimizer: Optimizer, X: list[Any], y: list[Any]
) -> None:
    """Run the model and the metrics on the first row and the loss on each target; check that some row can be learned.

    So what cannot work raises its error before anything has changed.
    """
    if not all_finite([p.data for p in optimizer.parameters]):
        raise ValueError("fit: a parameter is infinite or NaN before the first step: initialise or load the model anew")
    if isinstance(model, Module) and set(optimizer.parameters).isdisjoint(model.parameters()):
        raise ValueError("fit: none of the optimizer's parameters is one of the model's: give it model.parameters()")
    with ag.no_grad():
        prediction = model(X[0])
        model(X[-1])  # a row for validation, if there is one
        for i, target in enumerate(y):
            try:
                found: Any = loss(prediction, target)
            except (ValueError, TypeError) as error:
                raise type(error)(f"fit: row {i} of y: {error}") from error
            if not isinstance(found, Value | Real):
                raise TypeError(f"fit: the loss returns one Value, got {type(found).__name__} for row {i} of y")
        for metric in metrics:
            number: Any = metric(numbers(prediction), y[0])
            if not isinstance(number, Real):
                name, kind = getattr(metric, "__name__", repr(metric)), type(number).__name__
                raise TypeError(f"fit: the metric {name} returns a number, got {kind}")
    trained = set(optimizer.parameters)
    for x, target in zip(X, y, strict=True):
        found = loss(model(x), target)
        if isinstance(found, Value) and not trained.isdisjoint(ag.topological_order(found)):
            return
    raise ValueError(
        "fit: the loss depends on none of the optimizer's parameters: "
        "give the optimizer the Values that the model computes with, and do not cut the graph with .data or no_grad"
    )


def _clip(clip_value: float | None, clip_norm: float | None) -> Clip | None:
    """The function that clips the gradients of parameters; None if nothing is to be clipped."""
    for name, limit in {"clip_value": clip_value, "clip_norm": clip_norm}.items():
        if limit is not None:
            check_limit("fit", name, limit)
    if clip_value is None and clip_norm is None:
        return None

    def clip(parameters: Sequence[Value]) -> None:
        if clip_value is not None:
            clip_grad_value_(parameters, clip_value)
        if clip_norm is not None:
            clip_grad_norm_(parameters, clip_norm)

    return clip


def _callback(callback: Any) -> Callback:
    """A Callback as it is, and a plain function as one; a TypeError if it is neither."""
    if isinstance(callback, Callback):
        return callback
    if not callable(callback) or isinstance(callback, type):
        raise TypeError(f"fit takes callbacks, functions of the history or nn.Callback, got {callback!r:.60}")
    return FunctionCallback(callback)
