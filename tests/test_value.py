"""Value: recording, backward on every shape that breaks naive engines, memory, pickling, NumPy, and bad input."""

import copy
import gc
import math
import operator
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

import autograd_lite as al
from autograd_lite import Value, scope, topological_order
from autograd_lite.recording import recording_with
from autograd_lite.value import Recorder, opened


def gradient(f: Callable[..., Value], *xs: float) -> list[float]:
    leaves = [Value(x) for x in xs]
    f(*leaves).backward()
    return [x.grad for x in leaves]


def test_micrograds_readme_example() -> None:
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert f"{g:.4f} {a.grad:.4f} {b.grad:.4f}" == "24.7041 138.8338 645.5773"


@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        (lambda a: a * a, [3.0], [6.0]),
        (lambda a: a + a, [3.0], [2.0]),
        (lambda a: a - a, [3.0], [0.0]),
        (lambda a: a / a, [3.0], [0.0]),
        (lambda a: a**a, [2.0], [4.0 * (1.0 + math.log(2.0))]),
        (lambda a: (a * 2) * (a + 1), [3.0], [14.0]),  # a diamond
        (lambda a: al.sum([a] * 1000), [1.0], [1000.0]),  # fan-out
        (lambda a: al.dot([a, a], [a, 3.0]), [2.0], [7.0]),
        (lambda a, b: a * 2 + 0 * b, [1.0, 1.0], [2.0, 0.0]),
        (lambda a, b: a * 2, [1.0, 1.0], [2.0, 0.0]),  # b is not used
        (lambda a: -((-a) * 1), [1.0], [1.0]),
        (lambda a: 2 - a, [1.0], [-1.0]),
        (lambda a: 2 / a, [2.0], [-0.5]),
        (lambda a: 2**a, [3.0], [8.0 * math.log(2.0)]),
        (lambda a: abs(a) * True, [-3.0], [-1.0]),
        (lambda a: a * Fraction(1, 4), [3.0], [0.25]),
        (lambda a: a, [3.0], [1.0]),
    ],
)
def test_gradients_of_graphs_of_every_shape(f: Callable[..., Value], at: list[float], expected: list[float]) -> None:
    assert gradient(f, *at) == pytest.approx(expected, rel=1e-15)


def test_backward_adds_to_the_gradients_of_leaves_and_sets_those_of_interior_nodes() -> None:
    a, b = Value(0.1), Value(0.3)
    c = a * b
    y = c.exp() * c + a.sin() / 3
    y.backward()
    once = a.grad, b.grad
    interior = c.grad
    y.backward()
    assert (a.grad, b.grad) == (once[0] + once[0], once[1] + once[1])  # to the last bit
    assert c.grad == interior
    assert y.grad == 1.0


def test_python_sum_adds_no_node_for_its_zero() -> None:
    a, b = Value(1.0), Value(2.0)
    total = sum([a, b])
    assert isinstance(total, Value)
    assert total.args == (a, b)
    assert [node.op for node in topological_order(total)] == [None, None, total.op]


def test_numbers_stay_raw_in_args() -> None:
    a = Value(2.0)
    assert (3 * a).args == (3.0, a)
    assert (a - True).args == (a, 1.0)
    assert all(type(x) is float for x in (a**2).args[1:])


def test_the_order_is_depth_first_from_the_left_and_has_each_node_once() -> None:
    a, b = Value(1.0, "a"), Value(2.0, "b")
    c = a * b
    d = c + a
    y = d * c
    assert topological_order(y) == [a, b, c, d, y]
    assert topological_order(c, d) == [a, b, c, d]
    assert topological_order() == []


DEEP = """
import gc, sys
from autograd_lite import Value
class Token: pass
x = Value(1.0)
y = x
for _ in range(333_333):
    y = -(y * 1.0 + 0.0)
y.backward()
assert abs(x.grad) == 1.0
gc.disable()
before = sys.getallocatedblocks()
del y
freed = before - sys.getallocatedblocks()
assert freed > 980_000, freed  # some are kept, to be used again
print("deep enough")
"""


