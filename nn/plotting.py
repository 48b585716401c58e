"""Pictures of data, trainings and networks, with matplotlib. Blue is low, orange is high."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nn.data import examples_of
from nn.layers import Layer, Sequential, name_of
from nn.module import shape
from nn.prediction import Model, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn.history import History

BLUE, ORANGE, INK = "#0072B2", "#D55E00", "#222222"
LIGHT_BLUE, LIGHT_ORANGE = "#73B1D6", "#EBA674"
CYCLE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")  # Okabe and Ito 2008


def plot_decision_boundary(
    model: Model, X: Any, y: Any, threshold: float = 0.0, resolution: int = 100, ax: Axes | None = None
) -> Axes:
    """Draw the rows of X, points of the plane with classes y, over the outputs of `model` around them; return the axes.

    A model with one output is shown by its score, with a line where the score is `threshold` (use 1/2 for
    probabilities); a model with an output for each class is shown by the class with the largest output. `resolution` is
    the number of points along each side. It draws on `ax`, or on a new figure. A ValueError unless the rows of X have 2
    numbers, `resolution` is an int of at least 2, and y has at most two classes for one output, or the numbers 0 to
    k - 1 for k outputs; an ImportError if matplotlib is not installed.

    >>> import nn
    >>> model = nn.MLP(2, [4, 1], seed=0)
    >>> ax = plot_decision_boundary(model, [[0.0, 1.0], [1.0, 0.0]], [1.0, -1.0])
    >>> ax.get_title()
    'Decision boundary'
    """
    X, y = examples_of("plot_decision_boundary", X, y)
    check_resolution("plot_decision_boundary", resolution)
    if shape(X[0]) != (2,):
        raise ValueError(
            f"plot_decision_boundary draws points of the plane, 2 numbers in a row, got rows of shape {shape(X[0])}"
        )
    if shape(y[0]) != ():
        raise ValueError(f"plot_decision_boundary takes a class, one number, for each row, got {y[0]!r:.60}")
    (left, right), (bottom, top) = (range_around([float(row[k]) for row in X]) for k in (0, 1))
    xs, ys = (
        [low + (high - low) * i / (resolution - 1) for i in range(resolution)]
        for low, high in ((left, right), (bottom, top))
    )
    outputs = predict(model, [[x, y] for y in ys for x in xs])
    classes = range(len(outputs[0])) if isinstance(outputs[0], list) else (min(y), max(y))
    if others := {*y} - {*classes}:
        raise ValueError(
            f"plot_decision_boundary draws the classes {', '.join([f'{k:g}' for k in classes])} for this model, got "
            f"{min(others):g} in y: k classes are numbered from 0 and need k outputs, two classes may have one output"
        )
    ax = axes_for(ax, "plot_decision_boundary", size=(7.0, 5.6))
    if isinstance(outputs[0], list):
        for k in classes:
            ahead = [scores[k] - max(scores[:k] + scores[k + 1 :]) for scores in outputs]
            ax.contourf(xs, ys, _rows_of(ahead, resolution), levels=[0.0, math.inf], colors=[CYCLE[k % 8]], alpha=0.3)
        named = {k: (str(k), CYCLE[k % 8]) for k in classes}
    else:
        from matplotlib.colors import LinearSegmentedColormap

        reach = statistics.median(abs(score - threshold) for score in outputs) or 1.0  # the far corners saturate
        scores = _rows_of(outputs, resolution)
        shades = LinearSegmentedColormap.from_list("low to high", [LIGHT_BLUE, "#FFFFFF", LIGHT_ORANGE])
        levels = [threshold + reach * (k / 8 - 1.0) for k in range(17)]
        filled = ax.contourf(xs, ys, scores, levels=levels, cmap=shades, extend="both")
        ax.contour(xs, ys, scores, levels=[threshold], colors=INK, linewidths=2.0)
        bar = ax.figure.colorbar(filled, ax=ax, label="output", ticks=levels[::4], format="%.2g")
        bar.outline.set_visible(False)
        low, high = classes
        named = {low: (f"{low:g}", BLUE), high: (f"{high:g}", ORANGE)}
    for target, (name, color) in named.items():
        points = [row for row, t in zip(X, y, strict=True) if t == target]
        ax.scatter(
            [row[0] for row in points], [row[1] for row in points],
            s=42, color=color, edgecolor="white", linewidth=1.0, label=f"class {name}", zorder=3,
        )  # fmt: skip
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="$x_1$", ylabel="$x_2$", title="Decision boundary")
    ax.legend(framealpha=0.9)
    return ax


def plot_history(history: History, ax: Axes | None = None) -> Axes:
    """Draw losses (left axis) and metrics (right axis) over the epochs, dashed for validation; return the axes.

    >>> import nn
    >>> model = nn.MLP(1, [1], seed=0)
    >>> history = nn.fit(model, [[1.0]], [2.0], nn.mse, nn.SGD(model.parameters()), epochs=3, verbose=False)
    >>> plot_history(history).get_title()
    'Training'
    """
    if not hasattr(history, "rows"):
        raise TypeError(f"plot_history takes a History, as nn.fit returns it, got {type(history).__name__}")
    if not history.rows:
        raise ValueError("plot_history has no epoch to draw: the history is empty")
    ax = axes_for(ax, "plot_history", size=(7.0, 4.6))
    names = [name for name in history.names if name not in ("epoch", "lr", "seconds")]
    metrics = sorted({name.removeprefix("val_") for name in names} - {"loss"})
    right = ax.twinx() if metrics else ax
    for name in names:
        kind = name.removeprefix("val_")
        color = BLUE if kind == "loss" else CYCLE[1 + metrics.index(kind) % 7]
        style = "--" if name.startswith("val_") else "-"
        side = ax if kind == "loss" else right
        side.plot(history["epoch"], history[name], style, color=color, linewidth=2.0, label=name.replace("_", " "))
    ax.set(xlabel="epoch", ylabel="loss", title="Training")
    ax.grid(alpha=0.25)
    if metrics:
        right.set_ylabel(", ".join(metrics))
    lines = [line for side in dict.fromkeys((ax, right)) for line in side.get_lines()]
    ax.legend(lines, [str(line.get_label()) for line in lines], loc="center right", framealpha=0.9)
    return ax


def plot_network(model: Sequential, ax: Axes | None = None) -> Axes:
    """Draw the Layers of `model` as columns of neurons, with a line for each weight; return the axes.

    A line is orange for a weight above 0, blue below, and the wider and darker the larger it is in its Layer.

    >>> import nn
    >>> plot_network(nn.MLP(2, [4, 1], seed=0)).get_title()
    'Weights: orange above 0, blue below'
    """
    if not hasattr(model, "layers"):
        raise TypeError(f"plot_network takes a Sequential or MLP, got {type(model).__name__}")
    layers: list[Layer] = []
    captions: list[list[str]] = []  # of each Layer its own activation, and the functions behind it
    for layer in model.layers:
        if isinstance(layer, Layer):
            layers.append(layer)
            captions.append([name_of(layer.activation)] if layer.activation else [])
        elif layers:
            captions[-1].append(name_of(layer))
    if not layers:
        raise ValueError(f"plot_network draws the Layers of a Sequential or MLP, and this has none: {model!r}")
    sizes = [layers[0].nin, *[layer.nout for layer in layers]]
    ax = axes_for(ax, "plot_network", size=(2.2 + 1.9 * len(sizes), 1.6 + 0.32 * min(max(sizes), 16)))
    tall = max(sizes)

    def height(column: int, i: int) -> float:
        gap = tall / (sizes[column] + 1)
        return tall / 2 + ((sizes[column] - 1) / 2 - i) * max(gap * 0.6, 1.0)

    for column, layer in enumerate(layers):
        largest = max(abs(w.data) for neuron in layer.neurons for w in neuron.w) or 1.0
        for j, neuron in enumerate(layer.neurons):
            for i, w in enumerate(neuron.w):
                share = abs(w.data) / largest
                ax.plot(
                    [column, column + 1], [height(column, i), height(column + 1, j)],
                    color=ORANGE if w.data > 0 else BLUE, linewidth=0.3 + 2.7 * share, alpha=0.08 + 0.85 * share,
                    solid_capstyle="round", zorder=1,
                )  # fmt: skip
    for column, size in enumerate(sizes):
        ax.scatter(
            [column] * size, [height(column, i) for i in range(size)],
            s=150, color="white", edgecolor=INK, linewidth=1.4, zorder=2,
        )  # fmt: skip
        kind = "inputs" if column == 0 else ", ".join(captions[column - 1]) or "linear"
        ax.text(column, -0.9, f"{size}\n{kind}", ha="center", va="top", color=INK, fontsize=11)
    ax.set(xlim=(-0.4, len(sizes) - 0.6), ylim=(-2.6, tall + 0.4), title="Weights: orange above 0, blue below")
    ax.axis("off")
    return ax


def check_resolution(what: str, resolution: int) -> None:
    """Raise a ValueError that names `what` unless `resolution` is an int of at least 2."""
    if not isinstance(resolution, int) or resolution < 2:
        raise ValueError(f"{what} takes a resolution of at least 2 points along each side, got {resolution!r}")


def axes_for(ax: Axes | None, what: str, size: tuple[float, float]) -> Axes:
    """`ax`, or the axes of a new figure; an ImportError that says what to install."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{what} draws with matplotlib: pip install 'autograd-lite[plot]'") from error
    return plt.subplots(figsize=size, dpi=150, layout="constrained")[1]


def range_around(numbers: Sequence[float]) -> tuple[float, float]:
    """The range of `numbers`, widened by 15% on each side."""
    low, high = min(numbers), max(numbers)
    margin = 0.15 * (high - low) or 1.0
    return low - margin, high + margin


def _rows_of(numbers: list[Any], length: int) -> list[list[Any]]:
    """`numbers` cut into rows of this length."""
    return [numbers[i : i + length] for i in range(0, len(numbers), length)]
