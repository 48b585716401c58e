"""A compiled function is used like the function it was made from, and is one node in the graph around it."""

import collections
import copy
import gc
import math
import pickle
import re
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import autograd_lite as ag
from autograd_lite import Value, grad, gradients, hessian, jit
from autograd_lite.compiler.trace import TraceError


def gradient_of(y: Value, xs: list[Value]) -> list[float]:
    for x in xs:
        x.grad = 0.0
    y.backward()
    return [x.grad for x in xs]


def model() -> tuple[Callable[..., Any], list[Value]]:
    w, b = [Value(0.5), Value(-1.5)], Value(0.25)
    return (lambda x, y: ((ag.dot(w, x) + b).tanh() - y) ** 2), [*w, b]


@ag.primitive(partials=lambda z, x: (2.0 * x,))
def sq2(x: float) -> float:
    return x * x


abs_ = ag.primitives.Primitive("abs", abs, lambda z, x: (ag.sign(x),))  # not a row of the table
X, Y = [[0.3, -1.0], [2.0, 0.7], [-0.4, 0.1]], [1.0, -1.0, 0.5]


def test_a_call_is_one_node_with_the_eager_number_and_gradients() -> None:
    f, parameters = model()
    want = f(X[0], Y[0])
    got = jit(f)(X[0], Y[0])
    assert set(got.args) == {*parameters, *X[0], Y[0]}
    assert got.data == pytest.approx(want.data, rel=1e-14)
    assert gradient_of(got, parameters) == pytest.approx(gradient_of(want, parameters), rel=1e-14)


def test_gradients_flow_on_to_the_eager_graph_on_both_sides() -> None:
    a, b = Value(0.7), Value(-0.3)
    c = a * b  # captured, with a history of its own
    f = jit(lambda x: x.tanh() * c)
    y, z = f(a + 1.0).exp(), ((a + 1.0).tanh() * (a * b)).exp()
    assert gradient_of(y, [a, b]) == pytest.approx(gradient_of(z, [a, b]), rel=1e-14)


