"""A trainer makes the steps that backward() and the optimiser make, in arrays."""

import builtins
from typing import Any

import pytest

import autograd_lite as ag
import nn
from autograd_lite import Value, jit, trainer
from autograd_lite.compiler.backends import find_backends

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


def test_without_numpy_it_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_loss_that_is_not_jitted() -> None:
    loss, parameters = network()
    with pytest.raises(TypeError, match=r"trainer\(jit\(loss\), optimizer\)"):
        trainer(loss, nn.SGD(parameters))
