"""Diagnosis: what keeps a network from learning, found by looking at its numbers on the rows that it is trained on."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import autograd_lite as ag
from autograd_lite import Value
from autograd_lite.trees import tree_leaves
from nn.callbacks import Callback, Checkpoint, Training
from nn.data import evenly_spaced, examples_of
from nn.layers import Layer, Neuron, layers_of
from nn.losses import (
    Loss,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    huber,
    mae,
    mse,
)
from nn.module import all_finite, as_list, numbers
from nn.optim import AdamW, Optimizer
from nn.plotting import BLUE, INK, ORANGE, axes_for
from nn.prediction import Model, check_callable
from nn.steps import Stepper
from nn.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 128  # the most rows that a diagnosis looks at, evenly spaced
LARGE = 50.0  # inputs and targets are called large from this root mean square on
TRIAL_STEPS = 5  # how many steps try a learning rate
REGRESSION: tuple[Loss, ...] = (mse, mae, huber)
# The outputs of an activation from its lowest to its highest, and where it is saturated: |z| above which its slope is
# less than 4% of the largest.
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf)}
SATURATED = {"sigmoid": 4.6, "tanh": 2.3}


@dataclass
class Finding:
    """One thing that is wrong: where, the numbers that show it, and what to do.

    >>> print(Finding("a large column", "X[:, 0]", "its numbers reach 1e6", "Scale it to about 1"))
    a large column (X[:, 0]): its numbers reach 1e6. Scale it to about 1
    """

    problem: str
    where: str
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem} ({self.where}): {self.evidence}. {self.remedy}"


@dataclass
class LayerReport:
    """Statistics of one layer on the rows: the numbers before its activation, and sizes of gradients and updates."""

    name: str
    kind: str
    activation: str  # "sigmoid", "tanh" or "relu"; "" for any other, and for none
    columns: list[list[float]]  # for each neuron its number before the activation on each row
    deltas: list[float]  # the derivative of the mean loss by each of these numbers, times the number of rows
    weights: list[float]  # and biases
    gradients: list[float]
    updates: list[float] = field(default_factory=list)  # of one step of the optimiser, if it was given

    @property
    def dead(self) -> int:
        """How many ReLUs are 0 on every row."""
        return sum(max(column) <= 0.0 for column in self.columns) if self.activation == "relu" else 0

    @property
    def saturated(self) -> int:
        """How many sigmoids or tanhs are saturated on at least 90% of the rows."""
        limit = SATURATED.get(self.activation)
        if limit is None:
            return 0
        return sum(sum(abs(z) > limit for z in column) >= 0.9 * len(column) for column in self.columns)

    @property
    def update_ratio(self) -> float | None:
        """The size of an update over the size of the weights, None without an optimiser."""
        size = rms(self.weights)
        return rms(self.updates) / size if self.updates and size else None


class Diagnosis:
    """The findings of `diagnose`, and the numbers of each layer. Printed it is a table; `plot` draws the picture.

    >>> from nn.layers import MLP
    >>> found = diagnose(MLP(1, [2, 1], seed=0), [-1.0, 1.0], [-1.0, 1.0], hinge)
    >>> bool(found), found.findings, len(found.layers)
    (False, [], 2)
    """

    def __init__(self, findings: list[Finding], layers: list[LayerReport], loss: float, rows: int) -> None:
        self.findings, self.layers, self.loss, self.rows = findings, layers, loss, rows

    def __bool__(self) -> bool:
        """True if something was found."""
        return bool(self.findings)

    @property
    def table(self) -> Table:
        """A row for each layer: its numbers before the activation, dead and saturated units, gradients and updates."""
        rows = [("layer", "kind", "before activation", "dead", "saturated", "gradient", "update/weight")]
        for layer in self.layers:
            z = [x for column in layer.columns for x in column]
            spread = f"{statistics.mean(z):.2g} ± {statistics.pstdev(z):.2g}" if all_finite(z) else "not finite"
            units, ratio = len(layer.columns), layer.update_ratio
            dead = f"{layer.dead} of {units}" if layer.activation == "relu" else ""
            saturated = f"{layer.saturated} of {units}" if layer.activation in SATURATED else ""
            update = "" if ratio is None else f"{ratio:.1e}"
            rows.append((layer.name, layer.kind, spread, dead, saturated, f"{rms(layer.gradients):.1e}", update))
        return Table(rows, caption=f"loss {self.loss:.4g} on {self.rows} rows")

    @property
    def findings_table(self) -> Table:
        """A row for each finding, or one that says that there is none."""
        rows = [("finding", "where", "evidence", "remedy")]
        rows += [(f.problem, f.where, f.evidence, f.remedy) for f in self.findings]
        return Table(rows if self.findings else [*rows, ("nothing was found", "", "", "")])

    def __repr__(self) -> str:
        """As it is printed: a console shows the findings."""
        return str(self)

    def __str__(self) -> str:
        lines = [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)] or ["Nothing was found."]
        return "\n".join([*([str(self.table), ""] if self.layers else []), *lines])

    def _repr_html_(self) -> str | None:
        """Both tables, for notebooks. Never raises."""
        try:
            table = self.table._repr_html_() if self.layers else ""
            return self.findings_table._repr_html_() + table
        except Exception:
            return None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the layers on the axes `ax`, or on a new figure; the axes are returned.

        A bar for each layer spans the middle 90% of its numbers before the activation. A thick part spans the middle
        half. Beside it stand the dead and saturated units and the sizes of gradient and update; findings stand below.
        """
        ax = axes_for(ax, "Diagnosis.plot", size=(8.6, 2.2 + 0.55 * len(self.layers) + 0.62 * len(self.findings)))
        for place, layer in enumerate(self.layers):
            z = sorted(x for column in layer.columns for x in column)
            low, first, middle, last, high = (z[round(q * (len(z) - 1))] for q in (0.05, 0.25, 0.5, 0.75, 0.95))
            color = ORANGE if any(layer.name in finding.where.split(", ") for finding in self.findings) else BLUE
            ax.plot([low, high], [place, place], color=color, linewidth=2.0, solid_capstyle="butt")
            ax.plot([first, last], [place, place], color=color, linewidth=9.0, solid_capstyle="butt", alpha=0.55)
            ax.plot([middle], [place], "o", color="white", markeredgecolor=color, markersize=6.5)
            off = f"{layer.dead} of {len(layer.columns)} dead, " if layer.dead else ""
            off += f"{layer.saturated} of {len(layer.columns)} saturated, " if layer.saturated else ""
            note = f"{off}gradient {rms(layer.gradients):.0e}"
            if layer.update_ratio is not None:
                note += f", update/weight {layer.update_ratio:.0e}"
            ax.annotate(note, (1.0, place), (-4, 9), xycoords=("axes fraction", "data"), textcoords="offset points",
                        ha="right", va="bottom", fontsize=8.5, color=INK)  # fmt: skip
        names = [f"{layer.name} {layer.activation}".strip() for layer in self.layers]
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.75)
        ax.axvline(0.0, color=INK, linewidth=0.8, alpha=0.4)
        ax.set_xscale("symlog", linthresh=1.0)
        ax.set_xlabel("number before the activation: middle 90%, middle half, median")
        ax.set_title(f"loss {self.loss:.4g} on {self.rows} rows", loc="left", fontsize=11)
        ax.grid(axis="x", alpha=0.25)
        texts = [f"{f.problem} ({f.where}): {f.evidence}.\n   {f.remedy}" for f in self.findings]
        ax.annotate("\n".join(texts or ["Nothing was found."]), (0.0, 0.0), (0, -46), xycoords="axes fraction",
                    textcoords="offset points", va="top", fontsize=8.5, color=INK, wrap=False)  # fmt: skip
        return ax