def test_captured_values_are_read_at_every_call() -> None:
    w = Value(2.0)
    f = jit(lambda x: w * x)
    assert f(3.0).data == 6.0
    w.data = 5.0
    assert f(3.0).data == 15.0
    assert f.mean([1.0, 3.0]).data == 10.0


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: (x[0] * x[1], {"sum": x[0] + x[1]}), ([2.0, 3.0],)),
        (lambda p: p["w"][0] * p["w"][1] + p["b"], ({"w": (2.0, 3.0), "b": 1.0},)),
        (lambda x, scale=2.0: x * scale, (3.0,)),
        (lambda x, kind: x.exp() if kind == "exp" else x.log(), (3.0, "exp")),
        (lambda x: [x, 1.5, None, "name"], (3.0,)),
        (lambda x: x**0, (3.0,)),
        (lambda *xs: sum(xs), (1.0, 2.0, 3.0)),
    ],
)
def test_arguments_and_results_of_any_shape(f: Any, args: tuple[Any, ...]) -> None:
    def numbers(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: numbers(x) for key, x in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(numbers(x) for x in tree)
        return tree.data if isinstance(tree, Value) else tree

    def values(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: values(x) for key, x in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)(values(x) for x in tree)
        return Value(tree) if isinstance(tree, float) else tree

    args = values(args)
    assert numbers(jit(f)(*args)) == numbers(f(*args))


def test_numbers_alone_give_numbers() -> None:
    assert jit(lambda x, y: x * y + 1)(2.0, 3) == 7.0
    assert jit(lambda x: 4)(2.0) == 4


def test_keyword_arguments_give_the_eager_numbers() -> None:
    assert jit(lambda x, y: x - y)(y=Value(1.0), x=3.0).data == 2.0


def test_a_new_structure_is_a_new_program() -> None:
    f = jit(lambda xs: ag.sum([x * x for x in xs]))
    w = [Value(1.0), Value(2.0), Value(3.0)]
    assert [f(w).data, f(w[:2]).data, f(tuple(w)).data, f(w).data] == [14.0, 5.0, 14.0, 14.0]
    assert len(f._compiled) == 3


def test_map_and_mean_give_the_eager_numbers() -> None:
    np = pytest.importorskip("numpy")
    f, parameters = model()
    g = jit(f)
    each = [f(x, y) for x, y in zip(X, Y, strict=True)]
    want = ag.mean(each)
    for columns in ((X, Y), (np.array(X), np.array(Y)), (X, np.array(Y))):
        assert [z.data for z in g.map(*columns)] == pytest.approx([z.data for z in each], rel=1e-13)
        mean = g.mean(*columns)
        assert mean.data == pytest.approx(want.data, rel=1e-13)
        assert gradient_of(mean, parameters) == pytest.approx(gradient_of(want, parameters), rel=1e-13)
        total = ag.sum(g.map(*columns)) / 3
        assert gradient_of(total, parameters) == pytest.approx(gradient_of(want, parameters), rel=1e-13)
    integers = np.array([[1, 2], [3, 4]])
    assert g.mean(integers, [True, False]).data == pytest.approx(ag.mean([f([1, 2], 1), f([3, 4], 0)]).data)


@pytest.mark.parametrize("backend", ["auto", "numpy", "python"])
def test_a_batch_in_the_other_byte_order(backend: str) -> None:
    np = pytest.importorskip("numpy")
    f, x = jit(lambda x: x, backend=backend), np.array([1.0, 2.0, 3.0]).astype(">f8")
    assert f.mean(x) == 2.0
    assert f.map(x).tolist() == [1.0, 2.0, 3.0]


def test_a_mean_uses_the_numbers_that_the_array_held_at_the_call() -> None:
    np = pytest.importorskip("numpy")
    w, arrays = Value(3.0), [np.array([1.0, 2.0, 3.0]), memoryview(np.array([1.0, 2.0, 3.0]))]
    for x in arrays:
        m = jit(lambda x: w * x).mean(x)
        x[0] = 100.0
        assert gradient_of(m, [w]) == [2.0]
    m = jit(lambda x, y: w * x * y).mean(arrays[0], arrays[0][::-1])
    arrays[0][:] = 0.0
    assert gradient_of(m, [w]) == [pytest.approx((100 * 3 * 2 + 4) / 3)]


@pytest.mark.parametrize("module", ["numpy", "torch", "jax.numpy"])
def test_an_array_without_axes_is_its_number(module: str) -> None:
    xp = pytest.importorskip(module)
    w = Value(2.0)
    f = jit(lambda x, y: w * x[0] - y)
    assert [f([xp.asarray(x)], xp.asarray(y)).data for x, y in ((1.0, 2.0), (3.0, 4.0))] == [0.0, 2.0]
    assert [f([x], 1.0).data for x in xp.asarray([1.0, 2.0])] == [1.0, 3.0]
    assert f.mean([[xp.asarray(1.0)]], [xp.asarray(4.0)]).data == -2.0
    assert len(f._compiled) == 1


def test_numpy_numbers_and_types_are_not_arrays() -> None:
    np = pytest.importorskip("numpy")
    f = jit(lambda x, kind: x * x if kind == "square" else x)
    assert f(np.float32(3.0), np.str_("square")) == f(np.int8(3), "square") == 9.0
    assert f(np.bool_(True), np.clongdouble(1j)) == 1.0


def test_integers_larger_than_any_float_are_infinite() -> None:
    w = Value(1.0)
    assert jit(ag.exp)(10**400) == math.inf
    for f, columns in ((lambda x: x[0] * w, [[[10**400]]]), (lambda x: x["a"] * w, [[{"a": -(10**400)}]])):
        assert abs(jit(f).mean(*columns).data) == math.inf


def test_dicts_of_two_kinds_are_two_structures() -> None:
    f = jit(lambda d: d["x"] if type(d) is dict else d["y"])
    given = {"x": Value(1.0)}
    assert f(given).data == 1.0
    assert f(collections.defaultdict(lambda: 2.0, given)) == 2.0


def test_mean_of_values_differentiates_by_them() -> None:
    x = [Value(1.0), Value(2.0)]
    mean = jit(lambda x: x**3).mean(x)
    assert gradient_of(mean, x) == [1.5, 6.0]


def test_any_order_of_derivatives() -> None:
    f, parameters = model()
    g = jit(f)
    x = [Value(0.3), Value(-0.8)]
    for compiled, eager in (
        (hessian(lambda x: g(x, 1.0))(x), hessian(lambda x: f(x, 1.0))(x)),
        (jit(hessian(lambda x: g(x, 1.0)))(x), hessian(lambda x: f(x, 1.0))(x)),
    ):
        flat = [[z.data for z in row] for row in compiled]
        assert flat == [pytest.approx([z.data for z in row], rel=1e-12) for row in eager]
    third = [g.mean(X, Y), ag.mean([f(x, y) for x, y in zip(X, Y, strict=True)])]
    for _ in range(3):
        third = [gradients(y, parameters[:1])[0] for y in third]
    assert third[0].data == pytest.approx(third[1].data, rel=1e-12)


def test_jvp_and_grad_of_a_compiled_function() -> None:
    f = jit(lambda x, y: (x * y).sin())
    assert ag.grad(f)(0.5, 2.0) == pytest.approx(ag.grad(lambda x, y: ag.sin(x * y))(0.5, 2.0), rel=1e-14)
    assert jit(ag.grad(lambda x: x**3))(2.0) == pytest.approx(12.0)
    assert ag.jvp(f, (0.5, 2.0), (1.0, 1.0))[1] == pytest.approx(math.cos(1.0) * 2.5, rel=1e-14)


def test_compiled_functions_inside_one_another_are_one_program() -> None:
    w = Value(1.5)
    inner = jit(lambda x: w * x)
    outer = jit(lambda x: inner(x).exp() + inner.mean([x, 2.0 * x]))
    y, z = outer(0.5), (w * 0.5).exp() + (w * 0.5 + w * 1.0) / 2
    assert gradient_of(y, [w]) == pytest.approx(gradient_of(z, [w]))
    assert len(y.args) == 2


def test_detach_and_no_grad_hold_in_compiled_functions() -> None:
    w = Value(2.0)
    y = jit(lambda x: (w * x).detach() * w)(3.0)
    assert gradient_of(y, [w]) == [6.0]
    f, _ = model()
    with ag.no_grad():
        assert jit(f)(X[0], Y[0]).op is None
        assert jit(f).mean(X, Y).op is None
        assert jit(f).map(X, Y)[0].op is None


def test_a_function_first_called_inside_no_grad_keeps_the_gradient_of_its_derivative() -> None:
    w = Value(2.0)
    slope = jit(ag.grad(lambda x: w * x * x))
    with ag.no_grad():
        assert (slope(3.0).data, slope(3.0).op) == (12.0, None)
    assert gradient_of(slope(3.0), [w]) == [6.0]


def test_a_user_defined_primitive_compiles() -> None:
    @ag.primitive(partials=lambda z, x: (3.0 * x * x,))
    def jit_cube(x: float) -> float:
        return x * x * x

    f = jit(lambda x: jit_cube(x) + 1.0)
    x = Value(2.0)
    assert f(x).data == 9.0
    assert gradient_of(f(x), [x]) == [12.0]
    assert jit(lambda x: jit_cube(x), backend="python").mean([x]).data == 8.0
    del ag.primitives.PRIMITIVES["jit_cube"]


def test_a_container_of_a_result_keeps_its_type_for_lists_and_for_arrays() -> None:
    np = pytest.importorskip("numpy")
    f = jit(lambda x: collections.OrderedDict(a=x[0], b=[x[1], x[0]]))
    for found in (f([1.0, 2.0]), f(np.array([1.0, 2.0])), f.map([[1.0, 2.0]])[0], f.map(np.array([[1.0, 2.0]]))):
        assert type(found) is collections.OrderedDict
        assert list(found) == ["a", "b"]


def test_source_and_program_can_be_read() -> None:
    w, x = Value(2.0, label="weight"), 3.0
    f = jit(lambda x, target: (w * x - target) ** 2)
    f.mean([x], [1.0])
    assert "v1 = v0 - target" in f.source
    assert "weight * x" in f.source
    namespace: dict[str, Any] = {}
    exec(f.source, namespace)
    assert namespace["run"](1, [x, 1.0], [2.0]) == ([], [25.0, 30.0])
    assert re.search(r"total mul .* from ", str(f.program))


@pytest.mark.parametrize("label", ["", *"range run n i v0 x² ① __debug__ λ lambda sin 2".split()])
def test_source_is_valid_python_for_any_label(label: str) -> None:
    w, x, y = Value(2.0, label), Value(3.0, label), 0.5
    f = jit(lambda v0, _: ag.sin(w * v0) * ag.exp(x) + v0)
    captured = [z.data for z in f.mean([y], [y]).args]
    namespace: dict[str, Any] = {"sin": math.sin, "cos": math.cos, "exp": math.exp}
    exec(f.source, namespace)
    total = math.sin(2.0 * y) * math.exp(3.0)
    assert namespace["run"](1, [y, y], captured)[1][0] == pytest.approx(total + y)


def test_inputs_are_named_after_the_parameters_of_the_function() -> None:
    def f(x: Any, *rest: Any, k: Any, **more: Any) -> Any:
        return x / rest[0] - k / more["z"]

    g = jit(f)
    g(1.0, 2.0, k=3.0, z=4.0)
    assert "x, x1, k, z, = rows" in g.source
    assert g(Value(1.0), 2.0, k=3.0, z=4.0).op.name == "jit(f)"
    assert jit(ag.relu)(Value(1.0)).op.name == "jit(relu)"


def test_attributes_of_the_function_do_not_replace_those_of_the_jitted_function() -> None:
    class Model:
        """Of the data."""

        def __init__(self) -> None:
            self.mean, self.backends = Value(2.0), "none"

        def __call__(self, x: Any) -> Any:
            return x - self.mean

    f = jit(Model())
    assert f.mean([3.0, 5.0]).data == 2.0
    assert f.__doc__ == "Of the data."
    assert jit(jit(lambda x: x), backend="python").backend == "python"


class Line:
    def __init__(self, slope: float) -> None:
        self.slope = Value(slope)

    @jit
    def at(self, x: Any) -> Any:
        """The height."""
        return self.slope * x

    @jit(backend="python")
    @staticmethod
    def twice(x: Any) -> Any:
        return 2.0 * x


class Steeper(Line):
    @jit
    def at(self, x: Any) -> Any:
        return super().at(x) + 10.0 * x


def test_a_method_is_a_jitted_function_of_each_instance() -> None:
    one, two = Line(1.0), Steeper(2.0)
    assert [one.at(3.0).data, two.at(3.0).data, Line.at(one, 4.0).data] == [3.0, 36.0, 4.0]
    assert one.at.mean([1.0, 2.0]).args == (one.slope,)
    assert [y.data for y in two.at.map([1.0, 2.0])] == [12.0, 24.0]
    assert one.at.source.startswith("def run")
    assert one.at.program is one.at.program
    assert one.at.__doc__ == "The height."
    assert Line.at.__get__(one).backend == one.at.backend
    assert (one.twice(2.0), Line.twice(2.0), one.twice.backend) == (4.0, 4.0, "python")
    assert vars(one) == {"slope": one.slope}
    assert copy.copy(one).at(1.0).data == 1.0
    one.slope = Value(5.0)
    assert copy.copy(one).at(1.0).data == 5.0


def test_programs_of_an_instance_are_freed_with_it() -> None:
    gc.disable()
    try:
        others, line = len(Line.at._owners), Line(2.0)
        line.at(1.0)
        gone, compiled = weakref.ref(line), weakref.ref(line.at._compiled)
        assert len(Line.at._owners) == others + 1
        del line
        assert (gone(), compiled(), len(Line.at._owners)) == (None, None, others)
    finally:
        gc.enable()


def test_a_method_of_an_object_without_weak_references() -> None:
    class Point(tuple[float, ...]):
        __slots__ = ()

        @jit
        def squared(self) -> Any:
            return ag.dot(self, self)

    assert [Point((3.0, x)).squared() for x in (0.0, 4.0)] == [9.0, 25.0]


@jit
def squared(x: Any) -> Any:
    return x * x


weight = Value(2.0)


def weighted(x: Any) -> Any:
    return weight * x


def test_a_jitted_function_can_be_pickled_and_copied() -> None:
    assert copy.deepcopy(squared) is squared
    assert pickle.loads(pickle.dumps(squared)) is squared
    assert pickle.loads(pickle.dumps(Line.at)) is Line.at
    line = Line(2.0)
    for f, y in ((jit(weighted, backend="python"), 6.0), (line.at, 6.0), (Line.twice, 6.0)):
        for again in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
            z = again(3.0)
            assert getattr(z, "data", z) == y
            assert again.backends == f.backends
    assert copy.deepcopy(line).at(1.0).args != line.at(1.0).args


@pytest.mark.parametrize("module", ["numpy", "torch", "jax.numpy"])
def test_a_jitted_function_on_arrays_can_be_pickled_and_copied(module: str) -> None:
    f = jit(weighted, backend=pytest.importorskip(module))
    for again in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert again(3.0).data == 6.0
        assert again.backends == f.backends


# --- What bad input gets -----------------------------------------------------------------------------------------


REMEDIES = {
    "in place of a branch use where(x < 3, y, z), cond, ": [
        lambda x: x if x > 0 else -x,
        lambda x: max(x, 0.0),
        lambda x: x * 1 if x else x,
    ],
    "leave out float() and int(), and in place of math's functions ": [
        lambda x: float(x),
        lambda x: math.exp(x),
    ],
    "choose by where(x < 3, y, z); an index or a count ": [
        lambda x: [1.0, 2.0][x],
        lambda x: [x for _ in range(x)],
    ],
    "in place of .data use .detach()": [
        lambda x: x * x.data,
        lambda x: f"{x:.2f}",
        lambda x: setattr(x, "data", 1.0),
    ],
    "in place of backward() and .grad use autograd_lite.grad ": [
        lambda x: x.backward(),
        lambda x: x.grad,
    ],
}


@pytest.mark.parametrize(("remedy", "f"), [(remedy, f) for remedy, fs in REMEDIES.items() for f in fs])
def test_code_that_needs_a_number_gets_an_error_with_line_and_the_remedy(remedy: str, f: Any) -> None:
    remedy = re.escape(f", and there is none, as the function is compiled once for all numbers: {remedy}")
    with pytest.raises(TypeError, match=r"test_compiler_jit\.py:\d+: lambda x: .*traced Value" + remedy):
        jit(f)(2.0)


def test_a_traced_value_must_not_outlive_its_trace() -> None:
    kept = []
    jit(lambda x: kept.append(x) or x * 1)(2.0)  # type: ignore[func-returns-value]
    with pytest.raises(TypeError, match="another trace"):
        jit(lambda x: x + kept[0])(1.0)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (([], []), ValueError, "empty batch"),
        (([[1.0, 2.0]], [1.0, 2.0]), ValueError, "1, 2 rows"),
        (([[1.0, 2.0], [1.0]], [1.0, 2.0]), ValueError, "row 1 has another structure than row 0"),
        (([[1.0, 2.0], [1.0, 1j]], [1.0, 2.0]), ValueError, "row 1 has another structure"),
    ],
)
def test_invalid_batches_are_refused(columns: tuple[Any, ...], error: type[Exception], message: str) -> None:
    f, _ = model()
    for method in (jit(f).mean, jit(f).map):
        with pytest.raises(error, match=message):
            method(*columns)


