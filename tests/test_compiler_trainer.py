"""A trainer makes the steps that backward() and the optimiser make, in arrays."""

import builtins
from typing import Any

import pytest

import autograd_lite as ag
import nn
from autograd_lite import Value, jit, trainer
from autograd_lite.compiler.backends import find_backends
from autograd_lite.compiler.trace import TraceError

BACKENDS = [backend.name for backend in find_backends("auto")]
X, Y = [[0.3, -1.0], [2.0, 0.7], [-0.4, 0.1]], [1.0, -1.0, 0.5]


def network() -> tuple[Any, list[Value]]:
    rows = [([Value(0.1 * i - 0.3 * j) for j in range(2)], Value(0.2 * i)) for i in range(4)]
    out = [Value(0.5 - 0.3 * i) for i in range(4)]
    frozen = Value(0.7)

    def loss(x: Any, y: Any) -> Any:
        return (ag.dot(out, [(ag.dot(w, x) + b).tanh() for w, b in rows]) * frozen - y) ** 2

    return loss, [*out[::-1], *[p for w, b in rows for p in (b, *w)]]


def optimizers(parameters: list[Value]) -> list[Any]:
    return [
        nn.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
        nn.Adam(parameters, lr=0.05),
        nn.RMSprop(parameters, lr=0.05),
    ]


def eager(which: int, unused: bool) -> tuple[list[float], list[float], Any]:
    loss, parameters = network()
    optimizer = optimizers(parameters + [Value(3.0)] * unused)[which]
    losses = []
    for _ in range(5):
        mean = ag.mean([loss(x, y) for x, y in zip(X, Y, strict=True)])
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        losses.append(mean.data)
    return losses, [p.data for p in optimizer.parameters], optimizer


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("unused", [False, True])
def test_the_steps_are_those_of_backward(backend: str, which: int, unused: bool) -> None:
    losses, numbers, like = eager(which, unused)
    loss, parameters = network()
    before = [p.data for p in parameters]
    optimizer = optimizers(parameters + [Value(3.0)] * unused)[which]
    step = trainer(jit(loss, backend=backend), optimizer)
    assert [step(X, Y) for _ in range(5)] == pytest.approx(losses, rel=1e-12)
    assert [p.data for p in parameters] == before
    step.write()
    assert [p.data for p in optimizer.parameters] == pytest.approx(numbers, rel=1e-12)
    assert optimizer.steps == 5
    for name, memory in optimizer.state.items():
        assert memory == pytest.approx(like.state[name], rel=1e-12)