def diagnose(
    model: Model, X: Any, y: Any, loss: Loss, optimizer: Optimizer | None = None, *, jit: bool = True
) -> Diagnosis:
    """Say what is wrong with a network that does not learn: findings with their evidence and a remedy, and a table.

    The model is run on up to 128 evenly spaced rows of X, and the gradient of its mean loss is examined layer by layer:
    dead ReLUs, saturated sigmoids, vanishing and exploding gradients, neurons that are all the same. Inputs are checked
    for columns of very different or very large numbers; labels and the output activation are checked against the loss.
    With an `optimizer`, 5 steps at its learning rate are tried on these rows, and others if that rate is too high or
    too low; `jit=False` tries them without compiling. Parameters, gradients and optimiser are left as they were.

    X and y are as in `fit`; a TypeError or ValueError names what is wrong with them. `Diagnosis` is true if something
    was found; it prints as a table, and `plot` draws a picture.

    >>> from nn.layers import MLP
    >>> model = MLP(1, [2, 1], seed=0)
    >>> print(diagnose(model, [-1.0, 1.0], [0.0, 1.0], hinge).findings[0])
    labels that do not fit the loss (y): hinge takes targets of -1 or 1, got 0.0. Make them 2 * label - 1
    """
    check_callable("diagnose", model=model, loss=loss)
    if not isinstance(optimizer, Optimizer | None):
        raise TypeError(f"diagnose takes an optimizer, such as nn.Adam(model.parameters()), got {optimizer!r:.60}")
    X, y = examples_of("diagnose", X, y)
    chosen = evenly_spaced(range(len(X)), ROWS)
    X, y = [X[i] for i in chosen], [y[i] for i in chosen]
    findings = [*_inputs(X), *_labels(model, X, y, loss)]
    if any(finding.problem in STOPS for finding in findings):
        return Diagnosis(findings, [], math.nan, len(X))
    look = _Look(model, X, y, loss)
    network = [*_connections(look, optimizer), *_outputs(look, y, loss), *_layers(look)]
    findings += network
    if optimizer is not None:
        look.add_updates(optimizer)
        findings += [] if network else _decay(look, optimizer)  # gradients that vanish are outweighed by any decay
        slow = network or any(f.problem == "large targets" for f in findings)  # then every learning rate is
        rates = list(_rates(model, X, y, loss, optimizer, jit))
        findings += [f for f in rates if not slow or f.problem != "learning rate too low"]
    return Diagnosis(findings, look.layers, look.loss, len(X))