def test_arrays_of_a_wrong_dtype_are_refused() -> None:
    np = pytest.importorskip("numpy")
    f, _ = model()
    with pytest.raises(TypeError, match="dtype complex128"):
        jit(f).mean(np.array(X) * 1j, np.array(Y))
    with pytest.raises(TypeError, match="dtype <U"):
        jit(f).mean(np.array([["a", "b"]]), np.array([1.0]))


@pytest.mark.parametrize("column", [5.0, None, Value(1.0), iter([1.0]), {"a": 1.0}, {1.0}])
def test_invalid_columns_are_refused(column: Any) -> None:
    f = jit(lambda x, y: x * y)
    for way in (f.mean, f.map):
        with pytest.raises(TypeError, match=rf"takes columns, .* got {type(column).__name__} .*: make it a list"):
            way([1.0], column)


def test_an_array_without_axes_is_not_a_column() -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match=r"mean takes columns, .* got ndarray 5.0: make it a list"):
        jit(lambda x: x).mean(np.array(5.0))


def test_invalid_results_are_refused() -> None:
    np = pytest.importorskip("numpy")
    for f in (
        lambda x: np.array([x, x * 2]),
        lambda x: {x, x * 2},
        lambda x: (y for y in [x]),
        lambda x: [x, lambda: x],
    ):
        with pytest.raises(TypeError, match=r"function that gives Values, .* <lambda> gives \w+: give a list"):
            jit(f)(Value(2.0))
    assert jit(lambda x: [np.float64(2.0), np.bool_(True), None, "a"])(1.0) == [2.0, True, None, "a"]


