"""`no_grad` and `detach`: numbers without history, in threads, as a decorator, and around derivatives."""

import contextvars
import threading
from collections.abc import Iterator

import pytest

import autograd_lite as al
from autograd_lite import Value, detect_anomaly, grad, gradients, jvp, no_grad, vjp
from autograd_lite.recording import recording_with
from autograd_lite.value import Recorder, opened


def test_history_is_recorded_outside_only() -> None:
    x = Value(2.0)
    with no_grad():
        y = al.exp(x * x) + x.tanh()
        with no_grad():
            z = 3 * x
        w = x**2 + 1
    assert [v.op for v in (y, z, w)] == [None, None, None]
    assert (z.data, w.data) == (6.0, 5.0)
    assert (x * x).op is al.primitives.mul
    assert not opened


def test_no_grad_decorates_a_recursive_function() -> None:
    @no_grad()
    def power(x: Value, n: int) -> Value:
        """x to the n."""
        return x * power(x, n - 1) if n > 1 else x * 1.0

    x = Value(3.0)
    assert (power(x, 4).data, power(x, 4).op, power.__doc__) == (81.0, None, "x to the n.")
    assert (x * x).op is not None


def test_no_grad_decorates_with_and_without_parentheses() -> None:
    def square(x: Value) -> Value:
        return x * x

    x = Value(3.0)
    for decorated in (no_grad(square), no_grad()(square)):
        assert (decorated(x).data, decorated(x).op, decorated.__name__) == (9.0, None, "square")
    for decorated in (detect_anomaly(square), detect_anomaly()(square)):
        assert decorated(x).op is not None
        with pytest.raises(FloatingPointError, match=r"mul\(1e\+200, 1e\+200\) is inf"):
            decorated(Value(1e200))
    assert not opened


def test_one_no_grad_object_is_entered_twice_and_in_two_threads() -> None:
    without, x = no_grad(), Value(3.0)
    for _ in range(2):
        with without:
            with without:
                assert (x * x).op is None
            thread = threading.Thread(target=without(lambda: None))
            thread.start()
            thread.join()
            assert (x * x).op is None
        assert (x * x).op is not None
    assert not opened


def test_no_grad_names_what_it_cannot_decorate() -> None:
    def numbers() -> Iterator[Value]:
        yield Value(1.0) * 2

    async def wait() -> None: ...

    class Waiting:
        __name__ = "Waiting"

        async def __call__(self) -> None: ...

    for mode in (no_grad, detect_anomaly):
        for function in (numbers, wait, Waiting()):
            message = f"{mode.__name__} cannot decorate {function.__name__}, which pauses"
            with pytest.raises(TypeError, match=message):
                mode(function)  # type: ignore[type-var]
            with pytest.raises(TypeError, match=message):
                mode()(function)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"{mode.__name__} decorates a function, got float"):
            mode(3.0)  # type: ignore[type-var]


def test_no_grad_ends_in_the_task_in_which_it_began() -> None:
    without = no_grad()
    context = contextvars.copy_context()
    context.run(without.__enter__)
    with pytest.raises(RuntimeError, match="no_grad ends in another task or thread than it began in: open it where"):
        without.__exit__(None, None, None)
    context.run(without.__exit__, None, None, None)
    assert not opened


def test_no_grad_ends_after_an_error() -> None:
    with pytest.raises(ValueError, match="out"), no_grad():
        raise ValueError("out")
    assert (Value(1.0) * 2).op is not None
    assert not opened