class Diagnose(Callback):
    """The callback behind `fit(..., diagnose=True)`: a diagnosis before the first epoch and one after the last.

    The findings of both are in `history.diagnosis`, with the table of the last one. A warning says them.
    """

    def on_start(self, training: Training) -> None:
        """Diagnose the network as it was initialised."""
        self._first = self._diagnosis(training)

    def on_finish(self, training: Training) -> None:
        """Diagnose the trained network, and warn of what was found at the start and now."""
        last = self._diagnosis(training)
        known = {(finding.problem, finding.where) for finding in last.findings}
        earlier = [finding for finding in self._first.findings if (finding.problem, finding.where) not in known]
        last.findings = [*earlier, *last.findings]
        training.history.diagnosis = last
        if last.findings:
            warnings.warn("\n".join([f"fit: {finding}" for finding in last.findings]), stacklevel=3)

    def _diagnosis(self, training: Training) -> Diagnosis:
        return diagnose(training.model, training.X, training.y, training.loss, training.optimizer, jit=training.jit)


STOPS = {"labels that do not fit the loss", "outputs that do not fit the loss"}


def rms(numbers: Sequence[float]) -> float:
    """The root of the mean square; 0.0 for an empty list."""
    largest = max(map(abs, numbers), default=0.0)
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(statistics.fmean([(x / largest) ** 2 for x in numbers]))


