"""Optimisers and schedules: PyTorch's steps, to 1e-12 over 100 of them, on floats and on arrays."""

import copy
import gc
import math
import pickle
import random
import weakref

import pytest

import autograd_lite as ag
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
def test_training_continues_from_a_saved_state(name, settings):
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
            "SGD can't optimize a non-leaf, the result of mul: give it the leaves it was made from",
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
            "the state belongs to the optimizer SGD, this is Adam",
        ),
        (
            lambda: nn.Adam([Value(0.0)]).load_state_dict(nn.Adam([Value(0.0), Value(0.0)]).state_dict()),
            "the optimizer's state has 2 parameters, the optimizer 1",
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
            r"SGD takes a list of parameters, got MLP: give it model.parameters\(\)",
        ),
        (
            lambda: nn.clip_grad_norm_(nn.MLP(2, [1]), 1.0),
            "clip_grad_norm_ takes a list of parameters, got MLP: give it",
        ),
        (lambda: nn.clip_grad_value_(nn.MLP(2, [1]), 1.0), "clip_grad_value_ takes a list of parameters, got MLP"),
        (lambda: nn.Adam([Value(0.0)], betas=0.9), "Adam takes a pair of numbers as betas, got 0.9"),
        (lambda: nn.AdamW([Value(0.0)], betas=(0.9,)), r"AdamW takes a pair of numbers as betas, got \(0.9,\)"),
        (lambda: nn.SGD([1.0]), r"SGD takes a list of Values, got float in it: give it model.parameters\(\)"),
        (lambda: nn.SGD([Value(0.0)], lr="a"), "SGD takes a number as lr, got 'a'"),
        (lambda: nn.SGD([Value(0.0)]).load_state_dict(None), "load_state_dict takes a dict, .* got NoneType"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named(wrong, message):
    with pytest.raises(TypeError, match=message):
        wrong()


# --- The compiled rule that `step` uses on many parameters ----------------------------------------------------------


def many(kind, settings, n=40):
    return getattr(nn, kind)([Value(0.05 * i - 0.9) for i in range(n)], **settings)


def steps_of(optimizer, steps, before=lambda optimizer, step: None):
    for step in range(steps):
        before(optimizer, step)
        for p, g in zip(optimizer.parameters, gradients(step, len(optimizer.parameters)), strict=True):
            p.grad = g
        optimizer.step()
    return [p.data for p in optimizer.parameters], optimizer.state, optimizer.steps


@pytest.fixture
def in_python(monkeypatch):
    """A function that runs another one with every optimiser's step made by Python's loop."""

    def run(f, *args):
        with monkeypatch.context() as patch:
            patch.setattr("nn.optim.COMPILE_FROM", 10**9)
            return f(*args)

    return run


def agree(ours, expected):
    assert ours[0] == pytest.approx(expected[0], rel=1e-12, abs=1e-13)
    assert {**ours[1]} == {name: pytest.approx(column, rel=1e-12, abs=1e-13) for name, column in expected[1].items()}
    assert ours[2] == expected[2]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_the_compiled_rule_makes_the_steps_of_the_loop(name, settings, in_python):
    compiled = many(name, settings)
    agree(steps_of(compiled, 30), in_python(steps_of, many(name, settings), 30))
    assert compiled._rule


def test_changed_hyperparameters_are_used_in_the_next_step(in_python):
    def change(optimizer, step):
        if step == 3:
            optimizer.lr = 0.5
        if step == 5:
            optimizer.weight_decay = 0.1
        if step == 7:
            optimizer.momentum = 0.9
        if step == 9:
            optimizer.nesterov = True
        if step == 11:
            optimizer.state["momentum_buffer"][3] = 7.0
            optimizer.parameters[2].data = -4

    agree(steps_of(many("SGD", {"lr": 0.1}), 14, change), in_python(steps_of, many("SGD", {"lr": 0.1}), 14, change))


def test_a_copy_a_pickle_and_a_state_dict_continue_training():
    whole = steps_of(many("Adam", {}), 12)
    optimizer = many("Adam", {})
    steps_of(optimizer, 5)
    assert optimizer._rule
    restored = many("Adam", {})
    for p, q in zip(restored.parameters, optimizer.parameters, strict=True):
        p.data = q.data
    restored.load_state_dict(optimizer.state_dict())
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)), restored):
        for step in range(5, 12):
            for p, g in zip(other.parameters, gradients(step, 40), strict=True):
                p.grad = g
            other.step()
        assert ([p.data for p in other.parameters], other.state, other.steps) == whole


def test_two_optimizers_may_share_parameters():
    parameters = [Value(float(i)) for i in range(40)]
    first, second = nn.SGD(parameters, lr=0.5), nn.SGD(parameters[::-1], lr=0.25)
    for p in parameters:
        p.grad = 2.0
    first.step()
    second.step()
    assert [p.data for p in parameters] == [i - 1.5 for i in range(40)]


