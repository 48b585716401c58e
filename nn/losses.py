"""Losses, which measure how far a prediction is from its target, and accuracies, which count right predictions.

A loss takes the prediction and the target of one example, or lists of them. The result is the mean over all numbers in
the prediction, or for cross-entropy over all examples, as with PyTorch's `reduction="mean"`. Names and conventions are
PyTorch's. Losses raise a ValueError if prediction and target have different shapes, and a TypeError for anything that
is not a number or a Value.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Protocol, TypeAlias, cast, overload

import autograd_lite as ag
from autograd_lite import Value
from autograd_lite.signatures import Unannotated
from autograd_lite.trees import tree_leaves
from nn.module import Array, Scalar, as_list, numbers, shape

Loss: TypeAlias = Callable[[Any, Any], Scalar]  # (prediction, target)
Floats: TypeAlias = "float | Sequence[Floats]"
Numbers: TypeAlias = "Scalar | Array | Sequence[Numbers]"  # one number, or nested lists of them
Anys: TypeAlias = "Unannotated | Sequence[Anys]"  # what a model without annotations gives, or nested lists of it


class LossFunction(Protocol):
    """The type of a loss: of floats it gives a float, of Values a Value, and of an array either."""

    __name__: str

    @overload
    def __call__(self, prediction: Anys, target: Any) -> Any: ...
    @overload
    def __call__(self, prediction: Floats, target: Floats) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, prediction: Array, target: Numbers) -> Any: ...
    @overload
    def __call__(self, prediction: Numbers, target: Numbers) -> Value: ...


def _loss(function: Callable[[Any, Any], Scalar]) -> LossFunction:
    """`function` with the type of a loss."""
    typed: Any = function
    return cast(LossFunction, typed)


@_loss
def mse(prediction: Any, target: Any) -> Any:
    """The mean of the squared errors (p - t)**2.

    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    return _mean("mse", prediction, target, lambda p, t: (p - t) ** 2)


