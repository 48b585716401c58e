"""The film of a training: a page on which boundary, loss, weights and gradients move from epoch to epoch."""

from __future__ import annotations

import json
import math
import statistics
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from autograd_lite import Value
from autograd_lite.files import write_whole
from autograd_lite.trees import tree_leaves
from nn.callbacks import Callback, Training
from nn.data import Row, evenly_spaced
from nn.history import History
from nn.layers import layers_of, name_of
from nn.losses import binary_cross_entropy, binary_cross_entropy_with_logits, hinge
from nn.module import Module, shape
from nn.plotting import check_resolution, range_around
from nn.prediction import Outputs
from nn.steps import mean_loss

ROWS = 500  # the most rows that are drawn and that gradients are computed from
NUMBERS = 1_500_000  # the most weights on a page, over all its frames


class Frame(NamedTuple):
    """The parameters after an epoch, and its row of the history; epoch 0 is before the first and has no row."""

    epoch: int
    numbers: array[float]
    row: Row


class Recording(Callback):
    """A callback that keeps the parameters after each epoch, for `film`. That costs `fit` one copy of them an epoch.

    With a `path` the film is written there when the training ends, also by Ctrl-C or an error. At most `frames` epochs
    are kept: where there are more, every second one, then every fourth and so on, and always the last.

    >>> import nn
    >>> model, recording = nn.MLP(1, [1], seed=0), Recording()
    >>> optimizer = nn.SGD(model.parameters())
    >>> history = nn.fit(
    ...     model, [[1.0]], [2.0], nn.mse, optimizer, epochs=3, callbacks=[recording], verbose=False
    ... )
    >>> len(recording.frames)
    4
    """

    def __init__(self, path: str | Path | None = None, frames: int = 400) -> None:
        """A ValueError if `path` is not that of an .html file, or `frames` is less than 2."""
        if frames < 2:
            raise ValueError(f"Recording takes at least 2 frames, got {frames}")
        self.path = None if path is None else _html_path(path)
        self.frames: list[Frame] = []
        self.training: Training | None = None
        self.parameters: list[Value] = []  # the Values whose numbers are in the frames
        self._limit, self._stride = frames, 1

    def __repr__(self) -> str:
        return f"Recording({len(self.frames)} frames)"

    def on_start(self, training: Training) -> None:
        """Keep the parameters as they are initialised."""
        self.training, self.frames, self._stride = training, [], 1
        self.parameters = list(training.optimizer.parameters)
        training.history.recording = self
        self._keep({})

    def on_epoch_end(self, training: Training) -> None:
        """Keep the parameters after this epoch."""
        if self.frames[-1].epoch % self._stride:  # it was kept as the last one
            self.frames.pop()
        self._keep(training.history.rows[-1])
        if len(self.frames) > self._limit:
            self._stride *= 2
            self.frames = [
                frame for frame in self.frames if frame.epoch % self._stride == 0 or frame is self.frames[-1]
            ]

    def on_finish(self, training: Training) -> None:
        """Write the film, if there is a path for it."""
        if self.path is not None:
            film(self, self.path)

    def _keep(self, row: Row) -> None:
        training = self.training
        assert training is not None
        self.frames.append(Frame(len(training.history), array("d", [p.data for p in self.parameters]), dict(row)))