def test_a_million_nodes_deep_builds_differentiates_and_is_freed_without_the_collector() -> None:
    environment = os.environ | {"PYTHONMALLOC": "default"}  # only its own allocator counts blocks
    done = subprocess.run([sys.executable, "-c", DEEP], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "deep enough\n", done.stderr


def test_nothing_is_alive_after_del_with_the_collector_off() -> None:
    class Watched(Value):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        x = Watched(2.0)
        y = (x * x).tanh() + al.dot([x, 3.0], [x, x])
        y.backward()
        ghost = weakref.ref(x)
        del x, y
        assert ghost() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_graphs_pickle_and_copy_at_any_depth(duplicate: Callable[[Any], Any]) -> None:
    a, b = Value(0.5, label="a"), Value(0.25)
    y = al.dot([a, b, 2.0], [b, a, a]).tanh() ** 2 + al.maximum(a, b)
    for _ in range(20_000):
        y = y * 0.9999
    y.backward()
    twin, (a2, _) = duplicate((y, [a, b]))
    assert [a2.label, twin.data, a2.data, a2.grad] == ["a", y.data, a.data, a.grad]
    assert a2 is not a
    assert a2 in topological_order(twin)  # shared nodes are still shared
    twin.backward()
    assert a2.grad == 2 * a.grad
    leaf = duplicate(Value(3.0, label="x"))
    assert (leaf.data, leaf.label, leaf.op, leaf.args) == (3.0, "x", None, ())


def test_unpickling_an_unknown_primitive_says_what_to_do() -> None:
    y = pickle.dumps(Value(1.0).tanh()).replace(b"tanh", b"cube")
    with pytest.raises(ValueError, match="no primitive is called 'cube' here: import the module that defines it"):
        pickle.loads(y)


def test_comparisons_are_of_numbers_and_equality_is_identity() -> None:
    a, b = Value(1.0), Value(2.0)
    assert a < b
    assert a <= 1
    assert b > 1.5
    assert operator.ge(3, b)
    assert [max(a, b), min([b, a]), *sorted([b, a])] == [b, a, a, b]
    assert a != Value(1.0)
    assert len({a, b, a}) == 2
    with pytest.raises(TypeError, match="'<' not supported between instances of 'Value' and 'str'"):
        operator.lt(a, "1")


def test_format_repr_and_labels() -> None:
    a = Value(2, label="a")
    assert repr(a) == "Value(data=2.0, grad=0.0, label='a')"
    assert f"{a:.3f} {a * 2}" == "2.000 Value(data=4.0, grad=0.0)"


def test_numpy_arrays_and_values_mix() -> None:
    np = pytest.importorskip("numpy")
    v = Value(2.0)
    for product in (np.array([1.0, 3.0]) * v, v * np.array([1.0, 3.0]), np.array([1, 3]) * v):
        assert product.dtype == object
        assert [x.data for x in product] == [2.0, 6.0]
    for number in (np.float64(2), np.float32(2), np.int64(2)):
        for result in (v * number, number * v, v**number):
            assert isinstance(result, Value)
            assert result.data == 4.0
            assert type(result.args[1 if result.args[0] is v else 0]) is float
    assert isinstance(np.exp(v), Value)
    assert np.exp(v).data == math.exp(2.0)
    assert [Value(np.bool_(True)).data, Value(np.float32(0.5)).data] == [1.0, 0.5]
    assert (np.array([v, v]) @ np.array([1.0, 2.0])).data == 6.0
    numbers = [1.0, 2.0, 4.0]
    values = np.array([Value(x) for x in numbers])
    for reduce in (np.sum, np.mean, np.var, np.std, np.prod, np.ptp, np.median, np.linalg.norm):
        assert reduce(values).data == pytest.approx(reduce(numbers), rel=1e-15)


@pytest.mark.parametrize("x", [1, 1.0, True, Fraction(1, 1)])
def test_every_real_number_becomes_a_float(x: Any) -> None:
    assert type(Value(x).data) is float
    assert Value(x).data == 1.0


@pytest.mark.parametrize("x", ["1", 1j, None, [1.0], Value(1.0), object()])
def test_other_types_than_real_numbers_are_refused(x: Any) -> None:
    remedy = "use its .data" if isinstance(x, Value) else r"convert it with float\(\)"
    with pytest.raises(TypeError, match=rf"Value takes real numbers, got {type(x).__name__} .*{remedy}"):
        Value(x)


def test_an_array_is_refused() -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match=r"Value takes real numbers, got ndarray .*take its elements one by one"):
        Value(np.array([1.0, 2.0]))


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.pow, operator.truediv, operator.sub])
def test_operators_refuse_other_types_on_both_sides(op: Callable[[Any, Any], Any]) -> None:
    for x, y in ((Value(1.0), "1"), ("1", Value(1.0)), (Value(1.0), None), (1j, Value(1.0))):
        with pytest.raises(TypeError):
            op(x, y)


