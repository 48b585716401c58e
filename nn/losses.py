"""How far a prediction is from its target, and how often it is right.

A loss takes one example or many. What it gives is the mean over all numbers in the prediction, or for cross-entropy
over all examples, as PyTorch's losses do with `reduction="mean"`. Names and conventions are PyTorch's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from autograd_lite.trees import tree_leaves
from nn.module import as_list, numbers, shape

Scalar: TypeAlias = Any  # a Value, or a real number
Loss: TypeAlias = Callable[[Any, Any], Scalar]  # (prediction, target)


def mse(prediction: Any, target: Any) -> Scalar:
    """The squared error, (p - t)**2."""
    return _mean("mse", prediction, target, lambda p, t: (p - t) ** 2)


def mae(prediction: Any, target: Any) -> Scalar:
    """The absolute error, |p - t|: PyTorch's l1_loss."""
    return _mean("mae", prediction, target, lambda p, t: ag.abs(p - t))


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Scalar:
    """e**2 / 2 for an error e of at most `delta`, and delta * (|e| - delta / 2) beyond."""

    def one(p: Scalar, t: Scalar) -> Scalar:
        inside = ag.minimum(ag.abs(p - t), delta)
        return inside * (ag.abs(p - t) - 0.5 * inside)

    return _mean("huber", prediction, target, one)


def hinge(prediction: Any, target: Any) -> Scalar:
    """max(0, 1 - t * p), for targets of -1 and 1; a ValueError for others, except in compiled code."""

    def one(p: Scalar, t: Scalar) -> Scalar:
        if (number := _number(t)) is not None and number not in (-1.0, 1.0):
            raise ValueError(f"hinge takes targets of -1 or 1, got {number}: of labels 0 and 1, make 2 * label - 1")
        return ag.relu(1.0 - t * p)

    return _mean("hinge", prediction, target, one)


def binary_cross_entropy(prediction: Any, target: Any) -> Scalar:
    """-(t * log(p) + (1 - t) * log(1 - p)) for a probability p; a logarithm counts as -100 at least, as in PyTorch.

    Beyond that its gradient is 0. For a score that may be any number, use binary_cross_entropy_with_logits: a number
    below 0 or above 1 is a ValueError here, except in compiled code. A NaN makes the loss NaN.
    """

    def log(x: Scalar) -> Scalar:
        return ag.log(ag.maximum(x, math.exp(-100.0)))

    def one(p: Scalar, t: Scalar) -> Scalar:
        if (number := _number(p)) is not None and (number < 0.0 or number > 1.0):
            raise ValueError(
                f"binary_cross_entropy takes probabilities, from 0 to 1, got {number}: "
                "take the sigmoid, or binary_cross_entropy_with_logits"
            )
        return -(t * log(p) + (1.0 - t) * log(1.0 - p))

    return _mean("binary_cross_entropy", prediction, target, one)


def binary_cross_entropy_with_logits(prediction: Any, target: Any) -> Scalar:
    """binary_cross_entropy(sigmoid(p), t), for a score p of any size."""
    return _mean("binary_cross_entropy_with_logits", prediction, target, lambda p, t: ag.softplus(p) - t * p)


def cross_entropy(prediction: Any, target: Any) -> Scalar:
    """-log_softmax(scores)[label] of a list of scores, or -dot(target, log_softmax(scores)) for target probabilities.

    ValueError if the label is not the place of a score, or the probabilities are not as many as the scores, or there
    are none.
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
    """`target` as the number of a class; a ValueError if it is not one of 0 to classes - 1."""
    if target in range(classes):
        return int(target)
    raise ValueError(f"a label is a whole number from 0 to {classes - 1} for {classes} scores, got {target!r}")


def accuracy(prediction: Any, target: Any, threshold: float = 0.0) -> float:
    """1.0 if the prediction is right, else 0.0; of many examples, the fraction that is right.

    A list of scores says the class of the largest. A single score says "yes" if it is above `threshold`, and the
    target does if it is above 0: so for margins and logits; for probabilities there is binary_accuracy.
    """
    prediction, target = numbers(prediction), as_list(target)
    if isinstance(target, (list, tuple)):
        if not isinstance(prediction, list) or len(prediction) != len(target):
            raise ValueError(f"accuracy takes as many predictions as targets, got {prediction!r} for {target!r}")
        return statistics.fmean([accuracy(p, t, threshold) for p, t in zip(prediction, target, strict=True)])
    if isinstance(prediction, list):
        return float(max(range(len(prediction)), key=prediction.__getitem__) == label(target, len(prediction)))
    return float((prediction > threshold) == (target > 0))


def binary_accuracy(prediction: Any, target: Any) -> float:
    """accuracy with a threshold of 1/2: for probabilities."""
    return accuracy(prediction, target, threshold=0.5)


def _mean(what: str, prediction: Any, target: Any, one: Callable[[Scalar, Scalar], Scalar]) -> Scalar:
    """The mean of `one` over the numbers in a prediction and a target of one shape."""
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


def _number(x: Scalar) -> float | None:
    """The number that `x` is or holds; None for a traced Value, which stands for any."""
    return x.data if type(x) is Value else None if isinstance(x, Value) else x