def film(source: Recording | History, path: str | Path, *, resolution: int = 48) -> Path:
    """Write a self-contained page to `path`, an .html file, that shows a training epoch by epoch; return the path.

    `source` is the Recording that followed the training, or the History that it made. The page shows the loss, the
    weights and the gradients of the mean loss of up to 500 rows, after up to 160 of the recorded epochs. For inputs of
    one or two numbers it shows the function that the network computes, drawn with `resolution` points along each side;
    for others the outputs against the targets. It has a slider and a play button, and needs no internet connection.
    Parameters and gradients of the model are left as they were.

    A TypeError if `source` is something else, a ValueError if nothing was recorded, `path` is not that of an .html file
    or `resolution` is less than 2, an OSError if it cannot be written; the file is then as it was before.

    >>> from tempfile import gettempdir
    >>> from nn.layers import MLP
    >>> from nn.losses import mse
    >>> from nn.optim import SGD
    >>> from nn.training import fit
    >>> model = MLP(1, [1], seed=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> history = fit(model, [0.0, 1.0], [1.0, 3.0], mse, optimizer, callbacks=[Recording()])
    >>> film(history, Path(gettempdir()) / "line.html").name
    'line.html'
    """
    path = _html_path(path)
    check_resolution("film", resolution)
    if isinstance(source, History):
        if source.recording is None:
            raise ValueError("film: this history has no recording: train with fit(..., callbacks=[nn.Recording()])")
        source = source.recording
    if not isinstance(source, Recording):
        raise TypeError(f"film takes a nn.Recording or a History, got {type(source).__name__}")
    if source.training is None:
        raise ValueError("film: nothing was recorded: train with fit(..., callbacks=[recording])")
    page = files("nn").joinpath("film.html").read_text(encoding="utf-8")
    model = source.training.model
    title = type(model).__name__ if isinstance(model, Module) else name_of(model)
    data = json.dumps(_scenes(source, source.training, resolution), allow_nan=False).replace("<", "\\u003c")
    write_whole(path, page.replace("@@TITLE@@", escape(title)).replace("@@DATA@@", data).encode(), "film")
    return path


def _html_path(path: str | Path) -> Path:
    if Path(path).suffix != ".html":
        raise ValueError(f"film writes an .html file, got {path}")
    return Path(path)