@pytest.mark.parametrize("op", [abs_, sq2], ids=str)
def test_a_primitive_missing_from_the_kernel_is_refused(op: Any) -> None:
    pytest.importorskip("autograd_lite.compiler._kernel")
    with pytest.raises(ValueError, match=f"no primitive '{op.name}': use the python or the numpy backend"):
        jit(lambda x: op(x), backend="native")(3.0)


def test_invalid_functions_and_backends_are_refused() -> None:
    with pytest.raises(TypeError, match="jit takes a function, got int"):
        jit(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"no backend 'fast': it is auto, native, numpy, python"):
        jit(abs, backend="fast")
    with pytest.raises(TypeError, match="got int"):
        jit(abs, backend=3)
    with pytest.raises(TypeError, match="one Value"):
        jit(lambda x: (x, x)).mean([1.0])
    with pytest.raises(TypeError, match=r"numbers.*got set"):
        jit(lambda x: 1.0)({1.0})
    with pytest.raises(RuntimeError, match="call the function once"):
        _ = jit(abs).source


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from autograd_lite.compiler import backends

    monkeypatch.setattr(backends, "find_spec", lambda name: None if "kernel" in name else True)
    with pytest.raises(ImportError, match="'native' is not installed"):
        jit(abs, backend="native")
    assert jit(abs).backend == "numpy"
    monkeypatch.setattr(backends, "find_spec", lambda name: True if name == "sys" else None)
    assert jit(abs).backend == "python"