def test_conversions_that_would_drop_the_gradient_name_the_remedy() -> None:
    v = Value(1.0)
    for convert in (float, int, math.exp):
        with pytest.raises(TypeError, match=r"would drop the gradient: use \.data .*autograd_lite\.exp"):
            convert(v)
    with pytest.raises(TypeError, match=r"neither true nor false: compare it with a number .* where\(\)"):
        bool(v)


def test_infinities_and_nan_may_be_values() -> None:
    assert gradient(lambda x: x * 2, math.inf) == [2.0]
    assert math.isnan((Value(math.nan) + 1).data)
    assert Value(10**300).data == 1e300


def test_detach_is_a_new_leaf() -> None:
    a = Value(2.0)
    b = (a * 3).detach()
    assert (b.op, b.args, b.data) == (None, (), 6.0)
    (b * a).backward()
    assert a.grad == 6.0


def test_topological_order_of_other_types_is_an_error_that_names_them() -> None:
    v = Value(1.0)
    for wrong, name in ([(3.0,), "float"], [([v],), "list"], [(v, None), "NoneType"]):
        with pytest.raises(TypeError, match=rf"takes Values, got {name}: of a list, write "):
            topological_order(*wrong)
    assert topological_order() == []


def test_a_recorder_sees_the_operations_of_its_thread_only() -> None:
    a, seen, inside, go = Value(2.0), [], threading.Event(), threading.Event()

    class Noting(Recorder):
        def record(self, op: Any, args: Any) -> Value:
            seen.append(op.name)
            return super().record(op, args)

    def other() -> None:
        inside.wait()
        (a + a).exp()
        go.set()

    thread = threading.Thread(target=other)
    thread.start()
    with recording_with(Noting()):
        inside.set()
        go.wait()
        al.dot([a * 2, a], [1.0, a**2])
    thread.join()
    a * a
    assert seen == ["mul", "pow_const", "dot"]
    assert not opened


def test_a_backward_that_fails_leaves_the_leaves_as_they_were() -> None:
    @al.primitive(partials=lambda z, x: (1 / 0,))
    def boom(x: float) -> float:
        return x

    a = Value(1.0)
    (a * 5).backward()
    with pytest.raises(ZeroDivisionError):
        (boom(a) * 2 + a).backward()
    assert a.grad == 5.0


def test_a_compiled_call_is_not_taken_for_a_primitive_of_its_name() -> None:
    w = Value(3.0)

    @al.jit
    def add(x: Any) -> Any:
        return w * x

    y = add(5.0)
    assert repr(y.op) == "jit(add)"
    with pytest.raises(
        TypeError, match=r"jit\(add\) cannot be saved, as it was compiled, or defined again: save the leaves"
    ):
        pickle.dumps(y)
    twin, w2 = copy.deepcopy((y, w))
    twin.backward()
    assert (w2.grad, w.grad) == (5.0, 0.0)
    again = copy.deepcopy(add)
    assert again(5.0).data == 15.0


