"""Training: `fit` and its History, `predict`, `evaluate`."""

from __future__ import annotations

import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from nn.losses import Loss
from nn.module import Module, all_finite, as_list, flatten, numbers, shape
from nn.optim import Optimizer, Schedule, clip_grad_norm_, clip_grad_value_

Model: TypeAlias = Callable[[Any], Any]
Row: TypeAlias = dict[str, float]
Clip: TypeAlias = Callable[[Sequence[Value]], None]
Metric: TypeAlias = Callable[[Any, Any], float]  # (prediction, target), of plain numbers
Callback: TypeAlias = Callable[["History"], object]


class History:
    """What happened in a training: one row of numbers for each epoch. Printed it is a table."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stopped = ""  # why the training ended before its last epoch, if it did

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """The numbers of one column, from the first epoch to the last."""
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"the history has no {name!r}: it has {', '.join(self.rows[0])}")
        return [row[name] for row in self.rows]

    def __str__(self) -> str:
        """The epochs as a table; of more than 25, the first, the last, and some between them, evenly spread."""
        last = len(self) - 1
        some = range(last + 1) if last < 25 else [round(i * last / 24) for i in range(25)]
        lines = [line for i in some for line in _lines(self.rows[i])[bool(i) * 2 :]]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses and metrics over the epochs, as `nn.plot_history` does."""
        from nn.plotting import plot_history

        return plot_history(self, ax)


class DivergenceError(ArithmeticError):
    """The loss or a parameter became infinite or NaN. `history` has the epochs before that."""

    def __init__(self, epoch: int, loss: float, lr: float, history: History) -> None:
        super().__init__(
            f"training diverged in epoch {epoch} (loss {loss:.4g}), and went back to the parameters before it: "
            f"try a learning rate below {lr:g}, or clip_norm"
        )
        self.history = history


class _Trainer:
    """The inner loop of `fit`: steps of the optimiser on rows of the data. Only it knows where a gradient is from."""

    def __init__(
        self, model: Model, loss: Loss, optimizer: Optimizer, X: Sequence[Any], y: Sequence[Any], clip: Clip | None
    ) -> None:
        self.model, self.loss, self.optimizer, self.X, self.y, self.clip = model, loss, optimizer, X, y, clip

    def step(self, rows: Sequence[int]) -> float:
        """Move the parameters by the gradient of the mean loss of these rows; that loss."""
        loss = ag.mean([self.loss(self.model(self.X[i]), self.y[i]) for i in rows])
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip:
            self.clip(self.optimizer.parameters)
        self.optimizer.step()
        return float(loss.data)

    def write(self) -> None:
        """See to it that the parameters and the optimiser hold what the steps have made of them."""