def test_a_users_update_and_step_are_called():
    seen = []

    class Counting(nn.SGD):
        def update(self, p, g, t, *state):
            seen.append(t)
            return super().update(p, g * len(seen), t, *state)

    class Clipped(nn.SGD):
        def step(self):
            nn.clip_grad_value_(self.parameters, 0.01)
            super().step()

    counting = Counting([Value(0.0) for _ in range(40)], lr=1.0)
    for p in counting.parameters:
        p.grad = 1.0
    counting.step()
    assert [p.data for p in counting.parameters] == [-1.0 - i for i in range(40)]
    assert seen == [1] * 40
    clipped = Clipped([Value(0.0) for _ in range(40)], lr=1.0)
    for p in clipped.parameters:
        p.grad = 5.0
    clipped.step()
    assert [p.data for p in clipped.parameters] == [-0.01] * 40
    clipped.update = lambda p, g, t, *state: (p + 1.0, *state)
    clipped.step()
    assert [p.data for p in clipped.parameters] == [0.99] * 40


def test_an_undeclared_attribute_never_becomes_a_constant_of_the_compiled_rule():
    class Scaled(nn.SGD):
        compiles = True
        scale = 1.0

        def update(self, p, g, t, *state):
            return p - self.lr * self.scale * g, *state

    class Declared(Scaled):
        hyperparameters = (*nn.SGD.hyperparameters, "scale")

    for kind in Scaled, Declared:
        optimizer = kind([Value(0.0) for _ in range(40)], lr=1.0)
        optimizer.scale = 2.0
        for p in optimizer.parameters:
            p.grad = 1.0
        optimizer.step()
        optimizer.scale = 3.0
        optimizer.step()
        assert [p.data for p in optimizer.parameters] == [-5.0] * 40
        assert bool(optimizer._rule) is (kind is Declared)
        if kind is Scaled:
            with pytest.raises(ag.CompileError, match=r"reads self.scale, which Scaled.hyperparameters does not"):
                ag.compiled_rule(optimizer)


def test_a_compiled_rule_fits_every_optimizer_with_the_same_rule():
    first, second = [nn.SGD([Value(3.0)], lr=0.5, momentum=0.9) for _ in range(2)]
    rule = ag.compiled_rule(first)
    assert rule.fits(second)
    for other in nn.SGD([Value(3.0)], lr=0.5), nn.Adam([Value(3.0)]):
        assert not rule.fits(other)
        rule.step(other)
        assert rule.fits(other)
    alive = weakref.ref(first)
    del first
    gc.collect()
    assert alive() is None


def test_an_error_in_a_step_changes_nothing():
    optimizer = many("SGD", {"lr": 0.1, "momentum": 0.5})
    before = steps_of(optimizer, 2)
    optimizer.lr = None
    with pytest.raises(TypeError, match="lr takes real numbers, got NoneType"):
        optimizer.step()
    assert ([p.data for p in optimizer.parameters], optimizer.state, optimizer.steps) == before
    optimizer.lr = 0.1
    optimizer.parameters.append(Value(1.0))
    with pytest.raises(ValueError, match="has 41 parameters and remembers the state of 40: make a new one"):
        optimizer.step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": "a"}, "the optimizer's state is damaged: lr 'a'"),
        ({"lr": -1.0}, "the optimizer's state is damaged: lr -1.0"),
        ({"steps": 1.5}, "the optimizer's state is damaged: .* steps 1.5"),
        ({"state": []}, "takes lists called exp_avg, exp_avg_sq"),
        ({"state": {"exp_avg": [0.0]}}, "takes lists called exp_avg, exp_avg_sq"),
        ({"state": {"exp_avg": [0.0], "exp_avg_sq": [None]}}, "exp_avg_sq is not a list of numbers"),
        ({"state": {"exp_avg": [0.0], "exp_avg_sq": 3}}, "exp_avg_sq is not a list of numbers"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(change, message):
    optimizer = nn.Adam([Value(0.0)])
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict({**before, **change})
    with pytest.raises(ValueError, match="the optimizer's state has no lr"):
        optimizer.load_state_dict({"optimizer": "Adam", "steps": 0, "state": {}})
    assert optimizer.state_dict() == before


def test_the_repr_of_an_optimizer_has_its_settings():
    assert repr(many("SGD", {"lr": 0.1, "momentum": 0.9})) == (
        "SGD(40 parameters, lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False)"
    )


@pytest.mark.parametrize("limit", [-1.0, 0.0, math.nan, "x"])
@pytest.mark.parametrize("clip", [nn.clip_grad_norm_, nn.clip_grad_value_])
def test_a_limit_of_gradients_is_above_0(clip, limit):
    p = Value(1.0)
    p.grad = 3.0
    with pytest.raises((TypeError, ValueError), match=rf"^{clip.__name__} takes a "):
        clip([p], limit)
    assert p.grad == 3.0
