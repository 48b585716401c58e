"""`detect_anomaly` names the operation and the line that made a nan or an infinity, in every mode."""

import contextlib
import copy
import gc
import math
import threading
from typing import Any

import pytest

import autograd_lite as al
from autograd_lite import Value, detect_anomaly, grad, no_grad
from autograd_lite.debugging.callsite import call_site
from autograd_lite.value import opened


def message(run: Any) -> str:
    with pytest.raises(FloatingPointError) as error:
        run()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_forward_pass_names_operation_numbers_and_line() -> None:
    def run() -> None:
        x = Value(2.0)
        with detect_anomaly():
            y = x * 3.0
            al.log(6.0 - y)  # the line

    text = message(run)
    assert text.startswith("log(0.0) is -inf, at ")
    assert text.endswith(": al.log(6.0 - y)  # the line")
    assert f"{__file__}:{run.__code__.co_firstlineno + 4}: " in text


def test_backward_names_partial_line_and_path() -> None:
    def run() -> None:
        with detect_anomaly():
            x = Value(0.0, label="x")
            distance = al.sqrt(x * x)
            loss = 3.0 * distance + 1.0
            loss.backward()

    first, name = run.__code__.co_firstlineno, __file__.rpartition("/")[2]
    assert message(run) == (
        f"backward: the gradient 3.0 of sqrt(0.0) = 0.0, recorded at {__file__}:{first + 3}: "
        "distance = al.sqrt(x * x), times its partial derivative inf with respect to the argument 0.0, is inf; "
        "from the loss: "
        f"add ({name}:{first + 4}) -> mul ({name}:{first + 4}) -> sqrt ({name}:{first + 3})"
    )


def test_backward_through_nodes_recorded_outside() -> None:
    x = Value(0.0)
    y = al.sqrt(x)

    def run() -> None:
        with detect_anomaly():
            y.backward()

    assert "sqrt(0.0) = 0.0, recorded at a line outside detect_anomaly, times its partial derivative inf" in message(
        run
    )


def test_backward_reports_a_sum_that_overflows() -> None:
    def run() -> None:
        with detect_anomaly():
            x = Value(0.0, label="x")
            al.dot([x, x], [1.7e308, 1.7e308]).backward()

    assert message(run).startswith(
        "backward: the gradient of the leaf x is inf, though every contribution to it is fini"
    )


def test_a_long_path_from_the_loss_is_shortened() -> None:
    def run() -> None:
        with detect_anomaly():
            y = al.sqrt(Value(0.0))
            for _ in range(100):
                y = y * 1.0
            y.backward()

    assert "-> ... 91 more ... ->" in message(run)


def test_anomalies_in_grad_are_found() -> None:
    with detect_anomaly():
        assert grad(lambda x: x * x)(3.0) == 6.0
    text = message(lambda: detect_anomaly()(grad(al.sqrt))(0.0))
    assert text.startswith("reverse mode: the gradient 1.0 of sqrt(0.0) = 0.0, recorded at ")


def far(x: Any) -> Any:
    u = al.sqrt(x)
    return 3.0 * u


def of_gradients(f: Any) -> Any:
    x = Value(0.0)
    return al.gradients(f(x), [x])


REVERSE = {
    "grad": lambda f: grad(f)(0.0),
    "jacobian": lambda f: al.jacobian(f)(0.0),
    "vjp": lambda f: al.vjp(f, 0.0)[1](1.0),
    "gradients": of_gradients,
    "no_grad": lambda f: no_grad(grad(f))(0.0),
}


@pytest.mark.parametrize("name", REVERSE)
def test_reverse_mode_names_partial_line_and_path(name: str) -> None:
    first, file = far.__code__.co_firstlineno, __file__.rpartition("/")[2]
    text = (
        f"reverse mode: the gradient 3.0 of sqrt(0.0) = 0.0, recorded at {__file__}:{first + 1}: u = al.sqrt(x), "
        "times its partial derivative inf with respect to the argument 0.0, is inf; from the result: "
        f"mul ({file}:{first + 2}) -> sqrt ({file}:{first + 1})"
    )
    assert message(lambda: detect_anomaly()(REVERSE[name])(far)) == text