class _Look:
    """One forward and backward pass over the rows, sorted by layer. The gradients are left as they were."""

    def __init__(self, model: Model, X: list[Any], y: list[Any], loss: Loss) -> None:
        self.outputs = [model(x) for x in X]
        total: Any = ag.mean([loss(output, target) for output, target in zip(self.outputs, y, strict=True)])
        if not isinstance(total, Value):
            raise TypeError("diagnose takes a model with parameters, and this loss depends on no Value")
        self.loss = total.data
        order = ag.topological_order(total)
        leaves = [node for node in order if node.op is None]
        places = dict(layers_of(model, ""))
        self.reached = set(leaves)  # what the loss depends on
        parameters = {p for layer in places.values() for p in layer.parameters()}
        before = {x: x.grad for x in (*leaves, *parameters)}
        for x in before:
            x.grad = 0.0
        try:
            total.backward()
            self.layers = [self._report(name, layer, order, len(X)) for name, layer in places.items()]
            self.layers = [layer for layer in self.layers if layer.columns]
        finally:
            for x, grad in before.items():
                x.grad = grad
        self.places = places

    def _report(self, name: str, layer: Layer | Neuron, order: list[Value], rows: int) -> LayerReport:
        neurons = layer.neurons if isinstance(layer, Layer) else [layer]
        column_of: dict[Value, list[Value]] = {neuron.w[0]: [] for neuron in neurons}
        for node in order:
            if node.op is not None and node.op.name == "dot" and type(node.args[0]) is Value:
                column_of.get(node.args[0], []).append(node)
        sums = {z for column in column_of.values() for z in column}
        following = [node.op.name for node in order if node.op is not None and node.args and node.args[0] in sums]
        names = set(following)
        activation = names.pop() if len(names) == 1 else ""
        parameters = layer.parameters()
        return LayerReport(
            name, f"Layer({layer.nin}, {layer.nout})" if isinstance(layer, Layer) else f"Neuron({len(layer.w)})",
            activation if activation in RANGES else "",
            [[z.data for z in column] for column in column_of.values() if column],
            [z.grad * rows for column in column_of.values() for z in column],
            [p.data for p in parameters], [p.grad for p in parameters],
        )  # fmt: skip

    def add_updates(self, optimizer: Optimizer) -> None:
        """Add to each layer what one step of `optimizer` would add to its parameters; nothing is changed."""
        columns = zip(*optimizer.state.values(), strict=True) if optimizer.state else [()] * len(optimizer.parameters)
        state = dict(zip(optimizer.parameters, columns, strict=True))
        for report in self.layers:
            parameters = self.places[report.name].parameters()
            for p, g in zip(parameters, report.gradients, strict=True):
                if p in state:
                    moved, *_ = optimizer.update(p.data, g, optimizer.steps + 1, *state[p])
                    report.updates.append(moved - p.data)


# --- The checks: each gives its findings ------------------------------------------------------------------------------


def _inputs(X: list[Any]) -> Iterator[Finding]:
    columns = list(zip(*[tree_leaves(row) for row in X], strict=True))
    sizes = [max(map(abs, column)) for column in columns]
    moving = [i for i, column in enumerate(columns) if sizes[i] > 0.0 and len(set(column)) > 1]
    if not moving:
        if len(X) > 1:
            yield Finding("inputs that are all the same", "X", "every row has the same numbers", "Check how X was made")
        return
    low, high = min(moving, key=sizes.__getitem__), max(moving, key=sizes.__getitem__)
    remedy = "Standardise the columns: subtract the mean of each and divide by its standard deviation"
    if sizes[high] > 100.0 * sizes[low]:
        evidence = f"column {high} reaches {sizes[high]:.3g} and column {low} only {sizes[low]:.3g}"
        yield Finding("inputs of very different scales", "X", evidence, remedy)
    elif rms([x for i in moving for x in columns[i]]) > LARGE:
        evidence = f"their root mean square is {rms([x for i in moving for x in columns[i]]):.3g}"
        yield Finding("large inputs", "X", evidence, remedy)


