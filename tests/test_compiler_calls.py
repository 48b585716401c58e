"""A call of a compiled function on plain numbers: one run of the program, and numbers of the same structure out."""

import copy
import gc
import math
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from examples import rosenbrock

import autograd_lite as ag
from autograd_lite import Value, jit
from autograd_lite.compiler.backends import find_backends

np = pytest.importorskip("numpy")

BACKENDS = [backend.name for backend in find_backends("auto")]
needs_kernel = pytest.mark.skipif("native" not in BACKENDS, reason="the C kernel was not built")


def loaded(f: Any, *args: Any) -> Any:
    kernel = pytest.importorskip("autograd_lite.compiler.executors.kernel")
    compiled = jit(f).compiled((args, {}), None)
    return kernel.load(compiled.program(compiled.roots)).call


def test_the_kernel_reads_and_builds_nested_structures() -> None:
    call = loaded(lambda x, p: [x * p["w"][0], p["w"][1]], 1.0, {"w": (1.0, 2.0)})
    template = (float, {"w": (float, float)})
    for wanted in ([float, float], (float, [float]), {"a": float, "b": (float, "text", None)}):
        got = call(template, wanted, None, None, (3.0, {"w": (True, 5)}))
        assert repr(got) == repr(wanted).replace("<class 'float'>", "3.0", 1).replace("<class 'float'>", "5.0", 1)
    for other in ((), (1.0,), (1.0, {}), (1.0, {"v": (1.0, 2.0)}), (1.0, {"w": [1.0, 2.0]}), ("1", {"w": (1.0, 2.0)})):
        assert call(template, [float, float], None, None, other) is NotImplemented
    assert call(template, [float, float], None, None, (10**400, {"w": (1.0, 2.0)})) is NotImplemented
    with pytest.raises(ValueError, match="structure of their template"):
        call(template, float, None, None, (3.0, {"w": (1.0, 2.0)}))