def test_every_operation_gives_a_leaf_with_the_recorded_number() -> None:
    a, b = Value(0.6), Value(-1.5)
    operations = [
        lambda: [a * b, a * 2, 2.0 * a, a - b, 1 - a, a / b, a**2, a**b, 2**a, -a, abs(b)],
        lambda: [a.tanh(), b.relu(), al.relu(a), al.maximum(a, b), al.where(a, b, 1), al.dot([a, b], [b, 2])],
        lambda: al.matvec([[a, b], [b, b]], [a, 2]) + al.matvec([[a], (b,)], [b], [b, a], al.sigmoid),
        lambda: al.matvec([[a, 1.0], [b, b]], [a, 2], [a, b], lambda z: z.sin()),
        lambda: [a.detach(), al.mean([a, b]), al.silu(a), *al.softmax([a, b])],
    ]
    for run in operations:
        recorded = run()
        with no_grad():
            leaves = run()
        for found, expected in zip(leaves, recorded, strict=True):
            assert (found.data, found.grad, found.op, found.args, found.label) == (expected.data, 0.0, None, (), "")


def test_derivatives_and_detect_anomaly_nest_inside_no_grad() -> None:
    x = Value(2.0)

    @no_grad
    def slope(y: float) -> object:
        with detect_anomaly(), no_grad():
            return grad(lambda z: z * z * x)(y)

    assert (slope(3.0).data, slope(3.0).op) == (12.0, None)  # type: ignore[attr-defined]
    with no_grad(), detect_anomaly():
        leaf = al.matvec([[x, x]], [1.0, 2.0], [x], al.relu)[0]
        assert (leaf.data, leaf.op) == (8.0, None)
        with pytest.raises(FloatingPointError, match="log"):
            grad(lambda z: al.log(z) * x)(-1.0)
    assert (x * x).op is not None


def test_recorders_of_threads_are_independent() -> None:
    rounds, found = threading.Barrier(2), {}

    def work(name: str, without: bool) -> None:
        x = Value(2.0)
        for i in range(50):
            rounds.wait()
            if without:
                with no_grad():
                    rounds.wait()
                    y = x * x + i
            else:
                rounds.wait()
                y = x * x + i
            rounds.wait()
            found[name, i] = y.op is None

    threads = [threading.Thread(target=work, args=args) for args in [("without", True), ("with", False)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found["without", i] and not found["with", i] for i in range(50))


def test_a_new_thread_records_inside_no_grad_of_its_parent() -> None:
    found = []
    with no_grad():
        thread = threading.Thread(target=lambda: found.append((Value(1.0) * 2).op))
        thread.start()
        thread.join()
    assert found == [al.primitives.mul]


def test_derivatives_inside_no_grad_have_no_history() -> None:
    x = Value(3.0)
    with no_grad():
        assert grad(lambda x: x * x)(3.0) == 6.0
        assert jvp(lambda x: x * x, (3.0,), (1.0,)) == (9.0, 6.0)
        results = [grad(lambda x: x * x)(x), *jvp(lambda x: x * x, (x,), (1.0,)), *vjp(lambda x: x * x, x)[1](1.0)]
    assert [y.data for y in results] == [6.0, 9.0, 6.0, 6.0]
    assert all(y.op is None for y in results)


def test_grad_treats_results_of_no_grad_as_constants() -> None:
    def f(x: Value) -> Value:
        with no_grad():
            c = x * x
        return c * x

    assert f(Value(2.0)).data == 8.0
    assert grad(f)(Value(2.0)).data == 4.0


def test_gradients_inside_no_grad_of_a_graph_from_outside() -> None:
    x = Value(3.0)
    y = x**3
    with no_grad():
        (dy,) = gradients(y, [x])
        y.backward()
    assert (dy.data, dy.op, x.grad) == (27.0, None, 27.0)


def test_detach_stops_the_gradient_in_every_mode() -> None:
    x = Value(3.0)
    y = x * (x * x).detach()
    y.backward()
    assert (x.grad, gradients(y, [x])[0].data) == (9.0, 9.0)
    assert (x * x).detach().args == ()
    assert jvp(lambda x: x * x.detach(), (3.0,), (1.0,))[1] == 3.0


def test_recorders_may_close_in_another_order_than_they_opened() -> None:
    first, second = Recorder(), Recorder()
    contexts = [recording_with(first), recording_with(second)]
    for context in contexts:
        context.__enter__()
    contexts[0].__exit__(None, None, None)
    assert opened == [second]
    contexts[1].__exit__(None, None, None)
    assert opened == []