def _labels(model: Model, X: list[Any], y: list[Any], loss: Loss) -> Iterator[Finding]:
    """Labels that are all the same, large targets, and the first target or output that the loss rejects."""
    targets = [t for row in y for t in tree_leaves(row)]
    if len(y) > 2 and all(row == y[0] for row in y):
        yield Finding("labels that are all the same", "y", f"every one is {y[0]!r:.40}", "Check how y was made")
    if loss in REGRESSION and rms(targets) > LARGE:
        evidence = f"their root mean square is {rms(targets):.3g}"
        remedy = "Standardise them: subtract their mean and divide by their standard deviation"
        yield Finding("large targets", "y", evidence, remedy)
    if loss in (binary_cross_entropy, binary_cross_entropy_with_logits) and not all(0.0 <= t <= 1.0 for t in targets):
        evidence = f"the targets go from {min(targets):.3g} to {max(targets):.3g}, and this loss takes 0 to 1"
        yield Finding("labels that do not fit the loss", "y", evidence, "Make labels of -1 and 1 (label + 1) / 2")
        return
    with ag.no_grad():
        for x, target in zip(X, y, strict=True):
            output = model(x)
            if loss is cross_entropy and not isinstance(output, (list, tuple)):
                remedy = "Give the last layer one output for each class, or take binary_cross_entropy_with_logits"
                evidence = "cross_entropy takes one score for each class, and the model gives one number"
                yield Finding("outputs that do not fit the loss", "output", evidence, remedy)
                return
            try:
                loss(output, target)
            except (ValueError, TypeError) as error:
                text = str(error)
                if loss is binary_cross_entropy and "probabilities" in text:
                    remedy = "Give the last layer a sigmoid, or take binary_cross_entropy_with_logits"
                    yield Finding("outputs that do not fit the loss", "output", text.split(":")[0], remedy)
                else:
                    remedy = (
                        "Make them 2 * label - 1" if loss is hinge else "Give each row a target that the loss takes"
                    )
                    yield Finding("labels that do not fit the loss", "y", text.split(":")[0], remedy)
                return


def _connections(look: _Look, optimizer: Optimizer | None) -> Iterator[Finding]:
    """Layers that the loss does not depend on, and an optimiser of another model's parameters."""
    parameters = [p for layer in look.places.values() for p in layer.parameters()]
    cut = [name for name, layer in look.places.items() if look.reached.isdisjoint(layer.parameters())]
    if cut:
        evidence = "the loss does not depend on any of their parameters" if len(cut) > 1 else "the loss does not use it"
        remedy = "Use every layer in the model's __call__, and do not cut the graph with detach, no_grad or .data"
        yield Finding("layers without a gradient", ", ".join(cut), evidence, remedy)
    if optimizer is not None and parameters and set(parameters).isdisjoint(optimizer.parameters):
        evidence = f"none of its {len(optimizer.parameters):,} parameters belongs to a layer of this model"
        remedy = "Make the optimizer of model.parameters() of this model, after the model was made or loaded"
        yield Finding("optimizer of other parameters", "optimizer", evidence, remedy)


def _decay(look: _Look, optimizer: Optimizer) -> Iterator[Finding]:
    """Whether a weight decay that is added to the gradients outweighs them."""
    decay = getattr(optimizer, "weight_decay", 0.0)
    pull = decay * rms([w for layer in look.layers for w in layer.weights])
    gradient = rms([g for layer in look.layers for g in layer.gradients])
    if decay >= 0.1 and pull > 3.0 * gradient and not isinstance(optimizer, AdamW):
        evidence = f"weight_decay={decay:g} adds {pull:.1e} to gradients of {gradient:.1e}, root mean squares"
        yield Finding("weight decay too strong", "optimizer", evidence, "Take a smaller one, such as weight_decay=1e-4")


