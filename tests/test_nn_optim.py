"""Optimisers and schedules: PyTorch's steps, to 1e-12 over 100 of them, on floats and on arrays."""

import random

import pytest

import nn
from autograd_lite import Value

SETTINGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2}),
]


def gradients(step, n=7):
    rng = random.Random(step)
    return [rng.gauss(0, 10 ** rng.uniform(-6, 2)) for _ in range(n)]


def our_path(name, settings, steps=100):
    parameters = [Value(0.5 * i - 1.3) for i in range(7)]
    optimizer = getattr(nn, name)(parameters, **settings)
    for step in range(steps):
        for p, g in zip(parameters, gradients(step), strict=True):
            p.grad = g
        optimizer.step()
    return [p.data for p in parameters]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_hundred_steps_agree_with_pytorch(name, settings):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor([0.5 * i - 1.3 for i in range(7)], dtype=torch.float64))
    optimizer = getattr(torch.optim, name)([theirs], **settings)
    for step in range(100):
        theirs.grad = torch.tensor(gradients(step), dtype=torch.float64)
        optimizer.step()
    assert our_path(name, settings) == pytest.approx(theirs.tolist(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_one_rule_serves_floats_and_arrays(name, settings):
    np = pytest.importorskip("numpy")
    optimizer = getattr(nn, name)([Value(0.0)], **settings)
    p, *state = np.array([0.5 * i - 1.3 for i in range(7)]), *[np.zeros(7) for _ in optimizer.remembers]
    for step in range(100):
        p, *state = optimizer.update(p, np.array(gradients(step)), step + 1, *state)
    assert our_path(name, settings) == pytest.approx(p.tolist(), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_saved_state_goes_on_where_it_was(name, settings):
    def run(break_at):
        parameters = [Value(1.0), Value(-2.0)]
        optimizer = getattr(nn, name)(parameters, **settings)
        for step in range(20):
            if step == break_at:
                state = optimizer.state_dict()
                optimizer = getattr(nn, name)(parameters, **settings)
                optimizer.load_state_dict(state)
            for p, g in zip(parameters, gradients(step, 2), strict=True):
                p.grad = g
            optimizer.step()
        return [p.data for p in parameters]

    assert run(break_at=None) == run(break_at=9)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("StepLR", {"step_size": 7}),
        ("StepLR", {"step_size": 3, "gamma": 0.5}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 30}),
        ("CosineAnnealingLR", {"T_max": 30, "eta_min": 0.01}),
        ("LinearLR", {}),
        ("LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 12}),
    ],
)
def test_schedules_agree_with_pytorch(name, settings):
    torch = pytest.importorskip("torch")
    their_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    theirs = getattr(torch.optim.lr_scheduler, name)(their_optimizer, **settings)
    ours = getattr(nn, name)(nn.SGD([Value(0.0)], lr=0.4), **settings)
    for _ in range(31):
        assert ours.optimizer.lr == pytest.approx(their_optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-15)
        their_optimizer.step()
        theirs.step()
        ours.step()


@pytest.mark.parametrize(
    ("clip", "limit"), [("clip_grad_norm_", 0.5), ("clip_grad_norm_", 99.0), ("clip_grad_value_", 1.5)]
)
def test_clipping_agrees_with_pytorch(clip, limit):
    torch = pytest.importorskip("torch")
    ours, theirs = [Value(0.0) for _ in range(3)], torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    theirs.grad = torch.tensor([3.0, -1.0, 0.1], dtype=torch.float64)
    for p, g in zip(ours, theirs.grad.tolist(), strict=True):
        p.grad = g
    expected = getattr(torch.nn.utils, clip)([theirs], limit)
    found = getattr(nn, clip)(ours, limit)
    assert [p.grad for p in ours] == pytest.approx(theirs.grad.tolist(), rel=1e-14)
    assert found == (None if expected is None else pytest.approx(expected.item()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nn.SGD([]), "SGD has no parameters: give it model.parameters()"),
        (
            lambda: nn.SGD([Value(1.0) * 2]),
            "SGD can't optimize a non-leaf, the result of mul: give it what that is made",
        ),
        (lambda: nn.Adam([Value(0.0)] * 2), "Adam has a parameter twice, .* give it each Value once"),
        (lambda: nn.SGD([Value(0.0)], lr=-0.1), "SGD takes a finite lr of at least 0, got -0.1"),
        (lambda: nn.Adam([Value(0.0)], lr=float("nan")), "Adam takes a finite lr of at least 0, got nan"),
        (lambda: nn.SGD([Value(0.0)], momentum=-1), "SGD takes a finite momentum of at least 0, got -1"),
        (lambda: nn.SGD([Value(0.0)], nesterov=True), "nesterov=True takes a momentum above 0"),
        (lambda: nn.Adam([Value(0.0)], betas=(0.9, 1.0)), "betas of at least 0 and below 1"),
        (lambda: nn.Adam([Value(0.0)], eps=0.0), "it must be above 0, got 0.0"),
        (
            lambda: nn.Adam([Value(0.0)]).load_state_dict(nn.SGD([Value(0.0)]).state_dict()),
            "the state is of the optimizer SGD, this is Adam",
        ),
        (
            lambda: nn.Adam([Value(0.0)]).load_state_dict(nn.Adam([Value(0.0), Value(0.0)]).state_dict()),
            "the optimizer's state is of 2 parameters, here are 1",
        ),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: nn.SGD(nn.MLP(2, [1])),
            r"SGD takes a list of parameters, got MLP: write SGD\(model.parameters\(\)\)",
        ),
        (lambda: nn.SGD([1.0]), r"SGD takes a list of Values, got float in it: give it model.parameters\(\)"),
        (lambda: nn.SGD([Value(0.0)], lr="a"), "SGD takes a number as lr, got 'a'"),
        (lambda: nn.SGD([Value(0.0)]).load_state_dict(None), "load_state_dict takes a dict, .* got NoneType"),
    ],
)
def test_what_is_of_the_wrong_kind_is_named(wrong, message):
    with pytest.raises(TypeError, match=message):
        wrong()