@_loss
def mae(prediction: Any, target: Any) -> Any:
    """The mean of the absolute errors |p - t|: PyTorch's l1_loss.

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    return _mean("mae", prediction, target, lambda p, t: ag.abs(p - t))


@overload
def huber(prediction: Anys, target: Any, delta: float = 1.0) -> Any: ...
@overload
def huber(prediction: Floats, target: Floats, delta: float = 1.0) -> float: ...  # type: ignore[overload-overlap]
@overload
def huber(prediction: Array, target: Numbers, delta: float = 1.0) -> Any: ...
@overload
def huber(prediction: Numbers, target: Numbers, delta: float = 1.0) -> Value: ...
def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """The mean of e**2 / 2 for errors |e| up to `delta`, and of delta * (|e| - delta / 2) for larger ones: Huber 1964.

    >>> huber([0.5, 3.0], [0.0, 0.0])
    1.3125
    """
    given: Any = delta
    if not isinstance(given, Real):
        raise TypeError(f"huber takes a number as delta, got {type(given).__name__} {given!r:.60}")
    if not delta > 0.0:
        raise ValueError(f"huber takes a delta above 0, got {delta}")

    def one(p: Any, t: Any) -> Any:
        inside = ag.minimum(ag.abs(p - t), delta)
        return inside * (ag.abs(p - t) - 0.5 * inside)

    return _mean("huber", prediction, target, one)


@_loss
def hinge(prediction: Any, target: Any) -> Any:
    """The mean of max(0, 1 - t * p), for targets t of -1 and 1; a ValueError for others, except in compiled code.

    >>> hinge([0.5, 3.0], [1.0, 1.0])
    0.25
    """

    def one(p: Any, t: Any) -> Any:
        if (number := _number(t)) is not None and number not in (-1.0, 1.0):
            raise ValueError(f"hinge takes targets of -1 or 1, got {number}: of labels 0 and 1, make 2 * label - 1")
        return ag.relu(1.0 - t * p)

    return _mean("hinge", prediction, target, one)


@_loss
def binary_cross_entropy(prediction: Any, target: Any) -> Any:
    """The mean of -(t * log(p) + (1 - t) * log(1 - p)) for probabilities p and targets t from 0 to 1.

    Logarithms below -100 are replaced by -100, as in PyTorch. The gradient there is 0; PyTorch's is
    (p - t) / max(p * (1 - p), 1e-12). A p below 0 or above 1 is a ValueError,
    except in compiled code: for scores of any size use binary_cross_entropy_with_logits. A NaN makes the loss NaN.

    >>> round(binary_cross_entropy(0.5, 1.0), 4)
    0.6931
    """

    def log(x: Any) -> Any:
        return ag.log(ag.maximum(x, math.exp(-100.0)))

    def one(p: Any, t: Any) -> Any:
        if (number := _number(p)) is not None and (number < 0.0 or number > 1.0):
            raise ValueError(
                f"binary_cross_entropy takes probabilities, from 0 to 1, got {number}: "
                "take the sigmoid, or binary_cross_entropy_with_logits"
            )
        return -(t * log(p) + (1.0 - t) * log(1.0 - p))

    return _mean("binary_cross_entropy", prediction, target, one)


@_loss
def binary_cross_entropy_with_logits(prediction: Any, target: Any) -> Any:
    """binary_cross_entropy(sigmoid(p), t), computed without overflow for scores p of any size.

    >>> round(binary_cross_entropy_with_logits(0.0, 1.0), 4), binary_cross_entropy_with_logits(1000.0, 0.0)
    (0.6931, 1000.0)
    """
    return _mean("binary_cross_entropy_with_logits", prediction, target, lambda p, t: ag.softplus(p) - t * p)


@_loss
def cross_entropy(prediction: Any, target: Any) -> Any:
    """-log_softmax(scores)[label] for a list of scores and a label, the number of the right class from 0.

    For a list of target probabilities it is -dot(target, log_softmax(scores)); for several examples the mean. A
    ValueError if the label is not the number of a score, or the probabilities are not as many as the scores.

    >>> round(cross_entropy([2.0, 0.0], 0), 4)
    0.1269
    """
    prediction, target = as_list(prediction), as_list(target)
    if not isinstance(prediction, (list, tuple)):
        raise ValueError(f"cross_entropy takes a list of scores, one for each class, got {prediction!r}")
    if not prediction:
        raise ValueError("cross_entropy takes at least one score, got an empty list")
    if isinstance(prediction[0], (list, tuple)):
        if not isinstance(target, (list, tuple)) or len(target) != len(prediction):
            raise ValueError(f"cross_entropy of {len(prediction)} examples takes as many targets, got {target!r}")
        return ag.mean([cross_entropy(p, t) for p, t in zip(prediction, target, strict=True)])
    if isinstance(target, (list, tuple)):
        if len(target) != len(prediction):
            raise ValueError(
                f"cross_entropy takes one probability for each of {len(prediction)} scores, got {len(target)}"
            )
        return -ag.dot(target, ag.log_softmax(prediction))
    return ag.logsumexp(prediction) - prediction[label(target, len(prediction))]


def label(target: Any, classes: int) -> int:
    """The label `target` as an int; a ValueError if it is not one of 0 to classes - 1."""
    if target in range(classes):
        return int(target)
    raise ValueError(f"a label is a whole number from 0 to {classes - 1} for {classes} scores, got {target!r}")


def accuracy(prediction: Any, target: Any, threshold: float = 0.0) -> float:
    """1.0 for a right prediction and 0.0 for a wrong one; for several examples the fraction of right ones.

    A list of scores is right if the largest is that of the target, a label. (With a one-hot list as target, each of its
    numbers is the target of one score.) A single score is right if it is above `threshold` and its target above 0, or
    neither: a rule for margins and logits. For probabilities use binary_accuracy.

    >>> accuracy([0.3, -2.0], [1.0, 1.0]), accuracy([1.0, 3.0, 2.0], 1)
    (0.5, 1.0)
    """
    prediction, target = numbers(prediction), as_list(target)
    if isinstance(target, (list, tuple)):
        if not isinstance(prediction, list) or len(prediction) != len(target):
            raise ValueError(f"accuracy takes as many predictions as targets, got {prediction!r} for {target!r}")
        if not target:
            raise ValueError("accuracy takes at least one prediction, got an empty list")
        return statistics.fmean([accuracy(p, t, threshold) for p, t in zip(prediction, target, strict=True)])
    if isinstance(prediction, list):
        return float(max(range(len(prediction)), key=prediction.__getitem__) == label(target, len(prediction)))
    for x in (prediction, target):
        if not isinstance(x, (Value, Real)):
            raise TypeError(f"accuracy takes numbers, or lists of them, got {type(x).__name__} {x!r:.60}")
    return float((prediction > threshold) == (target > 0))


def binary_accuracy(prediction: Any, target: Any) -> float:
    """`accuracy` with a threshold of 1/2: for probabilities.

    >>> binary_accuracy([0.3, 0.9], [0, 1])
    1.0
    """
    return accuracy(prediction, target, threshold=0.5)


def _mean(what: str, prediction: Any, target: Any, one: Callable[[Any, Any], Any]) -> Any:
    """The mean of `one(p, t)` over the numbers p of a prediction and t of a target of the same shape."""
    prediction, target = as_list(prediction), as_list(target)
    shapes = shape(prediction), shape(target)
    if shapes[0] != shapes[1] or shapes[0] is None:
        raise ValueError(f"{what} takes a prediction and a target of one shape, got {shapes[0]} and {shapes[1]}")
    pairs = (
        list(zip(tree_leaves(prediction), tree_leaves(target), strict=True)) if shapes[0] else [(prediction, target)]
    )
    if not pairs:
        raise ValueError(f"{what} takes at least one number, got an empty list")
    for pair in pairs:
        for x in pair:
            if type(x) is not float and not isinstance(x, (Value, Real)):
                raise TypeError(
                    f"{what} takes numbers and Values, or lists of them, got {type(x).__name__} {str(x)[:60]}"
                )
    return ag.mean([one(p, t) for p, t in pairs]) if shapes[0] else one(*pairs[0])


def _number(x: Any) -> float | None:
    """The number of a Value or number `x`; None for a traced Value, which has none."""
    return x.data if type(x) is Value else None if isinstance(x, Value) else x