def _outputs(look: _Look, y: list[Any], loss: Loss) -> Iterator[Finding]:
    """Whether the last activation can give what the loss asks for."""
    if not math.isfinite(look.loss):
        yield Finding("loss that is not finite", "loss", f"it is {look.loss}", "Look for large inputs and weights")
    outputs = [tree_leaves(as_list(output)) for output in look.outputs]
    ops = {x.op.name if isinstance(x, Value) and x.op is not None else "" for row in outputs for x in row}
    name = ops.pop() if len(ops) == 1 else ""
    problem, where = "output activation that does not fit the loss", "output"
    if name in RANGES and loss in REGRESSION:
        low, high = RANGES[name]
        targets = [t for row in y for t in tree_leaves(row)]
        if min(targets) < low or max(targets) > high:
            evidence = f"the targets go from {min(targets):.3g} to {max(targets):.3g}, {name} from {low:g} to {high:g}"
            yield Finding(problem, where, evidence, "Leave the last layer without an activation, or scale the targets")
    if loss is hinge and name in ("sigmoid", "relu"):
        evidence = f"hinge asks for outputs of -1 and below for label -1, and {name} gives none below 0"
        yield Finding(problem, where, evidence, "Leave the last layer without an activation")
    if loss is binary_cross_entropy_with_logits and name in ("sigmoid", "tanh", "relu"):
        evidence = f"the loss applies a sigmoid itself, to outputs that {name} has limited before"
        yield Finding(problem, where, evidence, "Leave the last layer without an activation")
    if loss is cross_entropy:
        rows = [numbers(row) for row in outputs]
        if name in ("sigmoid", "tanh", "relu"):
            evidence = f"the loss applies a softmax itself, to scores that {name} has limited before"
            yield Finding(problem, where, evidence, "Leave the last layer without an activation")
        elif all(min(row) >= 0.0 and abs(math.fsum(row) - 1.0) < 1e-9 for row in rows):
            evidence = "the outputs of each row add up to 1: they went through a softmax, and the loss applies it again"
            yield Finding(problem, where, evidence, "Leave out the softmax")
    if name in SATURATED and len(look.layers) > 0 and look.layers[-1].activation == name:
        last = look.layers[-1]
        wrong = [
            (z, t)
            for k, column in enumerate(last.columns)
            for z, row in zip(column, y, strict=False)
            for t in [tree_leaves(row)[min(k, len(tree_leaves(row)) - 1)]]
            if abs(z) > SATURATED[name] and (z > 0.0) != (t > statistics.fmean(RANGES[name]))
        ]
        if len(wrong) > 0.25 * len(y) * len(last.columns):
            evidence = f"{len(wrong)} of {len(y) * len(last.columns)} outputs are saturated on the wrong side"
            remedy = "Start with smaller weights, or take a loss with logits, whose gradient does not vanish there"
            yield Finding(f"saturated {name}s", last.name, evidence, remedy)


def _layers(look: _Look) -> Iterator[Finding]:
    """Dead and saturated units, and gradients that vanish or explode on their way back."""
    hidden = look.layers[:-1]
    blocked = False
    for layer in look.layers:
        blocked = layer.dead > 0 and layer.dead == len(layer.columns)
        if blocked or layer.dead >= max(5, 0.5 * len(layer.columns)):  # fewer are usual, and do no harm
            evidence = f"{layer.dead} of {len(layer.columns)} are 0 on every row, so no gradient passes them"
            remedy = "Initialise anew with a smaller learning rate, check the biases, or take leaky_relu or gelu"
            yield Finding("dead ReLUs", layer.name, evidence, remedy)
            if blocked:
                break  # the layers behind see the same numbers on every row
    for layer in hidden:
        if layer.saturated and layer.saturated >= 0.4 * len(layer.columns):
            z = [abs(x) for column in layer.columns for x in column]
            evidence = (
                f"{layer.saturated} of {len(layer.columns)} are saturated on nine of ten rows, "
                f"with |z| of {statistics.median(z):.3g} in the middle"
            )
            remedy = "Start with smaller weights (init.xavier_uniform()), and standardise the inputs"
            yield Finding(f"saturated {layer.activation}s", layer.name, evidence, remedy)
        units = [tuple(column) for column in layer.columns]
        if len(units) > 1 and len(set(units)) == 1 and not layer.dead:
            evidence = f"its {len(units)} neurons give the same number on every row, and learn the same"
            yield Finding("neurons that are all the same", layer.name, evidence, "Initialise with random weights")
    sizes = [rms(layer.deltas) for layer in look.layers]
    if len(sizes) > 1 and not blocked and sizes[-1] > 0.0 and math.isfinite(sizes[0]):
        ratio, first, last = sizes[0] / sizes[-1], look.layers[0].name, look.layers[-1].name
        evidence = f"from {last} back to {first} it changes from {sizes[-1]:.1e} to {sizes[0]:.1e}"
        if ratio < 1e-3:
            remedy = "Take relu or gelu in place of sigmoids, init.kaiming_uniform(), or fewer layers"
            yield Finding("vanishing gradients", first, evidence, remedy)
        elif ratio > 1e2:
            remedy = "Start with smaller weights (init.kaiming_uniform()), or train with clip_norm"
            yield Finding("exploding gradients", first, evidence, remedy)