@pytest.mark.parametrize("backend", ["auto", "python"])
def test_results_do_not_depend_on_the_number_of_threads(backend: str) -> None:
    f, parameters = model()
    rows = [[0.01 * i, 1.0 - 0.02 * i] for i in range(300)]
    found = []
    for threads in 1, 3:
        compiled = jit(f, backend=backend, threads=threads)
        loss = compiled.mean(rows, [1.0] * 300)
        found.append([loss.data, *gradient_of(loss, parameters)])
    assert found[0] == pytest.approx(found[1], rel=1e-13)
    hypot = jit(math.hypot, backend=backend, threads=3)
    assert pickle.loads(pickle.dumps(hypot)).backends == hypot.backends
    with pytest.raises(ValueError, match="threads: 1 to 256, got 0"):
        jit(f, threads=0)
    for threads in ("2", 2.5, None):
        with pytest.raises(TypeError, match=f"threads is a whole number, 1 to 256, got {threads!r}"):
            jit(f, threads=threads)  # type: ignore[arg-type]


def test_gradients_by_captured_values_inside() -> None:
    v, w = Value(1.5), Value(-0.5)

    def f(x: Any) -> Any:
        y = ag.sin(v * x) * w
        dv, dw, dy = ag.gradients(y, [v, w, y])
        with ag.no_grad():
            (again,) = ag.gradients(v, [v])
        return dv * dw + dy + again

    assert jit(f)(3.0).data == pytest.approx(f(3.0).data, rel=1e-14)
    found, wanted = jit(f)(3.0), f(3.0)
    assert [g.data for g in ag.gradients(found, [v, w])] == pytest.approx(
        [g.data for g in ag.gradients(wanted, [v, w])], rel=1e-12
    )