def test_batches_of_several_structures_share_the_numbers() -> None:
    w = [Value(float(i)) for i in range(4)]
    optimizer = nn.SGD(w, lr=0.1)
    step = trainer(jit(lambda xs: ag.dot(xs, w[: len(xs)]) ** 2), optimizer)
    step([[1.0, 2.0]])
    step([[1.0, 2.0, 3.0, 4.0]])
    step([[2.0, 1.0]])
    step.write()
    like = [Value(float(i)) for i in range(4)]
    again = nn.SGD(like, lr=0.1)
    for xs in ([1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [2.0, 1.0]):
        again.zero_grad()
        (ag.dot(xs, like[: len(xs)]) ** 2).backward()
        again.step()
    assert [x.data for x in w] == pytest.approx([x.data for x in like], rel=1e-12)


def test_training_works_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "numpy":
            raise ImportError(name)
        return really(name, *args, **kwargs)

    losses, numbers, _ = eager(0, False)
    loss, parameters = network()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", refuse)
        step = trainer(jit(loss, backend="python"), optimizers(parameters)[0])
        assert [step(X, Y) for _ in range(5)] == pytest.approx(losses, rel=1e-12)
    step.write()
    assert [p.data for p in parameters] == pytest.approx(numbers, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("arrays", [False, True])
def test_arrays_of_any_kind_and_lists_are_the_same(backend: str, arrays: bool) -> None:
    np = pytest.importorskip("numpy")
    loss, parameters = network()
    step = trainer(jit(loss, backend=backend), nn.Adam(parameters, lr=0.05))
    wanted = [step(X, Y), step(X, Y)]
    loss, parameters = network()
    step = trainer(jit(loss, backend=backend), nn.Adam(parameters, lr=0.05))
    table = np.array([[x, 9.0, y] for x, y in X])[:, ::2]  # not contiguous
    column = np.array([[y] for y in Y], dtype=np.float32)[:, 0] if arrays else Y
    assert [step(table, column), step(table, column)] == pytest.approx(wanted, rel=1e-12)


def test_parameters_may_be_changed_after_write() -> None:
    w = Value(3.0)
    optimizer = nn.SGD([w], lr=0.1, momentum=0.5)
    step = trainer(jit(lambda x: w * x), optimizer)
    assert step([2.0]) == 6.0
    step.write()
    assert (w.data, optimizer.state) == (pytest.approx(2.8), {"momentum_buffer": [2.0]})
    w.data, optimizer.state["momentum_buffer"] = 1.0, [10.0]
    assert step([2.0]) == 2.0
    step.write()
    assert w.data == pytest.approx(1.0 - 0.1 * (0.5 * 10.0 + 2.0))


def test_settings_may_change_from_step_to_step() -> None:
    w = Value(3.0)
    optimizer = nn.SGD([w], lr=0.1)
    step = trainer(jit(lambda x: w * x), optimizer)
    step([2.0])  # 3 - 0.1 * 2
    optimizer.lr = 0.5
    step([2.0])  # 2.8 - 0.5 * 2
    optimizer.weight_decay = 1.0
    step([2.0])  # 1.8 - 0.5 * (2 + 1.8)
    step.write()
    assert w.data == pytest.approx(1.8 - 0.5 * 3.8, rel=1e-14)


class Lion(nn.Optimizer):
    """An update rule that calls a function, and remembers a number that does not change."""

    remembers = ("exp_avg", "nothing")

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        m, _ = state
        return p - self.lr * ag.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g, 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_users_update_rule_makes_the_eager_steps(backend: str) -> None:
    numbers = []
    for compiled in True, False:
        loss, parameters = network()
        optimizer = Lion(parameters, lr=0.01)
        step = trainer(jit(loss, backend=backend), optimizer)
        for _ in range(3):
            if compiled:
                step(X, Y)
            else:
                optimizer.zero_grad()
                ag.mean([loss(x, y) for x, y in zip(X, Y, strict=True)]).backward()
                optimizer.step()
        step.write()
        numbers.append([p.data for p in parameters])
        assert optimizer.state["nothing"] == [0.0] * len(parameters)
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-12)


def test_a_rule_that_branches_on_a_number_says_where() -> None:
    class Careful(nn.SGD):
        def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
            return super().update(p, g if g > 0 else 0.0, t, *state)

    w = Value(3.0)
    step = trainer(jit(lambda x: w * x), Careful([w]))
    with pytest.raises(TraceError, match=r"test_compiler_trainer.py:\d+: .*g if g > 0.* needs the number of a traced"):
        step([2.0])


@pytest.mark.parametrize(
    "scale",
    [
        lambda lr, t: lr if t > 2 else 0.0,
        lambda lr, t: lr if t == 1 else 0.5 * lr,
        lambda lr, t: min(lr, 0.5),
    ],
)
def test_a_rule_that_branches_on_the_step_or_the_rate_is_refused(scale: Any) -> None:
    class Staged(nn.SGD):
        def update(self, p: Any, g: Any, t: Any, *state: Any) -> tuple[Any, ...]:
            return p - scale(self.lr, t) * g, *state

    w = Value(3.0)
    with pytest.raises(TraceError, match="needs the number of a traced Value"):
        trainer(jit(lambda x: w * x), Staged([w], lr=0.1))([2.0])


def test_other_numbers_that_the_loss_captures_are_read_at_each_step() -> None:
    w, scale = Value(1.0), Value(1.0)
    step = trainer(jit(lambda x: scale * w * x), nn.SGD([w], lr=0.1))
    losses = []
    for n in 1, 2, 3:
        scale.data = float(n)
        losses.append(step([1.0]))
    assert losses == pytest.approx([1.0, 1.8, 2.1], rel=1e-15)


def test_a_value_computed_from_a_parameter_outside_the_loss() -> None:
    w = Value(3.0)
    made = w.exp()
    with pytest.raises(TypeError, match="was made of a parameter outside of it: make it inside"):
        trainer(jit(lambda x: made * x), nn.SGD([w]))([2.0])


def test_the_optimizer_keeps_its_state_until_write() -> None:
    w = Value(3.0)
    optimizer = nn.SGD([w], lr=0.1, momentum=0.9)
    step = trainer(jit(lambda x: w * x), optimizer)
    step([1.0])
    step([1.0])
    assert optimizer.state_dict() == {"optimizer": "SGD", "lr": 0.1, "steps": 0, "state": {"momentum_buffer": [0.0]}}
    step.write()
    assert (optimizer.steps, optimizer.state["momentum_buffer"]) == (2, [1.9])
    optimizer.parameters = [w, Value(1.0)]
    with pytest.raises(ValueError, match="other parameters than when its trainer was made: make a new trainer"):
        step([1.0])


def test_a_nan_is_found_at_its_source() -> None:
    w = Value(-3.0)
    optimizer = nn.SGD([w], lr=0.1)
    step = trainer(jit(lambda x: ag.log(w * x)), optimizer)
    with ag.detect_anomaly():
        assert step([-2.0]) == pytest.approx(1.791759469)
        with pytest.raises(ArithmeticError, match="nan"):
            step([2.0])
    step.write()
    assert w.data == pytest.approx(-3.0 + 0.1 / 3.0)
    assert optimizer.steps == 1


def test_values_in_a_row_and_a_loss_of_two_numbers() -> None:
    w = Value(3.0)
    with pytest.raises(TypeError, match="a training step takes numbers, and there are Values in its rows"):
        trainer(jit(lambda x: w * x), nn.SGD([w]))([Value(1.0)])
    with pytest.raises(TypeError, match="trainer takes a function that gives one Value"):
        trainer(jit(lambda x: (w * x, w)), nn.SGD([w]))([1.0])


def test_a_loss_that_is_not_jitted_is_refused() -> None:
    loss, parameters = network()
    with pytest.raises(TypeError, match=r"trainer\(jit\(loss\), optimizer\)"):
        trainer(loss, nn.SGD(parameters))
    with pytest.raises(TypeError, match=r"trainer takes an optimizer, .* got NoneType"):
        trainer(jit(loss), None)  # type: ignore[arg-type]


def test_a_rule_with_a_wrong_result_and_a_rate_of_none() -> None:
    class Short(nn.SGD):
        def update(self, p: Any, g: Any, t: Any, *state: Any) -> tuple[Any, ...]:
            return (p - self.lr * g,)

    w = Value(3.0)
    with pytest.raises(TypeError, match=r"Short.update should return \(p, momentum_buffer\), and returned"):
        trainer(jit(lambda x: w * x), Short([w]))([2.0])
    optimizer = nn.SGD([w])
    step = trainer(jit(lambda x: w * x), optimizer)
    step([2.0])
    optimizer.lr = None  # type: ignore[assignment]
    with pytest.raises(TypeError, match="lr takes real numbers, got NoneType"):
        step([2.0])


def test_row_structures_that_capture_different_values_alternate() -> None:
    v, fixed = Value(1.0), [Value(2.0), Value(3.0)]

    def loss(x: Any) -> Any:
        return ag.sum([(w * v - f) ** 2 for w, f in zip(x, fixed, strict=False)])

    step, eager = trainer(jit(loss), nn.SGD([v], lr=0.01)), Value(1.0)
    for row in ([1.0], [1.0, 2.0], [1.0], [2.0, 1.0], [3.0]):
        step([row])
        eager.grad = 0.0
        ag.sum([(w * eager - f) ** 2 for w, f in zip(row, fixed, strict=False)]).backward()
        eager.data -= 0.01 * eager.grad
    step.write()
    assert v.data == pytest.approx(eager.data, rel=1e-14)
