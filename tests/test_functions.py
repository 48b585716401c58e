"""The composite functions against PyTorch float64, numbers and gradients, at ordinary and hostile points."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

import autograd_lite as al
from autograd_lite import Value, gradients, jit, matvec, no_grad, topological_order

VECTORS = [[0.3, -1.2, 2.0], [1000.0, -1000.0, 999.0], [-1000.0, -1000.5, -2000.0], [5.0, 1.0], [0.0, 0.0], [7.0]]
POINTS = [0.0, 0.5, -0.5, 3.0, -3.0, 30.0, -30.0, 1000.0, -1000.0]


def compare(ours: Callable[[list[Any]], Any], theirs: Callable[[Any], Any], xs: list[float]) -> None:
    """The number, or the sum of the numbers times 1, 2, 3 ..., and its gradient."""
    torch = pytest.importorskip("torch")
    leaves = [Value(x) for x in xs]
    tensor = torch.tensor(xs, dtype=torch.float64, requires_grad=True)
    y, z = ours(leaves), theirs(tensor)
    if isinstance(y, list):
        y = al.dot(y, range(1, len(y) + 1))
        z = (z * torch.arange(1, len(xs) + 1)).sum()
    y.backward()
    z.backward()
    assert y.data == pytest.approx(z.item(), rel=1e-12, abs=1e-300)
    assert [x.grad for x in leaves] == pytest.approx(tensor.grad.tolist(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("xs", VECTORS)
@pytest.mark.parametrize("name", ["sum", "mean", "norm", "logsumexp", "softmax", "log_softmax"])
def test_functions_of_lists(name: str, xs: list[float]) -> None:
    torch = pytest.importorskip("torch")
    theirs = {
        "norm": torch.linalg.vector_norm,
        "logsumexp": lambda x: torch.logsumexp(x, 0),
        "softmax": lambda x: torch.softmax(x, 0),
        "log_softmax": lambda x: torch.log_softmax(x, 0),
    }.get(name) or getattr(torch, name)
    compare(getattr(al, name), theirs, xs)


@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize("name", ["silu", "gelu", "elu", "leaky_relu"])
def test_activations(name: str, x: float) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn.functional
    theirs = getattr(nn, name)
    compare(lambda xs: getattr(al, name)(xs[0]), lambda t: theirs(t).sum(), [x])


def test_parameters_of_activations() -> None:
    torch = pytest.importorskip("torch")
    compare(lambda xs: al.elu(xs[0], alpha=0.5), lambda t: torch.nn.functional.elu(t, alpha=0.5).sum(), [-1.5])
    compare(lambda xs: al.leaky_relu(xs[0], 0.2), lambda t: torch.nn.functional.leaky_relu(t, 0.2).sum(), [-1.5])


def test_dot_and_sum_are_one_node() -> None:
    xs = [Value(1.0), Value(2.0), Value(3.0)]
    assert al.dot(xs, [1, 2, 3]).args == (*xs, 1.0, 2.0, 3.0)
    assert al.sum(x for x in xs).args == tuple(xs)
    assert (al.dot([], []), al.sum([])) == (0.0, 0.0)


def test_matvec_is_a_dot_for_each_row() -> None:
    a, b, c = Value(1.0), Value(-2.0), Value(3.0)
    rows, x = [[a, b, c], [2, a, 0.5], [1.0, 1.0, 1.0], [c, Value(-0.0), a]], [b, 4.0, c]
    for found, row in zip(al.matvec(rows, x), rows, strict=True):
        expected = al.dot(row, x)
        assert (found.data, found.op, found.args) == (expected.data, expected.op, expected.args)
    assert al.matvec([[1, 2], [3.0, 4.0]], [1.0, 10.0]) == [21.0, 43.0]
    assert al.matvec([[], []], []) == [0.0, 0.0]
    with pytest.raises(ValueError, match="matvec takes rows as long as the vector, got 1 and 2"):
        al.matvec([[1, 2], [a]], [b, c])
    with pytest.raises(TypeError, match="dot takes real numbers, got str"):
        al.matvec([[a, "b"]], [b, c])


def test_matvec_with_biases_and_an_activation_is_a_layer_of_neurons() -> None:
    a, b, c = Value(1.0), Value(-2.0), Value(3.0)
    rows, x, biases = [[a, b], (b, c), [a, 0.5]], [c, 2], [b, 1.0, a]
    for activation in (None, al.tanh, lambda z: z * z):
        found = al.matvec(rows, x, biases, activation)
        for y, row, bias in zip(found, rows, biases, strict=True):
            z = al.dot([*row, bias], [*x, 1])
            expected = z if activation is None else activation(z)
            assert (y.data, y.op) == (expected.data, expected.op)
            assert gradients(y, [a, b, c])[2].data == gradients(expected, [a, b, c])[2].data
    assert al.matvec([[1, 2], [3.0, 4.0]], [1.0, 10.0], [0, 1], al.relu) == [21.0, 44.0]


def test_bad_input_to_matvec_with_and_without_history() -> None:
    class Number:
        data = 2.0  # a number type of another library

    a = Value(1.0)
    for mode in (nullcontext(), no_grad()):
        with mode:
            with pytest.raises(ValueError, match="one bias for each row, got 2 for 1 rows"):
                al.matvec([[a]], [1.0], [a, a])
            with pytest.raises(ValueError, match="matvec takes rows as long as the vector, got 1 and 2"):
                al.matvec([[a, a], [a]], [a, 2.0])
            with pytest.raises(TypeError, match="dot takes real numbers, got Number"):
                al.matvec([[a, Number()]], [a, 2.0])
            with pytest.raises(TypeError, match="dot takes real numbers, got str"):
                al.matvec([[a, a]], [a, "x"])
            assert al.matvec([], [a]) == []


def test_a_dot_product_with_zero_gradient_still_passes_on_a_nan() -> None:
    for number, expected in ((1.0, 0.0), (math.inf, math.nan)):
        x, y = Value(2.0), Value(number)
        (al.dot([x, x], [y, 1.0]) * 0.0).backward()
        assert x.grad == pytest.approx(expected, nan_ok=True)


def test_plain_numbers_give_plain_floats() -> None:
    results = [
        al.exp(1),
        al.dot([1, 2], [3, 4]),
        al.mean([1, 2]),
        al.gelu(1),
        *al.softmax([1, 2]),
        al.where(True, 1, 2),
    ]
    assert all(type(x) is float for x in results)
    assert al.mean([1, 2]) == 1.5


def test_where_differentiates_the_side_that_it_chose() -> None:
    x = Value(4.0)
    al.where(x > 0, al.sqrt(x), 0.0).backward()
    assert x.grad == 0.25
    assert al.where(math.nan, 1.0, 2.0) == 1.0


def test_sum_takes_a_start_as_python_does() -> None:
    a, b = Value(1.0), Value(2.0)
    total = al.sum([a, b], a)
    assert (total.data, len(topological_order(total))) == (4.0, 3)
    assert (al.sum([1, 2], 3), al.sum([], 0), al.sum([a], 0).args) == (6.0, 0.0, (a,))
    with pytest.raises(TypeError, match="sum takes real numbers, got list"):
        al.sum([[1.0]], [])  # type: ignore[list-item, arg-type]


def test_infinities_in_logsumexp() -> None:
    assert al.logsumexp([math.inf, 0.0]) == math.inf
    assert al.logsumexp([-math.inf, -math.inf]) == -math.inf
    assert al.logsumexp([-math.inf, 0.0]) == 0.0
    assert math.isnan(al.logsumexp([math.nan, 0.0]))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("xs", [[math.inf, 0.0], [-math.inf, 0.0], [-math.inf, -math.inf], [math.inf, math.inf]])
def test_infinities_are_as_in_pytorch(name: str, xs: list[float]) -> None:
    torch = pytest.importorskip("torch")
    expected = getattr(torch, name)(torch.tensor(xs), 0).tolist()
    assert getattr(al, name)(xs) == pytest.approx(expected, nan_ok=True)
    compiled = jit(getattr(al, name))(xs)
    assert compiled == pytest.approx(expected, nan_ok=True)


def test_softmax_records_only_operations_that_pass_a_gradient() -> None:
    xs = [Value(x) for x in (0.5, 2.0, -1.0)]
    for y, names in [
        (al.softmax(xs)[0], ["sub", "exp"] * 3 + ["sum", "div"]),
        (al.log_softmax(xs)[0], ["sub", "exp"] * 3 + ["sum", "log", "sub"]),
        (al.logsumexp(xs), ["sub", "exp"] * 3 + ["sum", "log", "add"]),
    ]:
        assert sorted(str(node.op) for node in topological_order(y) if node.op) == sorted(names)


@pytest.mark.parametrize("name", ["mean", "softmax", "log_softmax", "logsumexp"])
def test_an_empty_list_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} of an empty list"):
        getattr(al, name)([])


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="dot takes two sequences of one length, got 2 and 3"):
        al.dot([1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match="sum takes real numbers, got str"):
        al.sum([Value(1.0), "2"])
    with pytest.raises(TypeError, match=r"tanh takes real numbers, got list .*take its elements one by one"):
        al.tanh([1.0])
    with pytest.raises(TypeError, match="maximum takes real numbers, got NoneType"):
        al.maximum(Value(1.0), None)


@pytest.mark.parametrize("name", ["sum", "mean", "norm", "softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("x", [5, Value(1.0), None])
def test_arguments_that_are_not_lists_are_named(name: str, x: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} takes a list of numbers, got {type(x).__name__}"):
        getattr(al, name)(x)


def test_the_gradient_of_elu_is_accurate_at_large_negative_numbers() -> None:
    for x in (-20.0, -30.0, -38.0, -100.0):
        leaf = Value(x)
        al.elu(leaf).backward()
        assert leaf.grad == pytest.approx(math.exp(x), rel=1e-12)


def test_primitive_refuses_a_taken_name_and_missing_partials() -> None:
    with pytest.raises(ValueError, match="a primitive 'tanh' exists already"):
        al.primitive(partials=lambda z, x: (1.0,))(math.tanh)
    with pytest.raises(TypeError, match=r"write @primitive\(partials=...\) above a function with a name"):
        al.primitive(lambda x: x)(2.0)  # type: ignore[type-var]


def test_matvec_of_floats_gives_floats_under_no_grad() -> None:
    rows, biases = [[1.0, 2.0], [3.0, 4.0]], [0.5, 0.5]
    with no_grad():
        found = [matvec(rows, [1.0, -1.0]), matvec(rows, [1.0, -1.0], biases), matvec([[Value(1.0), 2.0]], [1.0, 2.0])]
    assert found[:2] == [[-1.0, -1.0], [-0.5, -0.5]]
    assert [type(y) for ys in found for y in ys] == [float] * 4 + [Value]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: matvec(Value(1.0), [1.0]), "matvec takes a list of numbers, got Value"),
        (lambda: matvec([[1.0]], [1.0], activation="tanh"), "matvec takes a function of one number .*, got 'tanh'"),
        (lambda: al.zero_grads([Value(1.0), 2.0]), "zero_grads takes a list of Values, got float in it"),
        (lambda: al.names_of(Value(1.0)), r"names_of takes a list of Values, got one Value: write names_of\(\[x\]\)"),
        (lambda: Value(""), "Value takes real numbers, got str '': convert it with float"),
        (lambda: al.compiled_rule(3), r"compiled_rule takes an optimizer, such as nn.SGD\(parameters\), got int"),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