def test_a_gradient_through_a_graph_outside_the_jitted_function_is_refused() -> None:
    w = Value(2.0)
    square = w * w
    with pytest.raises(
        TraceError, match=r"test_compiler_jit.py:\d+: .* uses a Value that was computed from it outside"
    ):
        jit(lambda x: ag.gradients(square * x, [w])[0])(3.0)


# --- Comparisons ---------------------------------------------------------------------------------------------------


def by_match(x: Any) -> float:
    match x:
        case 1.0:
            return 2.0
        case _:
            return 3.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: 1.0 if x == 0 else ag.sin(x) / x,
        lambda x: 1.0 if x != 0.0 else 2.0,
        lambda x: x if x in (1.0, 2.0) else -x,
        by_match,
    ],
)
def test_a_traced_value_is_not_compared_with_a_number(f: Any) -> None:
    with pytest.raises(TraceError, match="needs the number of a traced Value"):
        jit(f)(1.0)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x * 2.0,
        lambda x: Value(1.0) + x,
        lambda x: ag.sin(x),
        lambda x: x < 3.0,
        lambda x: 1.0 if x else 2.0,
        lambda x: x.data,
        lambda x: x.backward(),
        float,
    ],
)
def test_a_traced_value_that_left_its_function_says_so(use: Any) -> None:
    kept = []
    jit(lambda x: kept.append(x * x) or x)(1.0)
    with pytest.raises(TraceError, match=r"test_compiler_jit.py:\d+: .*left its jitted function"):
        use(kept[0])