def _rates(model: Model, X: list[Any], y: list[Any], loss: Loss, optimizer: Optimizer, jit: bool) -> Iterator[Finding]:
    """Whether a few steps at the optimiser's rate raise the loss, or achieve nothing where larger ones do much."""
    lr = optimizer.lr
    trial = _Trial(model, X, y, loss, optimizer, jit)
    before = trial.loss_at(0.0)
    if not math.isfinite(before) or before <= 1e-6 or not lr:
        if not lr:
            yield Finding("learning rate of 0", "optimizer", "no step changes anything", "Take lr=0.01")
        return
    after = trial.loss_at(lr)
    if max(after, trial.highest) < 0.01 * _baseline_loss(y, loss):
        return  # all is learned, and these are small numbers
    if not after <= 1.5 * before or not trial.highest <= 4.0 * before:
        highest = trial.highest
        smaller = next((lr / 10**k for k in range(1, 9) if trial.loss_at(lr / 10**k) < before), lr / 100.0)
        evidence = f"{TRIAL_STEPS} steps at lr={lr:g} raise the loss on these rows from {before:.4g} to {highest:.4g}"
        yield Finding("learning rate too high", "optimizer", evidence, f"Take a smaller one: lr={smaller:g} lowers it")
        return
    gained = (before - after) / before
    if gained < 5e-4:
        larger = {lr * 10**k: (before - trial.loss_at(lr * 10**k)) / before for k in range(2, 8)}
        best = max(larger, key=lambda rate: larger[rate] if math.isfinite(larger[rate]) else -1.0)
        if larger[best] > max(0.02, 100.0 * gained):
            evidence = (
                f"{TRIAL_STEPS} steps at lr={lr:g} lower the loss on these rows by {gained:.1e} of it, "
                f"and at lr={best:g} by {larger[best]:.0%}"
            )
            yield Finding("learning rate too low", "optimizer", evidence, f"Take a larger one, such as lr={best:g}")


def _baseline_loss(y: list[Any], loss: Loss) -> float:
    """The loss of a prediction that ignores the inputs: in a regression of the mean of the targets, else of a guess."""
    if loss not in REGRESSION:
        return 0.7  # about log(2), of two classes that are guessed
    columns = list(zip(*map(tree_leaves, y), strict=True))
    losses: list[Any] = [loss(statistics.fmean(column), target) for column in columns for target in column]
    return statistics.fmean(map(float, losses))


class _Trial:
    """A few steps from the current parameters, which are restored afterwards."""

    def __init__(self, model: Model, X: list[Any], y: list[Any], loss: Loss, optimizer: Optimizer, jit: bool) -> None:
        self._stepper = Stepper(model, loss, optimizer, X, y, None, jit)
        self._rows, self._optimizer = list(range(len(X))), optimizer
        self._start = Checkpoint(optimizer, 0, 0.0)
        self.highest = math.inf  # the loss of the worst step of the last trial

    def loss_at(self, lr: float) -> float:
        """The mean loss after TRIAL_STEPS steps at this learning rate, or without a step if it is 0."""
        optimizer = self._optimizer
        kept, losses = [p.grad for p in optimizer.parameters], []
        self.highest = math.inf
        try:
            optimizer.lr = lr
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the loss cannot be compiled, which `fit` says
                for _ in range(TRIAL_STEPS + 1 if lr else 1):
                    losses.append(self._stepper.step(self._rows))  # the loss before the step
                    if not math.isfinite(losses[-1]):
                        return math.inf
            self.highest = max(losses)
            return losses[-1]
        except OverflowError:
            return math.inf
        finally:
            self._stepper.write()
            self._start.restore()
            for p, grad in zip(optimizer.parameters, kept, strict=True):
                p.grad = grad