def test_forward_mode_names_partial_and_line() -> None:
    assert message(lambda: detect_anomaly()(al.jvp)(far, (0.0,), (1.0,))) == (
        "forward mode: the tangent 1.0 of the leaf 0.0, times the partial derivative inf with respect to it of "
        "sqrt(0.0) = 0.0, "
        f"recorded at {__file__}:{far.__code__.co_firstlineno + 1}: u = al.sqrt(x), is inf"
    )


def test_a_derivative_overflows_where_its_function_is_finite() -> None:
    def f(x: Any) -> Any:
        return x * 1e200 * 1e200

    assert detect_anomaly()(f)(1e-300) == pytest.approx(1e100)
    text = message(lambda: detect_anomaly()(grad(f))(1e-300))
    assert "the gradient 1e+200 of mul(1e-300, 1e+200) = " in text
    text = message(lambda: detect_anomaly()(al.jvp)(f, (1e-300,), (1.0,)))
    assert "the tangent 1e+200 of mul(1e-300, 1e+200) = " in text


def test_forward_mode_reports_a_sum_that_overflows() -> None:
    text = message(lambda: detect_anomaly()(al.jvp)(lambda x: 1e308 * x + 1e308 * x, (0.1,), (1.0,)))
    assert text.startswith("forward mode: the tangent of add(1")
    assert text.endswith("is inf, though every contribution to it is finite: their sum overflows")


def test_infinite_partials_without_gradient_flow_are_ignored() -> None:
    with detect_anomaly():
        assert grad(lambda x, y: al.sqrt(y) + x * x)(3.0, 0.0) == 6.0
        assert grad(lambda x: al.relu(al.sqrt(x) - 3.0))(4.0) == 0.0


def test_the_path_from_the_loss_leads_through_a_where() -> None:
    def run() -> None:
        with detect_anomaly():
            w = Value(0.0)
            chosen = al.where(w, al.sqrt(w), 0.0)
            (chosen * 2 + 1).backward()

    first, file = run.__code__.co_firstlineno, __file__.rpartition("/")[2]
    assert message(run).endswith(
        f"the loss: add ({file}:{first + 4}) -> mul ({file}:{first + 4}) -> where ({file}:{first + 3}) -> "
        f"sqrt ({file}:{first + 3})"
    )


def test_finite_results_are_unchanged() -> None:
    def loss(x: Value) -> Value:
        return al.softmax([x, 2 * x])[0] * al.relu(-x) + x.detach() ** 2

    x, y = Value(0.5), Value(0.5)
    with detect_anomaly():
        watched = loss(x)
        watched.backward()
    plain = loss(y)
    plain.backward()
    assert (watched.data, x.grad) == (plain.data, y.grad)
    assert not opened
    assert type(x * 1.0) is Value
    assert copy.deepcopy(watched).data == plain.data


def test_no_grad_and_detect_anomaly_nest_in_either_order() -> None:
    def inside() -> None:
        with detect_anomaly(), no_grad():
            assert (Value(1.0) * 2.0).op is None
            al.log(Value(-1.0))

    def outside() -> None:
        with no_grad(), detect_anomaly():
            assert (Value(1.0) * 2.0).op is None
            al.log(Value(-1.0))

    assert message(inside).startswith("log(-1.0) is nan, at ")
    assert message(outside).startswith("log(-1.0) is nan, at ")
    y = al.sqrt(Value(0.0))

    def backward_inside() -> None:
        with detect_anomaly(), no_grad():
            y.backward()

    assert message(backward_inside).startswith("backward: ")


def test_nodes_are_freed_with_their_graph_inside_detect_anomaly() -> None:
    gc.disable()
    try:
        with detect_anomaly():
            before = len(gc.get_objects())
            for _ in range(20):
                y = Value(1.0)
                for _ in range(500):
                    y = y * 1.0
                y.backward()
            assert len(gc.get_objects()) - before < 2000
    finally:
        gc.enable()