@pytest.mark.parametrize(
    "f",
    [lambda x: x @ x, lambda x: x**2, lambda x: x.sum(), lambda x: 2.0 * x, lambda x: sum(x * x), lambda x: x + 1.0],
)
def test_an_error_of_array_code_has_a_note_that_jit_gives_it_lists(f: Any) -> None:
    np = pytest.importorskip("numpy")
    x, note = np.array([1.0, 2.0]), "jit gives f lists of numbers in place of arrays: write sum(v * v for v in x)"
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    for call in (lambda: jit(f)(x), lambda: grad(jit(f))(x), lambda: jit(f).map(rows), lambda: jit(f).mean(rows)):
        with pytest.raises((AttributeError, TypeError)) as caught:
            call()
        assert caught.value.__notes__ == [note]
    with pytest.raises((AttributeError, TypeError)) as caught:  # no array was given
        jit(f)([1.0, 2.0])
    assert not hasattr(caught.value, "__notes__")


def test_other_errors_of_a_traced_function_get_no_note_about_lists() -> None:
    np = pytest.importorskip("numpy")
    for f in (lambda x: x[0].wrong, lambda x: len(x[0]), lambda x: 1.0 if x[0] > 0.0 else 2.0):
        with pytest.raises((AttributeError, TypeError)) as caught:
            jit(f)(np.array([1.0, 2.0]))
        assert not hasattr(caught.value, "__notes__")