class _Checkpoint:
    """The numbers of the parameters and the optimiser at one moment, and its loss."""

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

    `verbose` prints a line for each epoch (None: if standard output is a terminal), with a progress bar if tqdm is
    installed. Ctrl-C ends the training and keeps parameters and history so far. ValueError or TypeError if data or
    settings make no sense, before anything has changed; DivergenceError when the loss or a parameter is infinite or
    NaN, after going back to the epoch before.
    """
    X, y = _examples("fit", X, y)
    X_val, y_val = _examples("fit: validation", *validation_data) if validation_data else ([], [])
    if not X_val and validation_split:
        X, y, X_val, y_val = _split(X, y, validation_split, seed)
    size = len(X) if batch_size is None else batch_size
    for name, setting in {"batch_size": size, "patience": patience}.items():
        if setting is not None and setting < 1:
            raise ValueError(f"fit takes a {name} of at least 1, or None, got {setting}")
    _rehearse(model, loss, optimizer, [*X, *X_val], [*y, *y_val])

    history = History() if history is None else history
    history.stopped = ""
    trainer = _Trainer(model, loss, optimizer, X, y, _clip(clip_value, clip_norm))
    best: _Checkpoint | None = None
    now = _Checkpoint(optimizer, len(history), 0.0)
    with _progress(verbose, (epochs - len(history)) * math.ceil(len(X) / size)) as (show, advance):
        try:
            while len(history) < epochs and not history.stopped:
                start, before, epoch = time.perf_counter(), now, len(history) + 1
                if schedule:
                    schedule.start(epoch - 1)
                order = _order(len(X), f"{seed} {epoch}" if shuffle else None)
                mean_loss = _train(trainer, [order[i : i + size] for i in range(0, len(X), size)], advance)
                now = _Checkpoint(optimizer, epoch, mean_loss)
                if not now.is_finite():
                    before.restore()
                    raise DivergenceError(epoch, mean_loss, optimizer.lr, history)
                row = {"epoch": epoch, "loss": mean_loss, **(evaluate(model, X, y, None, metrics) if metrics else {})}
                if X_val:
                    row |= {f"val_{k}": v for k, v in evaluate(model, X_val, y_val, loss, metrics).items()}
                    now.loss = row["val_loss"]
                if schedule:
                    row["lr"] = optimizer.lr
                history.rows.append(row | {"seconds": time.perf_counter() - start})
                show(history.rows[-1])
                if best is None or now.loss < best.loss:
                    best = now
                if patience and epoch - best.epoch >= patience:
                    history.stopped = f"no better loss for {patience} epochs: back to epoch {best.epoch}"
                if True in [callback(history) for callback in callbacks]:
                    history.stopped = f"ended by a callback in epoch {epoch}"
        except KeyboardInterrupt:
            trainer.write()
            history.stopped = f"interrupted in epoch {len(history) + 1}"
        else:
            if patience and best:
                best.restore()
    return history


def predict(model: Model, X: Any) -> list[Any]:
    """What `model` makes of each row of X: a number, or a list of numbers, for each."""
    X = _rows("predict", "X", X)
    with ag.no_grad():
        return [numbers(model(x)) for x in X]


def evaluate(
    model: Model, X: Any, y: Any, loss: Loss | None = None, metrics: Sequence[Metric] = ()
) -> dict[str, float]:
    """The means over all rows of `loss`, as "loss", and of each of `metrics`, under its name."""
    X, y = _examples("evaluate", X, y)
    with ag.no_grad():
        outputs = [model(x) for x in X]
        means = (
            {"loss": statistics.fmean([numbers(loss(p, t)) for p, t in zip(outputs, y, strict=True)])} if loss else {}
        )
    predictions = numbers(outputs)
    for metric in metrics:
        means[metric.__name__] = statistics.fmean([metric(p, t) for p, t in zip(predictions, y, strict=True)])
    return means


def _lines(row: Row) -> list[str]:
    """A header, a rule, and the row below it; every row of a history is as wide."""
    cells = {
        name: f"{int(x)}" if name == "epoch" else f"{x:.2f}" if name == "seconds" else f"{x:.4g}"
        for name, x in row.items()
    }
    widths = {name: max(len(name), 5 if name == "epoch" else 9) for name in row}
    header = "  ".join(name.rjust(widths[name]) for name in row)
    return [header, "-" * len(header), "  ".join(cells[name].rjust(widths[name]) for name in row)]


def _train(trainer: _Trainer, batches: Sequence[Sequence[int]], advance: Callable[[float], None]) -> float:
    """Go through the batches once; the mean loss of their rows. Ends at the first loss that is not finite."""
    total = 0.0
    for rows in batches:
        loss = trainer.step(rows)
        total += loss * len(rows)
        if not math.isfinite(total):
            break
        advance(loss)
    trainer.write()
    return total / sum(map(len, batches))


def _order(n: int, seed: str | None) -> list[int]:
    """0 to n - 1, shuffled if there is a seed."""
    order = list(range(n))
    if seed is not None:
        random.Random(seed).shuffle(order)
    return order


def _split(X: list[Any], y: list[Any], part: float, seed: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """X and y without, and then of, a part of the rows drawn by `seed`."""
    held = round(part * len(X)) if 0.0 < part < 1.0 else 0
    if not 0 < held < len(X):
        raise ValueError(
            f"a validation_split of {part} leaves nothing to train or nothing to validate of {len(X)} rows"
        )
    order = _order(len(X), f"{seed} validation")
    (X1, y1), (X2, y2) = [([X[i] for i in rows], [y[i] for i in rows]) for rows in (order[held:], order[:held])]
    return X1, y1, X2, y2


def _rows(what: str, name: str, array: Any) -> list[Any]:
    """The rows of an array; an error that names the first one that is not as long as the others, or not finite."""
    rows = as_list(array)
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"{what} takes {name} as a list or an array with one row for each example, got {rows!r}")
    if not rows:
        raise ValueError(f"{what}: {name} has no rows")
    rows = [as_list(row) for row in rows]
    for i, row in enumerate(rows):
        for number in flatten(row):
            if not isinstance(number, Real):
                raise TypeError(f"{what}: row {i} of {name} has {number!r} where a number should be")
            if not math.isfinite(number):
                raise ValueError(f"{what}: row {i} of {name} has {number}: leave such rows out, or fill them in")
        if shape(row) != shape(rows[0]) or shape(row) is None:
            raise ValueError(f"{what}: row {i} of {name} has shape {shape(row)}, row 0 has {shape(rows[0])}")
    return rows


def _examples(what: str, X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    """The rows of X and y, as many of one as of the other."""
    X, y = _rows(what, "X", X), _rows(what, "y", y)
    if len(X) != len(y):
        raise ValueError(f"{what} takes one target for each row, got {len(X)} rows in X and {len(y)} in y")
    return X, y


def _rehearse(model: Model, loss: Loss, optimizer: Optimizer, X: list[Any], y: list[Any]) -> None:
    """Find out what cannot work before anything has changed."""
    if not all_finite([p.data for p in optimizer.parameters]):
        raise ValueError("fit: a parameter is infinite or NaN before the first step: initialise or load the model anew")
    if isinstance(model, Module) and set(optimizer.parameters).isdisjoint(model.parameters()):
        raise ValueError("fit: none of the optimizer's parameters is one of the model: give it model.parameters()")
    with ag.no_grad():
        prediction = model(X[0])
        for i, target in enumerate(y):
            try:
                loss(prediction, target)
            except (ValueError, TypeError) as error:
                raise type(error)(f"fit: row {i} of y: {error}") from error


def _clip(clip_value: float | None, clip_norm: float | None) -> Clip | None:
    """What clips the gradients of parameters, if anything does."""
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


@contextmanager
def _progress(verbose: bool | None, steps: int) -> Iterator[tuple[Callable[[Row], None], Callable[[float], None]]]:
    """What shows a finished epoch, and what notes a step with its loss: an aligned line, and a bar."""
    if not (sys.stdout.isatty() if verbose is None else verbose):
        yield lambda row: None, lambda loss: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        tqdm = None
    bar = tqdm and tqdm(total=steps, unit="step", leave=False, disable=None)  # no bar where there is no terminal
    headed = False

    def show(row: Row) -> None:
        nonlocal headed
        lines = _lines(row)
        for line in lines[2 * headed :]:
            bar.write(line) if bar else print(line, flush=True)
        headed = True

    def advance(loss: float) -> None:
        if bar:
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            bar.update()

    try:
        yield show, advance
    finally:
        if bar:
            bar.close()