def _scenes(recording: Recording, training: Training, resolution: int) -> dict[str, Any]:
    """The data of the page, ready for JSON."""
    parameters = recording.parameters
    frames = evenly_spaced(recording.frames, max(12, min(160, NUMBERS // len(parameters))))
    chosen = evenly_spaced(range(len(training.X)), ROWS)
    X, y = [training.X[i] for i in chosen], [training.y[i] for i in chosen]
    view = _view(training, X, y, resolution)
    mean = mean_loss(training.model, training.loss, X, y, training.jit)
    outputs = Outputs("film", training.model, training.jit)
    outputs.warns = False
    before = [(p.data, p.grad) for p in parameters]
    losses, gradients, pictures = [], [], []
    try:
        for frame in frames:
            for p, number in zip(parameters, frame.numbers, strict=True):
                p.data, p.grad = number, 0.0
            loss = mean()
            loss.backward()
            losses.append(float(loss.data))
            gradients.append([p.grad if math.isfinite(p.grad) else 0.0 for p in parameters])
            pictures.append(outputs(view["rows"]) if view else [])
    finally:
        for p, (number, grad) in zip(parameters, before, strict=True):
            p.data, p.grad = number, grad
    columns = [name for name in frames[-1].row if name not in ("epoch", "loss", "seconds")]
    return {
        "epochs": [frame.epoch for frame in frames],
        "loss": [_finite(frame.row.get("loss", loss)) for frame, loss in zip(frames, losses, strict=True)],
        "columns": {name: [_finite(frame.row.get(name)) for frame in frames] for name in columns},
        "stopped": training.history.stopped,
        "arrays": list(_arrays(training.model, parameters, [frame.numbers for frame in frames], gradients)),
        "view": view and _encoded_view(view, pictures),
    }  # fmt: skip


def _finite(x: float | None) -> float | None:
    """The number `x`, or None, which JSON has, for one that is not finite."""
    return x if x is not None and math.isfinite(x) else None


def _arrays(
    model: Any, parameters: list[Value], numbers: Sequence[Sequence[float]], gradients: Sequence[Sequence[float]]
) -> Iterator[dict[str, Any]]:
    """For each array of parameters its name, rows and columns, and the numbers and gradients of all frames, encoded."""
    places = {p: i for i, p in enumerate(parameters)}
    paths = {p: path for path, layer in layers_of(model, "") if layer is not model for p in layer.parameters()}
    named = list(model.named_parameters()) if isinstance(model, Module) else [("parameters", parameters)]
    for name, values in named:
        leaves = tree_leaves(values)
        if not all(p in places for p in leaves):
            continue  # these are not trained
        at = [places[p] for p in leaves]
        if leaves and leaves[0] in paths:  # as pictures and tables call it: layers.1, not 2 as in the state
            name = f"{paths[leaves[0]]}.{name.rpartition('.')[2]}"
        width = (shape(values) or (1,))[-1]
        weights = [frame[i] for frame in numbers for i in at]
        slopes = [frame[i] for frame in gradients for i in at]
        largest, steepest = max(map(abs, weights)) or 1.0, max(map(abs, slopes)) or 1.0
        yield {
            "name": name, "rows": len(at) // width, "columns": width, "largest": largest, "steepest": steepest,
            "numbers": _encoded([x / largest for x in weights]),
            "gradients": _encoded([math.copysign(math.sqrt(abs(g) / steepest), g) for g in slopes]),
        }  # fmt: skip


def _encoded(shares: Sequence[float]) -> str:
    """Numbers from -1 to 1 as 16-bit integers in base64, the lower byte first."""
    codes = array("h", [round(32767 * share) for share in shares])
    if array("h", [1]).tobytes() != b"\x01\x00":
        codes.byteswap()
    return b64encode(codes.tobytes()).decode()


def _view(training: Training, X: list[Any], y: list[Any], resolution: int) -> dict[str, Any] | None:
    """The rows at which the model is drawn, and the points of the data; None if it has no picture."""
    width = shape(X[0])
    targets = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in y]
    if any(isinstance(t, list) for t in targets):
        return None
    if width in ((), (1,)):
        xs = [row[0] if isinstance(row, list) else row for row in X]
        low, high = range_around(xs)
        grid = [low + (high - low) * i / (4 * resolution - 1) for i in range(4 * resolution)]
        return {"kind": "curve", "rows": [[x] for x in grid] if width else grid, "x": [low, high],
                "points": [[x, t] for x, t in zip(xs, targets, strict=True)]}  # fmt: skip
    if width == (2,):
        (left, right), (bottom, top) = (range_around([row[k] for row in X]) for k in (0, 1))
        steps = [i / (resolution - 1) for i in range(resolution)]
        rows = [[left + (right - left) * u, bottom + (top - bottom) * v] for v in steps for u in steps]
        return {"kind": "plane", "rows": rows, "side": resolution, "x": [left, right], "y": [bottom, top],
                "points": [[*row, t] for row, t in zip(X, targets, strict=True)],
                "threshold": _threshold(training, targets)}  # fmt: skip
    return {"kind": "scatter", "rows": X, "points": [[t] for t in targets]}


def _threshold(training: Training, targets: list[Any]) -> float:
    """The score at which a prediction changes from the lower class to the higher."""
    if training.loss in (hinge, binary_cross_entropy_with_logits):
        return 0.0
    if training.loss is binary_cross_entropy:
        return 0.5
    return float(min(targets) + max(targets)) / 2.0


def _encoded_view(view: dict[str, Any], pictures: list[list[Any]]) -> dict[str, Any] | None:
    """The view with the model's outputs for its rows in each frame, encoded."""
    view = {name: thing for name, thing in view.items() if name != "rows"}
    if isinstance(pictures[0][0], list):
        if view["kind"] != "plane" or len(pictures[0][0]) > 8:
            return None
        classes = [max(range(len(s)), key=s.__getitem__) for picture in pictures for s in picture]
        return view | {"kind": "classes", "classes": len(pictures[0][0]), "frames": b64encode(bytes(classes)).decode()}
    scores = [x if math.isfinite(x) else 0.0 for picture in pictures for x in picture]
    if view["kind"] == "plane":
        threshold = view["threshold"]
        reach = statistics.median([abs(x - threshold) for x in scores[-len(pictures[-1]) :]]) or 1.0
        return view | {"frames": _encoded([math.tanh((x - threshold) / reach / 2.0) for x in scores])}
    low, high = range_around([*scores[-len(pictures[-1]) :], *[t for *_, t in view["points"]]])
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    clipped = [max(-1.0, min(1.0, (x - middle) / half)) for x in scores]
    return view | {"y": [low, high], "frames": _encoded(clipped)}
