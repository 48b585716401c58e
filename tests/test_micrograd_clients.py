"""Code written for micrograd's Value runs on ours with only the import line changed."""

import math
import random
from typing import Any

import pytest

import autograd_lite
from autograd_lite import Value


def traced(root: Any) -> tuple[set[Any], set[tuple[Any, Any]]]:
    """All nodes and edges under `root`, by the recursion over `_prev` that the lecture's notebook has."""
    nodes: set[Any] = set()
    edges: set[tuple[Any, Any]] = set()

    def build(v: Any) -> None:
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def test_the_graph_walk_of_micrograds_lecture_draws_a_graph() -> None:
    graphviz = pytest.importorskip("graphviz")
    a, b, c = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c")
    e = a * b
    d = e + c
    loss = d * Value(-2.0, label="f")
    nodes, edges = traced(loss)
    dot = graphviz.Digraph(graph_attr={"rankdir": "LR"})
    for n in nodes:
        name = str(id(n))
        dot.node(name=name, label="{%s | data %.4f | grad %.4f}" % (n.label, n.data, n.grad), shape="record")  # noqa: UP031
        if n._op:
            dot.node(name=name + n._op, label=n._op)
            dot.edge(name + n._op, name)
    for n1, n2 in edges:
        dot.edge(str(id(n1)), str(id(n2)) + n2._op)
    assert len(nodes) == 7
    assert len(edges) == 6
    assert dot.source.count('label="*"') == 2
    assert dot.source.count('label="+"') == 1
    assert "a | data 2.0000" in dot.source


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (lambda a: a + 1, "+"),
        (lambda a: a * a, "*"),
        (lambda a: a - 1, "-"),
        (lambda a: a / 3, "/"),
        (lambda a: a**2, "**2"),
        (lambda a: a**-0.5, "**-0.5"),
        (lambda a: a**a, "**"),
        (lambda a: a.relu(), "ReLU"),
        (lambda a: a.tanh(), "tanh"),
        (lambda a: a.exp(), "exp"),
        (lambda a: a, ""),
    ],
)
def test_operations_have_micrograds_names(node: Any, name: str) -> None:
    a = Value(0.5)
    assert node(a)._op == name
    assert node(a)._prev == ((a,) if name else ())


def test_prev_and_op_cannot_be_assigned() -> None:
    v = Value(1.0) + 2
    with pytest.raises(AttributeError):
        v._op = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        v._prev = ()  # type: ignore[misc]


class Neuron:
    def __init__(self, nin: int) -> None:
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(random.uniform(-1, 1))

    def __call__(self, x: Any) -> Any:
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.tanh()

    def parameters(self) -> list[Any]:
        return [*self.w, self.b]


class Layer:
    def __init__(self, nin: int, nout: int) -> None:
        self.neurons = [Neuron(nin) for _ in range(nout)]

    def __call__(self, x: Any) -> Any:
        outs = [n(x) for n in self.neurons]
        return outs[0] if len(outs) == 1 else outs

    def parameters(self) -> list[Any]:
        return [p for neuron in self.neurons for p in neuron.parameters()]


class MLP:
    def __init__(self, nin: int, nouts: list[int]) -> None:
        sizes = [nin, *nouts]
        self.layers = [Layer(sizes[i], sizes[i + 1]) for i in range(len(nouts))]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Any]:
        return [p for layer in self.layers for p in layer.parameters()]


def test_a_network_written_by_hand_learns_four_points() -> None:
    random.seed(1337)
    n = MLP(3, [4, 4, 1])
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    loss: Any = Value(math.inf)
    for _ in range(60):
        loss = sum((yout - ygt) ** 2 for ygt, yout in zip(ys, [n(x) for x in xs], strict=True))
        for p in n.parameters():
            p.grad = 0.0
        loss.backward()
        for p in n.parameters():
            p.data += -0.1 * p.grad
    assert len(n.parameters()) == 41
    assert loss.data < 0.02


def sanity(value: Any, relu: Any) -> tuple[Any, Any]:
    x = value(-4.0)
    z = 2 * x + 2 + x
    q = relu(z) + z * x
    h = relu(z * z)
    y = h + q + q * x
    y.backward()
    return x, y


def more(value: Any, relu: Any) -> tuple[Any, Any, Any]:
    a, b = value(-4.0), value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + relu(b + a)
    d += 3 * d + relu(b - a)
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    return a, b, g


def test_two_expressions_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def leaf(x: float) -> Any:
        return torch.tensor(x, dtype=torch.float64, requires_grad=True)

    x, y = sanity(Value, lambda v: v.relu())
    x2, y2 = sanity(leaf, lambda v: v.relu())
    assert (y.data, x.grad) == (y2.item(), x2.grad.item())
    a, b, g = more(Value, lambda v: v.relu())
    a2, b2, g2 = more(leaf, lambda v: v.relu())
    assert [g.data, a.grad, b.grad] == pytest.approx([g2.item(), a2.grad.item(), b2.grad.item()], rel=1e-12)


def test_micrograds_own_layers_run_on_our_value(monkeypatch: pytest.MonkeyPatch) -> None:
    nn, engine = pytest.importorskip("micrograd.nn"), pytest.importorskip("micrograd.engine")

    def step(value: Any) -> tuple[float, list[float]]:
        monkeypatch.setattr(nn, "Value", value)
        random.seed(3)
        model = nn.MLP(2, [5, 1])
        inputs = [[0.5, -1.0], [2.0, 0.25]]
        loss = sum((1 + -y * model(x)).relu() for x, y in zip(inputs, (1, -1), strict=True)) * 0.5
        loss = loss + 1e-4 * sum(p * p for p in model.parameters())
        loss.backward()
        return loss.data, [p.grad for p in model.parameters()]

    ours, theirs = step(autograd_lite.Value), step(engine.Value)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-9, abs=1e-15)
