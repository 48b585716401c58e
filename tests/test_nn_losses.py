"""Losses and metrics: PyTorch's numbers and gradients, of one example and of many, and at hostile points."""

import math

import pytest

import nn
from autograd_lite import Value, jit

PAIRS = {  # loss -> the name in torch.nn.functional, predictions and targets
    nn.mse: ("mse_loss", [0.3, -1.2, 2.0], [1.0, -1.0, 0.0]),
    nn.mae: ("l1_loss", [0.3, -1.2, 2.0, 1.0], [1.0, -1.0, 0.0, 1.0]),
    nn.huber: ("huber_loss", [0.3, -1.2, 2.0, -3.0, 1.0, 2.0], [1.0, -1.0, 0.0, 1.0, 1.0, 1.0]),
    nn.binary_cross_entropy: ("binary_cross_entropy", [0.3, 0.9, 0.01, 0.999], [1.0, 0.0, 0.25, 1.0]),
    nn.binary_cross_entropy_with_logits: (
        "binary_cross_entropy_with_logits", [0.3, -2.0, 1000.0, -1000.0, 1000.0, 0.0], [1.0, 0.0, 0.0, 1.0, 1.0, 0.5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("loss", PAIRS, ids=lambda loss: loss.__name__)
def test_elementwise_losses_agree_with_pytorch(loss):
    torch = pytest.importorskip("torch")
    name, predictions, targets = PAIRS[loss]
    theirs = torch.tensor(predictions, dtype=torch.float64, requires_grad=True)
    expected = getattr(torch.nn.functional, name)(theirs, torch.tensor(targets, dtype=torch.float64))
    expected.backward()
    ours = [Value(p) for p in predictions]
    found = loss(ours, targets)
    found.backward()
    assert found.data == pytest.approx(expected.item(), rel=1e-14)
    assert [p.grad for p in ours] == pytest.approx(theirs.grad.tolist(), rel=1e-12)
    # One example, many with one number each, and many with several: the same numbers in three shapes.
    one_by_one = [loss(p, t) for p, t in zip(predictions, targets, strict=True)]
    assert sum(one_by_one) / len(one_by_one) == pytest.approx(found.data, rel=1e-14)
    assert loss([[p] for p in predictions], [[t] for t in targets]) == pytest.approx(found.data, rel=1e-14)


@pytest.mark.parametrize(("probability", "target"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1e-50, 1.0)])
def test_binary_cross_entropy_is_finite_for_certainties(probability, target):
    torch = pytest.importorskip("torch")
    p = Value(probability)
    loss = nn.binary_cross_entropy(p, target)
    loss.backward()
    sides = [torch.tensor([x], dtype=torch.float64) for x in (probability, target)]
    assert loss.data == pytest.approx(torch.nn.functional.binary_cross_entropy(*sides).item())
    assert math.isfinite(p.grad)


def test_huber_takes_a_delta():
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.huber_loss(torch.tensor([3.0]), torch.tensor([0.0]), delta=0.5)
    assert nn.huber(3.0, 0.0, delta=0.5) == pytest.approx(expected.item())


def test_hinge_is_0_beyond_the_margin():
    assert [nn.hinge(p, t) for p, t in ((2.0, 1.0), (0.25, 1.0), (0.25, -1.0), (-3.0, -1.0))] == [0.0, 0.75, 1.25, 0.0]
    assert nn.hinge([2.0, 0.25], [1.0, 1.0]) == 0.375


@pytest.mark.parametrize("target", [[2, 0], [[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]]], ids=["labels", "probabilities"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_cross_entropy_agrees_with_pytorch(target, scale):
    torch = pytest.importorskip("torch")
    scores = [[0.3 * scale, -1.0 * scale, 2.0 * scale], [1.5 * scale, 0.0, -0.5 * scale]]
    theirs = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor(target, dtype=torch.long if isinstance(target[0], int) else torch.float64)
    expected = torch.nn.functional.cross_entropy(theirs, labels)
    expected.backward()
    ours = [[Value(s) for s in row] for row in scores]
    found = nn.cross_entropy(ours, target)
    found.backward()
    assert found.data == pytest.approx(expected.item(), rel=1e-13, abs=1e-300)
    for row, their_row in zip(ours, theirs.grad.tolist(), strict=True):
        assert [s.grad for s in row] == pytest.approx(their_row, rel=1e-12, abs=1e-300)
    one = [nn.cross_entropy(row, t) for row, t in zip(scores, target, strict=True)]
    assert sum(one) / 2 == pytest.approx(found.data, rel=1e-14, abs=1e-300)


def test_losses_take_arrays():
    np = pytest.importorskip("numpy")
    assert nn.mse(np.array([1.0, 2.0]), np.array([0.0, 0.0])) == 2.5
    assert nn.cross_entropy(np.zeros((2, 4)), np.array([0, 3])) == pytest.approx(math.log(4))


def test_accuracy_is_the_share_of_right_predictions():
    assert nn.accuracy(0.3, 1.0) == 1.0
    assert nn.accuracy([0.3, -0.2, 0.1], [1.0, -1.0, 0]) == pytest.approx(2 / 3)
    assert nn.accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1]) == 0.5
    assert nn.binary_accuracy([0.7, 0.2, 0.6], [1, 0, 0]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nn.mse([1.0, 2.0], [1.0]), r"mse takes a prediction and a target of one shape, got \(2,\) and \(1,\)"),
        (lambda: nn.hinge([[1.0], [1.0, 2.0]], [[1.0], [1.0]]), "hinge takes a prediction and a target of one shape"),
        (lambda: nn.mse([], []), "mse takes at least one number, got an empty list"),
        (lambda: nn.mae([[], []], [[], []]), "mae takes at least one number, got an empty list"),
        (lambda: nn.cross_entropy([], 0), "cross_entropy takes at least one score, got an empty list"),
        (lambda: nn.hinge(Value(0.5), 0.0), r"hinge takes targets of -1 or 1, got 0.0: .* make 2 \* label - 1"),
        (lambda: nn.hinge([0.5, 0.5], [1, Value(0.0)]), "hinge takes targets of -1 or 1, got 0.0"),
        (lambda: nn.binary_cross_entropy(2.0, 1.0), "binary_cross_entropy takes probabilities, from 0 to 1, got 2.0"),
        (
            lambda: nn.binary_cross_entropy([Value(-0.1)], [1.0]),
            "probabilities, from 0 to 1, got -0.1: take .*_with_logits",
        ),
        (lambda: nn.cross_entropy([0.0, 1.0, 2.0], 3), "a whole number from 0 to 2 for 3 scores, got 3"),
        (lambda: nn.cross_entropy([0.0, 1.0], -1), "a whole number from 0 to 1 for 2 scores, got -1"),
        (lambda: nn.cross_entropy([0.0, 1.0], 0.5), "a whole number from 0 to 1 for 2 scores, got 0.5"),
        (lambda: nn.cross_entropy(1.0, 0), "a list of scores, one for each class, got 1.0"),
        (lambda: nn.cross_entropy([[0.0, 1.0]], [0, 1]), "of 1 examples takes as many targets"),
        (lambda: nn.cross_entropy([0.0, 1.0], [1.0]), "one probability for each of 2 scores, got 1"),
        (lambda: nn.accuracy([], []), "accuracy takes at least one prediction, got an empty list"),
        (lambda: nn.accuracy([0.5], [1, 1]), "accuracy takes as many predictions as targets"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nn.mse("a", 1.0), "mse takes numbers and Values, or lists of them, got str a"),
        (lambda: nn.mse(None, 1.0), "mse takes numbers and Values, or lists of them, got NoneType None"),
        (lambda: nn.huber(1.0, 2.0, delta="x"), "huber takes a number as delta, got str 'x'"),
        (lambda: nn.accuracy("x", 1), "accuracy takes numbers, or lists of them, got str 'x'"),
        (lambda: nn.huber([1.0, 2.0], [1.0, "b"]), "huber takes numbers and Values, or lists of them, got str b"),
    ],
)
def test_an_input_that_is_not_a_number_is_named(wrong, message):
    with pytest.raises(TypeError, match=message):
        wrong()


@pytest.mark.parametrize("loss", [nn.hinge, nn.binary_cross_entropy])
def test_a_loss_that_checks_its_input_compiles(loss):
    assert jit(loss)(0.25, 1.0) == loss(0.25, 1.0)


def test_the_loss_of_a_nan_is_nan():  # fit detects divergence by it
    assert math.isnan(nn.binary_cross_entropy(math.nan, 1.0))