def test_comparing_a_captured_value_is_an_error() -> None:
    w, v = Value(1.0), Value(-1.0)
    for f in (lambda x: x * w if w > 0 else -x, lambda x: x * max(v, 0.0), lambda x: x * min(w, v)):
        with pytest.raises(TraceError, match="needs the number of a traced Value"):
            jit(f)(2.0)
    assert jit(lambda x: x * w)(2.0).data == 2.0  # no part of the failed trace is kept
    assert w > v


def test_equality_of_traced_values_is_identity() -> None:
    assert jit(lambda x, y: 1.0 if x in [x, y] and y != x else 0.0)(2.0, 2.0) == 1.0


def test_a_call_with_several_results_runs_the_program_once() -> None:
    w = Value(3.0)

    @ag.jit
    def both(x: Any) -> Any:
        return [w * x, w + x]

    assert [z.data for z in both(2.0)] == [6.0, 5.0]
    (compiled,) = both._compiled.values()
    run, calls = compiled.forward, []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return run(*args)

    compiled.forward = counted
    assert [z.data for z in both(5.0)] == [15.0, 8.0]
    assert len(calls) == 1
    assert all(z.data != z.data for z in both(float("nan")))
    assert len(calls) == 2


def test_the_error_about_a_count_or_a_flag_says_how_to_bind_it() -> None:
    def power(x: Any, n: int) -> Any:
        y = x
        for _ in range(n - 1):
            y = y * x
        return y

    with pytest.raises(TraceError, match=r"functools\.partial"):
        jit(power)(2.0, 3)
    assert jit(partial(power, n=3))(2.0) == 8.0


def test_the_repr_of_a_jitted_function_has_its_name() -> None:
    def area(x: Value) -> Value:
        return x * x

    assert repr(jit(area)).endswith("area)")
    assert repr(ag.grad(jit(area))).startswith("jit(grad(")


def test_map_of_arrays_gives_one_array_for_a_list_with_constants() -> None:
    np = pytest.importorskip("numpy")
    x = np.array([1.0, 2.0, 3.0])
    found = jit(lambda x: [x, 2.0]).map(x)
    assert found.tolist() == [[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]]
    nested = jit(lambda x: {"a": [[x, 0.0], [x, x]], "b": ([1.0, 2.0], x)}).map(x)
    assert nested["a"].tolist() == [[[v, 0.0], [v, v]] for v in (1.0, 2.0, 3.0)]
    assert (nested["b"][0].tolist(), nested["b"][1].tolist()) == ([[1.0, 2.0]] * 3, [1.0, 2.0, 3.0])
    ragged = jit(lambda x: [x, [x, 1.0]]).map(x)
    assert (ragged[0].tolist(), ragged[1].tolist()) == ([1.0, 2.0, 3.0], [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])


def test_equal_leaves_of_two_types_have_two_programs() -> None:
    class Kind(str):
        __slots__ = ()

    f = jit(lambda x, kind: x * (2.0 if isinstance(kind, Kind) else 3.0))
    assert [f(1.0, Kind("a")), f(1.0, "a"), f(1.0, Kind("a"))] == [2.0, 3.0, 2.0]


def test_results_under_no_grad_are_leaves() -> None:
    w = Value(2.0)
    f = jit(lambda x: [w * x, x - w, 3.0])
    with ag.no_grad():
        first, second, constant = f(5.0)
    assert [(y.data, y.op, y.args) for y in (first, second)] == [(10.0, None, ()), (3.0, None, ())]
    assert (constant, type(constant)) == (3.0, float)
    (first * w).backward()
    assert w.grad == 10.0