def test_the_kernel_reads_arrays_where_the_template_has_lists() -> None:
    call = loaded(lambda x: [ag.sum(x[0]), ag.sum(x[1])], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    template, x = ([[float] * 3] * 2,), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert call(template, [float, float], np.ndarray, None, (x,)) == [6.0, 15.0]
    assert call(template, [float, float], np.ndarray, None, ([x[0], [4.0, 5.0, math.inf]],)) == [6.0, math.inf]
    assert call(template, [float, float], np.ndarray, np.frombuffer, (x,)).tolist() == [6.0, 15.0]
    assert call(template, [float, float], np.ndarray, None, (x[:, ::-1],)) == [6.0, 15.0]
    assert call(template, [float, float], np.ndarray, None, (np.repeat(x, 2, 0)[::2],)) == [6.0, 15.0]
    for other in (x.T, x.astype("f4"), x.astype(">f8"), x.ravel(), x[None], x[0, 0]):
        assert call(template, [float, float], np.ndarray, None, (other,)) is NotImplemented
    assert call(template, [float, float], None, None, (x,)) is NotImplemented
    with pytest.raises(TypeError, match="array_type is a type or None"):
        call(template, [float, float], "ndarray", None, (x,))


# --- Calls on numbers ------------------------------------------------------------------------------------------------


def flat(tree: Any) -> list[Any]:
    return [x for branch in tree for x in flat(branch)] if isinstance(tree, list | tuple) else [tree]


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_give_numbers_of_the_same_structure(backend: str) -> None:
    f = jit(lambda x, p: {"a": [x * p[0], 2.0], "b": (x + p[1], "name", None)}, backend=backend)
    for _ in range(2):  # the second call takes the fast path
        assert f(3.0, [2, True]) == {"a": [6.0, 2.0], "b": (4.0, "name", None)}
    assert f(x=3.0, p=[2.0, 1.0]) == f(3.0, p=[2.0, 1.0]) == f(3.0, [2.0, 1.0])
    assert f(Value(3.0), [2.0, 1.0])["a"][0].data == 6.0
    assert f(10**400, [1.0, 1.0])["a"][0] == math.inf
    with ag.no_grad():
        assert f(3.0, [2.0, 1.0]) == {"a": [6.0, 2.0], "b": (4.0, "name", None)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_give_arrays(backend: str) -> None:
    x = np.array([1.0, 2.0, 3.0])
    f = jit(lambda x, scale: (ag.sum(x), [scale * a for a in x], [[a * b for b in x] for a in x]), backend=backend)
    for _ in range(2):
        total, scaled, outer = f(x, 2.0)
        assert (type(total), total) == (float, 6.0)
        assert (scaled.dtype, scaled.tolist()) == (np.dtype(float), [2.0, 4.0, 6.0])
        np.testing.assert_array_equal(outer, np.outer(x, x))
    scaled[:] = 0.0  # the array belongs to the caller
    assert f(x, 2.0)[1].tolist() == [2.0, 4.0, 6.0]
    assert f([1.0, 2.0, 3.0], 2.0)[1] == [2.0, 4.0, 6.0]
    for other in (x.astype("f4"), x.astype(int), x[::-1][::-1], x.astype(">f8")):
        assert f(other, 2.0)[1].tolist() == [2.0, 4.0, 6.0]
    assert jit(lambda x: [x[0], [x[1]], 1.0], backend=backend)(x)[1].tolist() == [2.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_map_of_arrays_gives_arrays_and_of_lists_a_list(backend: str) -> None:
    f = jit(lambda x, y: {"s": x[0] * y, "v": [x[1], y], "c": 1.5, "n": "name"}, backend=backend)
    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 3.0])
    got = f.map(x, y)
    assert (got["s"].tolist(), got["c"].tolist(), got["n"]) == ([0.0, 4.0, 12.0], [1.5] * 3, "name")
    np.testing.assert_array_equal(got["v"], np.stack([x[:, 1], y], axis=1))
    assert f.map(x.tolist(), y.tolist())[1] == {"s": 4.0, "v": [3.0, 2.0], "c": 1.5, "n": "name"}
    assert f.map(x, y.tolist())[1]["v"] == [3.0, 2.0]


def test_alternating_structures_keep_their_own_programs() -> None:
    f = jit(lambda x, kind="sum": ag.sum(x) if kind == "sum" else x[0])
    for _ in range(3):
        assert [f([1.0, 2.0]), f([1.0, 2.0, 3.0]), f((1.0, 2.0)), f([4.0, 2.0], "first")] == [3.0, 6.0, 3.0, 4.0]
    assert len(f._compiled) == 4


def test_a_captured_value_makes_nodes_of_plain_numbers() -> None:
    w = Value(2.0)
    f = jit(lambda x: [w * x, x, 3.0 + 0.0 * x])
    y, x, _ = f(3.0)
    assert (y.data, x.data, len(f._compiled.latest.captured)) == (6.0, 3.0, 1)
    y.backward()
    assert w.grad == 3.0


# --- Shapes and types of arguments -----------------------------------------------------------------------------------


class Row(list[float]):
    """A list to `isinstance`, of another type than those that the kernel walks."""


def norm(x: Any) -> Any:
    return ag.sum([ag.sum([a * a for a in row]) for row in x]), [[2.0 * a for a in row] for row in x]


def with_a_loop(x: Any) -> Any:
    last, sums = ag.scan(lambda s, row: (s + ag.sum([a * a for a in row]), s), 0.0, x)
    return last, [[2.0 * a for a in row] for row in x], sums


@needs_kernel
@pytest.mark.parametrize("f", [norm, with_a_loop])
def test_shapes_and_kinds_of_arguments_that_change_between_calls(f: Any) -> None:
    rng, compiled = np.random.default_rng(0), jit(f, backend="native")
    for _ in range(2):
        for shape in (4, 3), (1, 1), (2, 70), (4, 3):
            x = rng.normal(size=shape)
            wide = np.repeat(np.repeat(x, 2, 0), 3, 1)
            alike: list[Any] = [x, x.tolist(), wide[::2, ::3], np.asfortranarray(x), x[::-1, ::-1][::-1, ::-1], [*x],
                                Row(x.tolist()), [Row(row) for row in x.tolist()], x.astype(">f8"),
                                [[np.float64(a) for a in row] for row in x]]  # fmt: skip
            wanted = numbers(f(x.tolist()))
            for given in alike:
                found = compiled(given)
                assert isinstance(found[1], np.ndarray) is ag.trees.has_numpy_array(given)
                np.testing.assert_allclose(numbers(found), wanted, rtol=1e-14)
            whole = np.round(x * 10).astype("i4")
            for given in whole, whole.astype(bool), whole.tolist(), x.astype("f4"):
                exact = np.asarray(given, float)
                np.testing.assert_allclose(numbers(compiled(given)), numbers(compiled(exact)), rtol=1e-15)
    assert len(compiled._compiled) == 9  # three shapes: of lists, of a Row of lists, and of a list of Rows


def numbers(tree: Any) -> list[float]:
    return [float(a) for branch in tree for a in np.ravel(np.asarray(branch, float))]


@pytest.mark.parametrize("f", [norm, with_a_loop])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ragged_and_wrong_arguments(f: Any, backend: str) -> None:
    compiled = jit(f, backend=backend)
    compiled([[1.0, 2.0], [3.0, 4.0]])
    if f is norm:
        assert compiled([[1.0, 2.0, 3.0], [4.0]]) == (30.0, [[2.0, 4.0, 6.0], [8.0]])
        assert compiled([[], [4.0]]) == (16.0, [[], [8.0]])
    else:
        with pytest.raises(ValueError, match="scan"):
            compiled([[1.0, 2.0, 3.0], [4.0]])
    with pytest.raises(TypeError, match="jit takes numbers"):
        compiled([[1.0, {2.0}], [3.0, 4.0]])
    with pytest.raises(TypeError):
        compiled([[1.0, "two"], [3.0, 4.0]])
    assert compiled([[1.0, 2.0], [3.0, 4.0]])[0] == 30.0
    assert compiled(np.array([[1.0, 2.0], [3.0, math.nan]]))[1][0].tolist() == [2.0, 4.0]


def test_a_result_without_lists_is_a_float_where_arguments_are_arrays() -> None:
    f = jit(lambda x: {"sum": ag.sum(x), "pair": (x[0], "name", 2)})
    for _ in range(2):
        found = f(np.array([1.0, 2.0]))
        assert found == {"sum": 3.0, "pair": (1.0, "name", 2)}
        assert type(found["sum"]) is float


# --- Loops -----------------------------------------------------------------------------------------------------------


def rollout(x: Any) -> Any:
    (a, w), speeds = ag.scan(lambda s, u: ((s[0] + 0.1 * s[1], s[1] + u - ag.sin(s[0])), s[1]), (x[0], x[1]), x[2:])
    return a * a + w * x[2] + ag.sum([v * v for v in speeds])


def two_loops(x: Any) -> Any:
    _, ys = ag.scan(lambda s, u: (s * u + x[0], s + u), x[1], x)
    last, zs = ag.scan(lambda s, uv: (s + uv[0] * uv[1], s), x[2], (ys, x), reverse=True)
    return ag.sum(zs) * last


def loop_of_constants(x: Any) -> Any:
    factor, ys = ag.scan(lambda s, u: (0.5 * s + u, s), 1.0, [1.0, 2.0, 3.0])
    return ag.fori_loop(0, 3, lambda i, s: s * factor + x[0], x[1]) + ag.dot(ys, x[:3])


def loop_in_a_loop(x: Any) -> Any:
    return ag.fori_loop(0, 4, lambda i, s: ag.fori_loop(0, 3, lambda j, t: t * 0.5 + x[0], s + x[1]), x[2])


def until(x: Any) -> Any:
    return ag.while_loop(lambda s: s < 10.0, lambda s: 1.5 * s + x[0] * x[0], x[1] * x[1])


@needs_kernel
@pytest.mark.parametrize("n", [5, 60])
@pytest.mark.parametrize("f", [rollout, two_loops, loop_of_constants, loop_in_a_loop, until])
def test_calls_of_functions_with_loops(f: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    ways: list[Any] = [lambda x: [f(x)], *([] if f is until else [ag.grad(f), ag.value_and_grad(f)])]
    for way in ways:
        fast, reference = jit(way, backend="native"), jit(way, backend="python")
        for _ in range(3):
            x = rng.uniform(-1, 1, n)
            wanted = numbers(reference(x.tolist()))
            for given in x, x.tolist(), np.repeat(x, 2)[::2]:
                found = fast(given)
                np.testing.assert_allclose(numbers(found), wanted, rtol=1e-12, atol=1e-14)
        assert fast._compiled.entry(([0.0] * (n + 1),)) is NotImplemented  # and there is a fast way
        assert fast._compiled.entry((x.tolist(),)) is not NotImplemented


@needs_kernel
def test_a_pipeline_of_loops_is_one_call_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    f = jit(ag.value_and_grad(rollout), backend="native")
    x = [0.1 * k for k in range(30)]
    f(x)
    with monkeypatch.context() as patch:
        patch.setattr("autograd_lite.compiler.pipeline.floats", None)
        patch.setattr(type(f._compiled.latest), "forward", None)
        patch.setattr(type(f), "_call", None)
        assert f([*x])[1] == f(np.array(x))[1].tolist()


@needs_kernel
def test_calls_of_a_loop_from_several_threads() -> None:
    f = jit(ag.grad(rollout), backend="native")
    xs = [np.random.default_rng(k).normal(size=400) for k in range(8)]
    wanted = [f(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(f, xs * 20)):
            np.testing.assert_array_equal(found, wanted[k % 8])


# --- Calls on Values -------------------------------------------------------------------------------------------------


def test_the_results_of_a_call_share_their_runs_and_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    f = jit(lambda x, y: [x * y, x + y, ag.sin(x), x, 7.0 * x / x])
    x, y = Value(0.5), Value(2.0)
    f(x, y)
    graph = f._compiled.latest
    back = graph.pulled((0, 1, 2, 3, 4))
    back.forward  # noqa: B018 - made before it is counted
    runs: list[str] = []
    for each, name in ((graph, "forward"), (back, "backward")):
        run = each.forward
        monkeypatch.setitem(vars(each), "forward", lambda *args, run=run, name=name: (runs.append(name), run(*args))[1])
    results = f(x, y)
    assert [z.args for z in results] == [(x, y)] * 5
    ag.sum(results).backward()
    assert runs == ["forward", "backward"]
    assert (x.grad, y.grad) == (pytest.approx(2.0 + 1.0 + math.cos(0.5) + 1.0), 1.5)
    x.data = 1.0  # numbers are read when a derivative needs them
    x.grad = y.grad = 0.0
    results[2].backward()
    assert (x.grad, y.grad) == (math.cos(1.0), 0.0)


def backward_of(f: Any, numbers: list[float], weights: list[float]) -> list[float]:
    """The gradient of the sum of the results of f times `weights`; None leaves a result out."""
    xs = [Value(x) for x in numbers]
    total = ag.sum([w * y for w, y in zip(weights, f(*xs), strict=True) if w is not None])
    total.backward()
    return [x.grad for x in xs]


def several(x: Any, y: Any, z: Any) -> list[Any]:
    return [x * y, ag.sqrt(z) * x, ag.exp(x) - y / 3.0, ag.sin(x * y * z), y * y]


@pytest.mark.parametrize("backend", BACKENDS)
def test_backward_pulls_the_results_of_a_call_back_together(backend: str) -> None:
    """One program gets the cotangents; the Jacobian is made only for a third set of results."""
    f = jit(several, backend=backend)
    sets = [
        [1.0, 0.5, -2.0, 3.0, 0.25],
        [None, 1.0, None, 2.0, None],
        [1.0, None, None, None, 3.0],
        [0.0, None] * 2 + [2.0],
    ]
    for n, weights in enumerate(sets):
        for numbers in ([0.3, -0.7, 1.9], [1.1, 0.2, 0.4]):
            assert backward_of(f, numbers, weights) == pytest.approx(backward_of(several, numbers, weights), rel=1e-14)
        assert len(f._compiled.latest._pulled) == min(n + 1, 2)
        assert ("derivative" in vars(f._compiled.latest)) == (n > 1)
    graphs = list(f._compiled.latest._pulled.values())
    backward_of(f, [0.3, -0.7, 1.9], sets[0])
    assert list(f._compiled.latest._pulled.values()) == graphs  # compiled once


@pytest.mark.parametrize("backend", BACKENDS)
def test_jvp_pushes_the_tangents_of_a_call_forward_together(backend: str) -> None:
    """One program gets the tangents; the Jacobian is made only for a third set of arguments."""
    f = jit(lambda x, y, z: [*several(x, y, z), 7.0], backend=backend)

    def along(f: Any, moving: str) -> Any:
        def g(**given: Any) -> Any:
            fixed = {"x": Value(0.3), "y": Value(-0.7), "z": Value(1.9)}
            a, b, *rest = f(**(fixed | given))
            return [a * b, ag.sum([ag.sin(y) for y in rest]), *rest]

        names = moving.split()
        given = [0.2 * n + 0.4 for n in range(len(names))]
        return ag.jvp(lambda xs: g(**dict(zip(names, xs, strict=True))), (given,), ([1.5, -2.0, 0.5][: len(names)],))

    plain = lambda x, y, z: [*several(x, y, z), 7.0]  # noqa: E731
    for n, moving in enumerate(["x y z", "y", "x z", "x y z"]):
        for found, expected in zip(along(f, moving), along(plain, moving), strict=True):
            numbers = [[getattr(z, "data", z) for z in zs] for zs in (found, expected)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-14)
        assert len(f._compiled.latest._pushed) == min(n + 1, 2)
        assert ("derivative" in vars(f._compiled.latest)) == (n > 1)


def test_a_call_is_pushed_once_for_all_of_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    f = jit(several)
    ag.jvp(lambda x: ag.sum(f(x, x * x, 2.0)), (0.3,), (1.0,))
    graph = f._compiled.latest
    (pushed,) = graph._pushed.values()
    pushes: list[Any] = []
    forward = pushed.forward
    monkeypatch.setitem(vars(pushed), "forward", lambda *args: (pushes.append(args), forward(*args))[1])
    ag.jvp(lambda x: ag.sum(f(x, x * x, 2.0)), (0.4,), (1.0,))
    assert len(pushes) == 1
    assert "derivative" not in vars(graph)


def test_forward_mode_through_a_call_whose_arguments_do_not_move() -> None:
    """Result 4 of a call depends on y alone, and gets no tangent from x where the Jacobian is used."""
    f = jit(several)

    def along(f: Any) -> Any:
        def g(x: Any) -> Any:
            y = f(x, Value(2.0), x)[4]
            return [ag.sum(f(y, ag.floor(x), 2.0)), y, f(ag.relu(x - 9.0), 1.0, 2.0)[1]]

        ag.jvp(lambda x: ag.sum(f(x, 2.0, 3.0)) + ag.sum(f(1.0, x, 3.0)), (0.5,), (1.0,))  # two other sets
        return ag.jvp(g, (0.5,), (2.0,))[1]

    assert along(f) == along(several) == [0.0, 0.0, 0.0]


def test_forward_mode_through_a_call_has_derivatives_of_its_own() -> None:
    f = jit(several)

    def along(f: Any) -> Any:
        return lambda x: ag.jvp(lambda v: ag.sum(f(v, ag.sin(v), v + 1.0)) * f(v, v, 2.0)[0], (x,), (x * x,))[1]

    for derivative in (ag.grad, lambda g: ag.grad(ag.grad(g)), lambda g: lambda x: ag.jvp(g, (x,), (2.0,))[1]):
        assert derivative(along(f))(0.7) == pytest.approx(derivative(along(several))(0.7), rel=1e-12)
    of_list = lambda f: lambda v: f(v[0] * v[1], v[1], v[0])  # noqa: E731
    for derivative in (ag.jacobian, lambda g: ag.jacobian(lambda v: ag.jvp(g, (v,), (v,))[1])):
        for found, row in zip(
            derivative(of_list(f))([0.4, 0.9]), derivative(of_list(several))([0.4, 0.9]), strict=True
        ):
            assert found == pytest.approx(row, rel=1e-12)


def test_the_jacobian_through_a_call_with_constant_derivatives_has_floats() -> None:
    """-1/3 is the derivative of one result by y."""
    f = jit(several)
    rows = ag.jacobian(lambda v: f(v[0] * v[1], v[1], v[0]))([0.4, 0.9])
    assert {type(x) for row in rows for x in row} == {float}
    assert type(ag.grad(lambda x: f(x, x, x)[2])(0.4)) is float


def test_a_result_that_is_not_used_adds_no_nan() -> None:
    """The derivative of the square root at 0 is infinite."""
    for weights in ([1.0, None, 1.0, 1.0, 1.0], [1.0, None, None, None, None], [1.0, None, 1.0, None, None]):
        expected = backward_of(several, [0.5, 2.0, 0.0], weights)
        assert backward_of(jit(several), [0.5, 2.0, 0.0], weights) == pytest.approx(expected, rel=1e-15, nan_ok=True)
    found = backward_of(jit(several), [0.0, 2.0, 0.0], [1.0] * 5)
    assert math.isnan(found[2])  # 0 * inf, as without jit
    assert found == pytest.approx(backward_of(several, [0.0, 2.0, 0.0], [1.0] * 5), rel=1e-14, nan_ok=True)


def test_results_of_two_calls_and_copies_of_results_stay_apart() -> None:
    f, x, y, z = jit(several), Value(0.5), Value(2.0), Value(1.5)
    inner = 2.0 * x
    first, second = f(inner, y, z), f(y, inner, z)
    copied = copy.deepcopy(first[3])  # with a copy of `inner`, and of the leaves
    (first[0] * second[3] + first[3] * copied + second[2]).backward()
    found = [x.grad, y.grad, z.grad]
    u, v, w = Value(0.5), Value(2.0), Value(1.5)
    one, two = several(2.0 * u, v, w), several(v, 2.0 * u, w)
    (one[0] * two[3] + one[3] * copied.data + two[2]).backward()
    assert found == pytest.approx([u.grad, v.grad, w.grad], rel=1e-14)
    shallow = copy.copy(first[3])  # shares the leaves, and has a copy of `inner`
    x.grad = y.grad = z.grad = 0.0
    (first[3] + shallow + first[0]).backward()
    u.grad = v.grad = w.grad = 0.0
    (2.0 * one[3] + one[0]).backward()
    assert [x.grad, y.grad, z.grad] == pytest.approx([u.grad, v.grad, w.grad], rel=1e-14)


def test_an_error_while_a_call_is_pulled_back_changes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    f, x, y, z = jit(several), Value(0.5), Value(2.0), Value(1.5)
    results = f(x, y, z)
    x.grad = 7.0

    def fail(*_: Any) -> Any:
        raise KeyError("stopped")

    monkeypatch.setattr(type(f._compiled.latest), "pulled", fail)
    with pytest.raises(KeyError, match="stopped"):
        ag.sum(results).backward()
    assert (x.grad, y.grad) == (7.0, 0.0)


def test_derivatives_of_a_call_are_calls_to_any_order() -> None:
    f, g = (lambda x, y: [ag.sin(x * y), x**3 * y]), jit(lambda x, y: [ag.sin(x * y), x**3 * y])
    x, y = Value(0.7), Value(1.3)
    want, got = f(x, y), g(x, y)
    for order in range(3):
        want, got = [[d for z in zs for d in ag.gradients(z, [x, y])] for zs in (want, got)]
        assert [z.data for z in got] == pytest.approx([z.data for z in want], rel=1e-12), order
    assert {z.op.name for z in got if z.op} == {"jit(grad(grad(grad(<lambda>))))"}
    with ag.no_grad():
        assert ag.gradients(g(x, y)[0], [x])[0].op is None
    assert ag.gradients(g(x, y)[0], [x])[0].op is not None


def test_a_constant_result_is_a_leaf() -> None:
    f = jit(lambda x: [x**0, ag.step(x) * 0.0 + 1.0, x])
    one, other, x = f(Value(2.0))
    assert (one.data, one.op, other.data, x.data) == (1.0, None, 1.0, 2.0)
    assert f(2.0) == [1.0, 1.0, 2.0]


# --- Derivatives of compiled functions ------------------------------------------------------------------------------

X0 = [0.3, -0.7, 1.1, 0.4]


def vector(x: Any) -> Any:
    return [a * ag.sin(b) for a, b in pairwise(x)]


DERIVATIVES: list[tuple[Any, Any]] = [
    (ag.grad, rosenbrock),
    (ag.value_and_grad, rosenbrock),
    (ag.hessian, rosenbrock),
    (ag.jacobian, vector),
    (lambda f: lambda x: ag.jvp(f, (x,), (X0,)), vector),
    (lambda f: lambda x: ag.vjp(f, x)[1]([1.0, 2.0, 3.0]), vector),
    (lambda f: lambda x: ag.hvp(f, (x,), (X0,)), rosenbrock),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inside", [False, True], ids=["of jit", "in jit"])
def test_compiled_derivatives_are_the_eager_ones(inside: bool, backend: str) -> None:
    def compiled(derivative: Any, f: Any) -> Any:
        return jit(derivative(f), backend=backend) if inside else derivative(jit(f, backend=backend))

    for derivative, f in DERIVATIVES:
        want, d = derivative(f)(X0), compiled(derivative, f)
        for _ in range(2):
            got = d(X0)
            assert flat(got) == pytest.approx(flat(want), rel=1e-12, abs=1e-12)
            assert {type(x) for x in flat(got)} == {float}


def test_a_compiled_derivative_is_compiled_once() -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return rosenbrock(x)

    g = jit(f)
    for n in range(3):
        x = [a + n for a in X0]
        ag.grad(g)(x), ag.hvp(g, (x,), (x,)), ag.jvp(g, (x,), (x,)), ag.vjp(g, x)[1](1.0)
    assert len(calls) == 5  # grad, hvp, jvp, vjp forward, vjp backward
    assert ag.grad(g) is ag.grad(g)
    assert ag.grad(g) is not ag.grad(g, (0,))
    assert ag.grad(g).__name__ == "grad(f)"


def test_only_values_of_the_users_code_are_captured() -> None:
    w = Value(2.0)
    for derivative in (ag.grad, ag.hessian, ag.jacobian):
        d = jit(derivative(lambda x: x[0] * x[0] * 3.0 + x[1]))
        d([1.0, 2.0])
        assert d._compiled.latest.captured == []
        d = jit(derivative(lambda x: w * x[0] * x[0] + x[1]))
        d([1.0, 2.0])
        assert d._compiled.latest.captured == [w]


def test_the_derivative_of_a_jitted_method_does_not_keep_its_owner() -> None:
    class Line:
        def __init__(self, slope: float) -> None:
            self.slope = Value(slope)

        @jit
        def at(self, x: Any) -> Any:
            return self.slope * x

    line = Line(3.0)
    assert ag.grad(line.at)(2.0).data == 3.0
    compiled = line.at._compiled.derived["grad", 0]
    assert ag.grad(line.at)(5.0).data == 3.0
    assert len(compiled) == 1
    gc.disable()
    try:
        gone = weakref.ref(line)
        del line
        assert gone() is None
    finally:
        gc.enable()


def test_gradients_flow_through_a_compiled_derivative() -> None:
    f = jit(lambda x, y: x**3 * y)
    x = Value(2.0)
    slope = ag.grad(f)(x, 5.0)
    slope.backward()
    assert (slope.data, x.grad) == (60.0, 60.0)
    assert ag.grad(lambda x: ag.grad(f)(x, x))(2.0) == pytest.approx(9 * 4.0)
    assert ag.grad(lambda x: f(x, 2.0) * x)(3.0) == pytest.approx(8 * 27.0)


def test_bad_arguments_of_a_compiled_derivative_are_named() -> None:
    f = jit(square)
    with pytest.raises(TypeError, match="grad of <lambda> needs a function that returns one number, got list"):
        ag.grad(jit(lambda x: [x]))(1.0)
    with pytest.raises(ValueError, match="argnums 1 is out of range"):
        ag.grad(f, 1)(2.0)
    with pytest.raises(ValueError, match="jvp of square: tangents: expected 1 items"):
        ag.jvp(f, (2.0,), ())
    with pytest.raises(TypeError, match="jvp of square: primals must be a tuple"):
        ag.jvp(f, 2.0, (1.0,))


def square(x: Any) -> Any:
    return x * x


def test_a_loop_unrolled_into_very_many_operations_says_so_once() -> None:
    def loop(x: Any) -> Any:
        for _ in range(50_001):
            x = ag.sin(x) * 0.5
        return x

    f = jit(loop, backend="python")
    with pytest.warns(UserWarning, match=r"unrolled into 100,002 operations.* with fori_loop or scan") as given:
        y = f(1.0)
    assert [x.filename for x in given] == [__file__]
    assert f(1.0) == y
