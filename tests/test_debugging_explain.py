"""`explain`: the paths whose products add up to a derivative."""

import math
import random
from collections.abc import Callable

import pytest

import autograd_lite as al
from autograd_lite import Value, explain


def test_paths_are_listed_by_the_size_of_their_product() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = a * b + 5 * a + al.relu(b) * a
    found = explain(y, a)
    assert [path.product for path in found.paths] == [5.0, -3.0, 0.0]
    assert (found.total, found.count) == (2.0, 3)
    assert [node.op and node.op.name for node in found.paths[0].nodes] == [None, "mul", "add", "add"]
    assert found.paths[0].partials == (5.0, 1.0, 1.0)


def test_a_repeated_argument_is_two_paths() -> None:
    x = Value(3.0)
    assert [path.product for path in explain(x * x, x).paths] == [3.0, 3.0]


def test_no_path_leads_through_an_argument_without_gradient() -> None:
    x = Value(-1.0)
    y = al.relu(x) + x.detach() * 2 + al.step(x) + al.where(x, 0.0, x)
    assert (explain(y, x).total, explain(y, x).count, explain(y, x).paths) == (0.0, 0, ())
    assert explain(x, x).paths[0].nodes == (x,)
    assert explain(x, x).total == 1.0


def test_products_of_all_paths_add_up_to_the_gradient() -> None:
    rng = random.Random(0)
    for _ in range(30):
        x = Value(rng.uniform(-2, 2))
        nodes = [x, Value(rng.uniform(-2, 2))]
        for _ in range(8):
            u, v = rng.choices(nodes, k=2)
            nodes.append(rng.choice([u * v, u + v, u - 2 * v, al.sin(u), al.relu(u), al.dot([u, v], [v, 1.5])]))
        y = nodes[-1]
        y.backward()
        found = explain(y, x, k=10_000)
        products = [path.product for path in found.paths]
        assert found.total == pytest.approx(x.grad, rel=1e-12, abs=1e-12)
        assert math.fsum(products) == pytest.approx(x.grad, rel=1e-12, abs=1e-12)
        assert len(products) == found.count
        sizes = [abs(product) for product in products]
        assert sizes == pytest.approx(sorted(sizes, reverse=True), rel=1e-12)
        assert [path.product for path in explain(y, x, k=2).paths] == products[:2]


def test_a_graph_with_more_than_1e308_paths() -> None:
    x = y = Value(1.0)
    for _ in range(5000):
        y = y * 0.5 + y * 0.25 + 0.0
    found = explain(y, x, k=3)
    assert [len(path.nodes) for path in found.paths] == [15001] * 3
    assert found.count == math.inf
    assert "more than 1e308" in str(found)
    assert explain(y.args[0], x, k=0).paths == ()


def ladder(rungs: int) -> tuple[Value, Value]:
    x = y = Value(1.0)
    for _ in range(rungs):
        y = y * 0.5 + y * 0.25
    return y, x


def test_explaining_takes_time_linear_in_the_graph(lines_run: Callable[[Callable[[], object]], int]) -> None:
    assert lines_run(lambda: explain(*ladder(4_000), k=3)) < 11 * lines_run(lambda: explain(*ladder(400), k=3))


def test_a_large_graph_is_explained() -> None:
    found = explain(*ladder(33_333), k=3)
    assert [len(path.nodes) for path in found.paths] == [66_667] * 3
    assert [path.partials.count(0.25) for path in found.paths] == [0, 1, 1]


def test_infinite_and_nan_products_come_first() -> None:
    x = Value(0.0)
    y = 1000 * x + al.sqrt(x) * 0.0 + al.sqrt(x)
    products = [path.product for path in explain(y, x).paths]
    assert sorted(map(str, products[:2])) == ["inf", "nan"]
    assert products[2] == 1000.0


def test_infinite_and_nan_totals_print() -> None:
    a, b = Value(0.0), Value(1.0)
    assert "nan" in str(explain(a.sqrt() - a.sqrt(), a))
    assert "inf" in str(explain(b * 1.5e308 + b * 1.5e308, b, k=1))


def test_it_prints_as_a_table() -> None:
    w, x = Value(2.0, label="w"), Value(0.5, label="x")
    loss = (w * x + w * w) * 4
    loss.label = "loss"
    found = explain(loss, w, k=2)
    assert repr(found) == str(found)
    assert str(found).splitlines() == [
        "d loss / d w = 18, the sum over 3 paths",
        "     product    share  path",
        "           8    44.4%  w -[2]-> mul=4 -[1]-> add=5 -[4]-> loss",
        "           8    44.4%  w -[2]-> mul=4 -[1]-> add=5 -[4]-> loss",
        "           2    11.1%  all other paths",
    ]


def test_a_long_path_prints_its_two_ends() -> None:
    x = y = Value(1.0, label="x")
    for _ in range(100):
        y = -y
    text = str(explain(y, x).paths[0])
    assert text.startswith("x -[-1]-> neg=-1 -[-1]->")
    assert "... 93 more ..." in text


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="explain takes two Values, got float"):
        explain(Value(1.0), 2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="explain lists k >= 0 paths, got k=-1"):
        explain(Value(1.0), Value(1.0), k=-1)
    with pytest.raises(TypeError, match="explain lists k paths, and k is an int, got float"):
        explain(Value(1.0), Value(1.0), k=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["\x00\x1b[31mred", "\u202egnp.exe", "a\nb", "x" * 1_000_000])
def test_any_label_is_one_short_printable_text(label):
    a = Value(2.0, label=label)
    y = (a * a).tanh()
    y.label = label
    lines = str(explain(y, a)).splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() and len(line) < 200 for line in lines)


def test_a_value_that_is_not_computed_from_the_other_has_no_table() -> None:
    a = Value(2.0, label="a")
    assert str(explain(a, a * 3.0)) == "d a / d mul=6 = 0: a is not computed from mul=6, or no gradient flows"