def test_detect_anomaly_is_active_in_its_thread_only() -> None:
    rounds, found = threading.Barrier(2), {}

    def watch() -> None:
        with detect_anomaly():
            rounds.wait()
            try:
                al.log(Value(0.0))
            except FloatingPointError as error:
                found["watched"] = str(error)
            rounds.wait()

    def free() -> None:
        rounds.wait()
        found["free"] = al.log(Value(0.0)).data
        rounds.wait()

    threads = [threading.Thread(target=watch), threading.Thread(target=free)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["free"] == -math.inf
    assert found["watched"].startswith("log(0.0) is -inf")


def test_nan_inside_a_jitted_function_is_found_at_its_line() -> None:
    w = Value(1.0)
    functions = {
        "log": al.jit(lambda x: al.exp(x) + al.log(w * x)),  # the line
        "both": al.jit(lambda x: functions["log"](x) + 1.0),
    }
    line = f"{__file__}:{test_nan_inside_a_jitted_function_is_found_at_its_line.__code__.co_firstlineno + 3}: "
    for f in functions.values():
        calls = {
            "log(-2.0) is nan": lambda f=f: f(-2.0),
            "log(-0.5) is nan": lambda f=f: f(Value(-0.5)),
            "log(0.0) is -inf": lambda f=f: f.map([1.0, 0.0]),
            "log(-1.0) is nan": lambda f=f: f.mean([1.0, -1.0]),
            "log(-3.0) is nan": lambda f=f: grad(f)(-3.0),
        }
        for text, call in calls.items():
            watched = [detect_anomaly()(call), detect_anomaly()(no_grad()(call)), no_grad()(detect_anomaly()(call))]
            for run in watched:
                assert message(run).startswith(f"{text}, at {line}")
            call()


def test_trainer_step_names_the_line_of_the_loss() -> None:
    import nn

    w = Value(-3.0)
    step = al.trainer(al.jit(lambda x: al.log(w * x)), nn.SGD([w], lr=0.1))  # the line
    first = test_trainer_step_names_the_line_of_the_loss.__code__.co_firstlineno
    assert message(lambda: detect_anomaly()(step)([2.0])).startswith(f"log(-6.0) is nan, at {__file__}:{first + 4}: ")


def test_nan_that_only_the_compiled_program_gives_is_found_at_the_call() -> None:
    calls = []

    @al.jit
    def f(x: Any) -> Any:
        calls.append(x)
        return al.log(x) if len(calls) == 1 else x

    def run() -> None:
        with detect_anomaly():
            f(-2.0)  # the line

    assert message(run).startswith(f"jit(f)(-2.0) is nan, at {__file__}:{run.__code__.co_firstlineno + 2}: ")


def test_gradients_inside_jit_and_detect_anomaly() -> None:
    w = Value(3.0)

    @al.jit
    def slope(x: Any) -> Any:
        with detect_anomaly():
            return al.gradients(w * w * x, [w])[0]

    assert slope(2.0).data == 12.0


def test_the_named_line_is_outside_nn() -> None:
    import nn

    def run() -> None:
        with detect_anomaly():
            nn.mse([Value(1e200)], [0.0])  # the line

    assert f"at {__file__}:{run.__code__.co_firstlineno + 2}: " in message(run)


def test_a_parameter_is_named_by_its_path() -> None:
    import nn

    model = nn.MLP(2, [1], seed=0)
    model.layers[0].neurons[0].w[1].data = 0.0

    def run() -> None:
        with detect_anomaly():
            (1e308 * model.layers[0].neurons[0].w[1] + 1e308 * model.layers[0].neurons[0].w[1]).backward()

    assert message(run).startswith("backward: the gradient of the leaf layers.0.neurons.0.w.1 is inf, though every")


def test_the_line_of_a_call_through_a_decorator_of_the_package_is_the_users() -> None:
    site = contextlib.contextmanager(lambda: iter([None]))()(call_site)()
    assert site.file == __file__
