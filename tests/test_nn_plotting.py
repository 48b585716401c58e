"""Plots: their content, their axes, and the errors for bad input."""

import sys

import pytest

import nn
from autograd_lite import relu
from nn.tables import Table

mpl = pytest.importorskip("matplotlib")
mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

X = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def history():
    model = nn.MLP(2, [4, 1], seed=0)
    return nn.fit(
        model, X, [1, 1, -1, -1], nn.hinge, nn.SGD(model.parameters(), lr=0.1), epochs=5,
        validation_split=0.25, metrics=[nn.accuracy],
    )  # fmt: skip


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_decision_boundary_lies_where_the_score_is_0(tmp_path):
    plane = nn.Sequential(nn.Linear(2, 1, weight=[[1.0, -1.0]], bias=[0.0]))
    ax = nn.plot_decision_boundary(plane, X, [1, 1, -1, -1], resolution=20)
    (line,) = ax.collections[1].get_paths()
    assert all(abs(x - y) < 1e-9 for x, y in line.vertices)
    assert legend(ax) == ["class -1", "class 1"]
    ax.figure.savefig(tmp_path / "boundary.png")
    assert (tmp_path / "boundary.png").stat().st_size > 10_000


def test_a_threshold_moves_the_boundary():
    plane = nn.Sequential(nn.Linear(2, 1, weight=[[1.0, 0.0]], bias=[0.0]))
    ax = nn.plot_decision_boundary(plane, X, [0, 1, 0, 1], threshold=0.5, resolution=20)
    (line,) = ax.collections[1].get_paths()
    assert all(abs(x - 0.5) < 1e-9 for x, _ in line.vertices)


def test_classes_are_regions_on_the_axes_that_are_given():
    _, given = plt.subplots()
    ax = nn.plot_decision_boundary(nn.MLP(2, [3], seed=0), X, [0, 1, 2, 2], resolution=20, ax=given)
    assert ax is given
    assert legend(ax) == ["class 0", "class 1", "class 2"]


def test_a_history_is_drawn_as_curves(history):
    ax = history.plot()
    loss, val_loss = ax.get_lines()
    assert list(loss.get_ydata()) == history["loss"]
    assert list(val_loss.get_ydata()) == history["val_loss"]
    assert (loss.get_linestyle(), val_loss.get_linestyle()) == ("-", "--")
    assert legend(ax) == ["loss", "val loss", "accuracy", "val accuracy"]


def test_a_network_has_a_line_for_each_weight():
    model = nn.Sequential(nn.Layer(2, 3, weight=[[1, -2], [0, 1], [1, 1]]), relu, nn.Layer(3, 1, "sigmoid", seed=0))
    ax = nn.plot_network(model)
    lines = ax.get_lines()
    assert len(lines) == 2 * 3 + 3
    assert lines[0].get_color() != lines[1].get_color()
    assert lines[1].get_linewidth() > lines[0].get_linewidth()
    assert [text.get_text() for text in ax.texts] == ["2\ninputs", "3\nrelu", "1\nsigmoid"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nn.plot_decision_boundary(nn.MLP(3, [1]), [[1, 2, 3]], [1]), "2 numbers in a row, got .*3"),
        (lambda: nn.plot_decision_boundary(nn.MLP(2, [1]), [1.0, 2.0], [0, 1]), "2 numbers in a row, got .*()"),
        (lambda: nn.plot_decision_boundary(nn.MLP(2, [1]), X, [0, 1, 2, 0]), "draws the classes 0, 2 .*got 1 in y"),
        (lambda: nn.plot_decision_boundary(nn.MLP(2, [2]), X, [0, 1, 2, 0]), "draws the classes 0, 1 .*got 2 in y"),
        (lambda: nn.plot_decision_boundary(nn.MLP(2, [2]), X, [[0, 1]] * 4), "takes a class, one number, for each row"),
        (lambda: nn.plot_decision_boundary(nn.MLP(2, [1]), [], []), "plot_decision_boundary: X has no rows"),
        (lambda: nn.plot_history(nn.History()), "plot_history has no epoch to draw"),
        (lambda: nn.plot_network(nn.Sequential(relu)), "plot_network draws the Layers of a Sequential or MLP"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_an_argument_of_the_wrong_kind_is_named():
    with pytest.raises(TypeError, match="plot_network takes a Sequential or MLP, got int"):
        nn.plot_network(3)
    with pytest.raises(TypeError, match=r"plot_history takes a History, as nn.fit returns it, got MLP"):
        nn.plot_history(nn.MLP(2, [1]))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot_network draws with matplotlib: pip install 'autograd-lite\[plot\]'"):
        nn.plot_network(nn.MLP(2, [1]))


def test_a_history_is_one_line_in_a_console():
    history = nn.History()
    assert repr(history) == "History(0 epochs)"
    history.rows += [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    assert repr(history) == "History(2 epochs, loss=0.2500)"


def test_a_console_shows_tables_and_findings_as_they_are_printed():
    model = nn.MLP(1, [2, 1], seed=0)
    assert repr(model.summary()) == str(model.summary())
    found = nn.diagnose(model, [-1.0, 1.0], [0.0, 1.0], nn.hinge)
    assert repr(found) == str(found)
    assert "labels that do not fit the loss" in repr(found)
    optimizer = nn.SGD(model.parameters(), lr=0.5)
    assert repr(nn.StepLR(optimizer, 3)) == "StepLR(base_lr=0.5, step_size=3, gamma=0.1): lr=0.5 in epoch 0"
    assert repr(nn.Recording()) == "Recording(0 frames)"


@pytest.mark.parametrize(
    "cell", ["</table><script>alert(1)</script>", "\x00\x1b[31m", "a\nb", "x" * 1_000_000, "\ud800"]
)
def test_a_cell_of_a_table_is_one_line_of_text(cell):
    table = Table([("name",), (cell,)], caption="counted")
    assert len(str(table).splitlines()) == 4
    assert all(line.isprintable() and len(line) <= 500 for line in str(table).splitlines())
    assert "<script" not in table._repr_html_()
    assert len(table._repr_html_()) < 5_000