def test_numbers_beyond_floats_are_infinite() -> None:
    assert Value(10**400).data == math.inf
    assert (Value(-1.0) * 10**400).data == -math.inf


def test_sums_are_taken_from_the_left_on_every_python() -> None:
    from autograd_lite import ieee

    assert al.sum([1e16, 1.0, -1e16]) == al.dot([1e16, 1.0, -1e16], [1, 1, 1]) == 0.0
    assert ieee._added([1e16, 1.0, -1e16], -0.0) == 0.0


def test_numpy_names_and_unary_plus() -> None:
    np = pytest.importorskip("numpy")
    v = Value(0.5)
    assert +v is v
    assert np.arctan(v).data == math.atan(0.5)
    assert np.arcsin(v).data == math.asin(0.5)


class Named(Value):
    """A subclass with an attribute of its own."""

    def __init__(self, data: float, name: str) -> None:
        super().__init__(data)
        self.name = name


def test_copies_and_pickles_of_a_subclass_keep_its_class_and_attributes() -> None:
    weight = Named(2.0, "w")
    for clone in (copy.copy(weight), copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        assert (type(clone), clone.data, clone.name) == (Named, 2.0, "w")
    leaf, root = copy.deepcopy((weight, weight * 3.0))
    root.backward()
    assert (type(leaf), leaf.grad, type(root)) == (Named, 3.0, Value)


@pytest.mark.parametrize("factor", ["x", b"x", [1.0], (1.0, 2.0)])
def test_a_product_with_a_sequence_is_an_error_that_names_it(factor: Any) -> None:
    a = Value(2.0)
    for product in (lambda: a * factor, lambda: factor * a):
        with pytest.raises(TypeError, match=f"mul takes real numbers, got {type(factor).__name__} "):
            product()


def test_a_value_as_an_index_is_an_error_that_says_what_to_write() -> None:
    for index in (lambda: [1, 2, 3][Value(1.0)], lambda: range(Value(3.0))):
        with pytest.raises(TypeError, match=r"cannot be an index or a count: write int\(v.data\)"):
            index()


class Stubborn(Value):
    """A Value whose gradient cannot be set to a number that `refused` returns True for."""

    def _grad(self) -> float:
        return self.kept

    def _set_grad(self, grad: float) -> None:
        if self.armed and grad == self.refused:
            self.armed = False
            raise KeyboardInterrupt
        self.kept = grad

    armed, refused = False, 0.0
    grad = property(_grad, _set_grad)  # type: ignore[assignment]


@pytest.mark.parametrize("refused", [0.0, 5.0, 9.0])  # when gradients are set to 0, in the sweep, in the sum at the end
def test_backward_that_is_interrupted_loses_no_gradient(refused: float) -> None:
    a, b = Value(3.0), Stubborn(5.0)
    (a * 7.0 + b * 4.0).backward()
    y = a * b
    b.armed, b.refused = True, {0.0: 0.0, 5.0: 3.0, 9.0: 7.0}[refused]
    with pytest.raises(KeyboardInterrupt):
        y.backward()
    assert (a.grad, b.grad) == (7.0, 4.0)


def test_a_copied_graph_keeps_its_scopes() -> None:
    a = Value(0.5)
    with scope("block"):
        inner = a * a
        with scope("attention"):
            y = inner.tanh()
    for again in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert (again.scope, again.args[0].scope) == ("block.attention", "block")
        assert not hasattr(again, "site")
        assert type(again.args[0].args[0]) is Value
        assert again.data == y.data


def test_round_of_many_digits_raises_nothing() -> None:
    assert round(Value(2.5)).data == 2.0
    assert round(Value(-1.26), 1).data == -1.3
    assert round(Value(1234.0), -2).data == 1200.0
    for digits in (400, -400):
        assert math.isnan(round(Value(1.0), digits).data)
