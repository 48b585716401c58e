"""diagnose: it finds each network that is broken on purpose, reports no healthy one, and changes nothing."""

import math
import random
import sys
import warnings
from pathlib import Path

import pytest

import autograd_lite as ag
import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "demos"))
from moons import make_moons

X, Y = make_moons(60, noise=0.1, seed=1)
Y01 = [(t + 1) / 2 for t in Y]
LABELS = [int(t) for t in Y01]


def diagnosis(model, X=X, y=Y, loss=nn.hinge, optimizer=nn.SGD, lr=0.1, **settings):
    return nn.diagnose(model, X, y, loss, optimizer(model.parameters(), lr=lr), **settings)


def problems(found):
    return [(finding.problem, finding.where) for finding in found.findings]


def mlp(*sizes, activation="relu", **settings):
    return nn.MLP(2, [*sizes, 1], activation, seed=1, **settings)


def dead():
    model = mlp(8, 8)
    for neuron in model.layers[0].neurons:
        neuron.b.data = -50.0
    return diagnosis(model)


def saturated(activation):
    model = mlp(8, 8, activation=activation)
    for p in model.layers[1].parameters():
        p.data *= 200.0
    return diagnosis(model)


def wrong_side():
    model = nn.MLP(2, [4, 1], "tanh", "sigmoid", seed=1)
    model.layers[1].neurons[0].b.data = 30.0
    return diagnosis(model, y=Y01, loss=nn.mse)


FIT = "output activation that does not fit the loss"


class Cut(nn.Module):
    """A model that cuts the graph after its first layer."""

    def __init__(self):
        self.first, self.second = nn.Layer(2, 8, "tanh", seed=1), nn.Layer(8, 1, seed=2)

    def __call__(self, x):
        return self.second([h.detach() for h in self.first(x)])


class Unused(nn.Module):
    """A model that leaves out one of its layers."""

    def __init__(self):
        self.first, self.extra, self.second = (
            nn.Layer(2, 8, "tanh", seed=1),
            nn.Layer(8, 8, seed=5),
            nn.Neuron(8, seed=2),
        )

    def __call__(self, x):
        return self.second(self.first(x))


BROKEN = {
    "dead ReLUs": (dead, "dead ReLUs", "layers.0"),
    "saturated sigmoids": (lambda: saturated("sigmoid"), "saturated sigmoids", "layers.1"),
    "saturated tanhs": (lambda: saturated("tanh"), "saturated tanhs", "layers.1"),
    "a saturated output": (wrong_side, "saturated sigmoids", "layers.1"),
    "vanishing gradients": (lambda: diagnosis(mlp(*[4] * 8, activation="sigmoid")), "vanishing gradients", "layers.0"),
    "exploding gradients": (
        lambda: diagnosis(mlp(*[8] * 6, activation="leaky_relu", weight=nn.init.normal(0.0, 2.0))),
        "exploding gradients", "layers.0",
    ),
    "inputs of different scales": (
        lambda: diagnosis(mlp(8), X=[[a, 1000 * b] for a, b in X]), "inputs of very different scales", "X",
    ),
    "large inputs": (lambda: diagnosis(mlp(8), X=[[300 * a, 1000 * b] for a, b in X]), "large inputs", "X"),
    "the same inputs": (lambda: diagnosis(mlp(8), X=[[1.0, 2.0]] * 60), "inputs that are all the same", "X"),
    "the same labels": (lambda: diagnosis(mlp(8), y=[1.0] * 60), "labels that are all the same", "y"),
    "0 and 1 for hinge": (lambda: diagnosis(mlp(8), y=Y01), "labels that do not fit the loss", "y"),
    "-1 and 1 for cross-entropy": (
        lambda: diagnosis(mlp(8), loss=nn.binary_cross_entropy_with_logits), "labels that do not fit the loss", "y",
    ),
    "labels without a score": (
        lambda: diagnosis(nn.MLP(2, [4, 2], seed=1), y=[k + 1 for k in LABELS], loss=nn.cross_entropy),
        "labels that do not fit the loss", "y",
    ),
    "no sigmoid": (
        lambda: diagnosis(mlp(8), y=Y01, loss=nn.binary_cross_entropy), "outputs that do not fit the loss", "output",
    ),
    "two sigmoids": (
        lambda: diagnosis(mlp(8, output="sigmoid"), y=Y01, loss=nn.binary_cross_entropy_with_logits), FIT, "output",
    ),
    "hinge of a sigmoid": (lambda: diagnosis(mlp(8, output="sigmoid")), FIT, "output"),
    "negative targets of a ReLU": (lambda: diagnosis(mlp(8, output="relu"), loss=nn.mse), FIT, "output"),
    "large targets of a tanh": (
        lambda: diagnosis(mlp(8, output="tanh"), y=[9 * t for t in Y], loss=nn.huber), FIT, "output",
    ),
    "two softmaxes": (
        lambda: diagnosis(
            nn.Sequential(nn.Layer(2, 2, seed=1), ag.softmax), y=LABELS, loss=nn.cross_entropy
        ),
        FIT, "output",
    ),
    "scores of a ReLU": (
        lambda: diagnosis(nn.MLP(2, [4, 2], output="relu", seed=1), y=LABELS, loss=nn.cross_entropy), FIT, "output",
    ),
    "the same weights": (
        lambda: diagnosis(mlp(8, activation="tanh", weight=nn.init.constant(0.3), bias=nn.init.constant(0.0))),
        "neurons that are all the same", "layers.0",
    ),
    "a high rate": (lambda: diagnosis(mlp(8, 8), lr=50.0), "learning rate too high", "optimizer"),
    "a high rate of mse": (lambda: diagnosis(mlp(8, 8), loss=nn.mse, lr=5.0), "learning rate too high", "optimizer"),
    "a low rate": (lambda: diagnosis(mlp(8, 8), lr=1e-6), "learning rate too low", "optimizer"),
    "a low rate of Adam": (
        lambda: diagnosis(mlp(8, 8), optimizer=nn.Adam, lr=1e-8), "learning rate too low", "optimizer",
    ),
    "a layer that is cut off": (lambda: diagnosis(Cut()), "layers without a gradient", "first"),
    "a layer that is not used": (lambda: diagnosis(Unused()), "layers without a gradient", "extra"),
    "an optimizer of another model": (
        lambda: nn.diagnose(mlp(8), X, Y, nn.hinge, nn.SGD(mlp(8).parameters())),
        "optimizer of other parameters", "optimizer",
    ),
    "targets in millions": (lambda: diagnosis(mlp(8), y=[1e6 * t for t in Y], loss=nn.mse), "large targets", "y"),
    "a strong weight decay": (
        lambda: nn.diagnose(model := mlp(8), X, Y, nn.hinge, nn.SGD(model.parameters(), weight_decay=5.0)),
        "weight decay too strong", "optimizer",
    ),
    "one score for all classes": (
        lambda: diagnosis(mlp(8), y=LABELS, loss=nn.cross_entropy), "outputs that do not fit the loss", "output",
    ),
    "no rate": (lambda: diagnosis(mlp(8, 8), lr=0.0), "learning rate of 0", "optimizer"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "problem", "where"), BROKEN.values(), ids=BROKEN)
def test_every_seeded_fault_is_found(broken, problem, where):
    found = broken()
    assert found
    assert (problem, where) in problems(found)
    assert len(found.findings) <= 3
    for finding in found.findings:
        assert finding.evidence
        assert finding.remedy
        assert str(finding) in str(found)


def healthy():
    """Networks that learn, of many kinds."""
    rng = random.Random(0)
    outputs = [
        (None, nn.hinge, Y), (None, nn.binary_cross_entropy_with_logits, Y01),
        ("sigmoid", nn.binary_cross_entropy, Y01),
        (None, nn.mse, Y), ("tanh", nn.mse, Y), (None, nn.cross_entropy, LABELS),
    ]  # fmt: skip
    optimizers = [
        lambda ps: nn.SGD(ps, lr=0.3), lambda ps: nn.SGD(ps, lr=0.05, momentum=0.9),
        lambda ps: nn.Adam(ps, lr=0.01), lambda ps: nn.RMSprop(ps, lr=0.01),
    ]  # fmt: skip
    for seed in range(12):
        activation = rng.choice(["relu", "tanh", "sigmoid", "gelu", "silu", "leaky_relu"])
        hidden = [rng.choice([4, 8, 16]) for _ in range(1 if activation == "sigmoid" else rng.choice([1, 2]))]
        output, loss, y = outputs[seed % len(outputs)]
        last = 2 if loss is nn.cross_entropy else 1
        yield seed, nn.MLP(2, [*hidden, last], activation, output, seed=seed), loss, y, optimizers[seed % 4]


@pytest.mark.parametrize(("seed", "model", "loss", "y", "optimizer"), [*healthy()])
def test_a_healthy_network_has_no_findings(seed, model, loss, y, optimizer):
    optimizer = optimizer(model.parameters())
    assert problems(nn.diagnose(model, X, y, loss, optimizer)) == []
    history = nn.fit(model, X, y, loss, optimizer, 30, 10, verbose=False)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert problems(nn.diagnose(model, X, y, loss, optimizer)) == []


@pytest.mark.parametrize("optimizer", [nn.Adam, nn.RMSprop])
def test_a_trained_network_has_no_finding_about_the_rate(optimizer):
    model = mlp(16, activation="tanh")
    nn.fit(model, X, Y01, nn.binary_cross_entropy_with_logits, nn.Adam(model.parameters(), lr=0.03), 400, verbose=False)
    fresh = optimizer(model.parameters(), lr=0.01)
    assert problems(nn.diagnose(model, X, Y01, nn.binary_cross_entropy_with_logits, fresh)) == []


def test_models_of_other_kinds_and_diagnosis_without_optimizer():
    class Net(nn.Module):
        def __init__(self):
            self.parts_of_it = {"a": [nn.Layer(2, 4, "tanh", seed=0)], "out": nn.Neuron(4, seed=1)}

        def __call__(self, x):
            return self.parts_of_it["out"](self.parts_of_it["a"][0](x))

    found = nn.diagnose(Net(), X, Y, nn.hinge)
    assert problems(found) == []
    assert [layer.name for layer in found.layers] == ["parts_of_it.a.0", "parts_of_it.out"]
    assert [layer.activation for layer in found.layers] == ["tanh", ""]
    assert nn.diagnose(lambda x: ag.Value(1.0) * x[0], X, Y, nn.hinge).layers == []


def test_a_loss_that_cannot_be_compiled_is_tried_eagerly():
    model = mlp(4)

    def loss(p, t):
        return (p - t) ** 2 if p.data > t else ag.abs(p - t)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnosis(model, X=X[:20], y=Y[:20], loss=loss, lr=50.0)
    assert problems(found) == [("learning rate too high", "optimizer")]


@pytest.mark.parametrize("optimizer", [nn.SGD, nn.Adam])
def test_nothing_is_changed(optimizer):
    model = mlp(4)
    optimizer = optimizer(model.parameters(), lr=0.1)
    nn.fit(model, X, Y, nn.hinge, optimizer, 2, verbose=False)
    for i, p in enumerate(model.parameters()):
        p.grad = float(i)
    before = model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]
    nn.diagnose(model, X, Y, nn.hinge, optimizer)
    optimizer.lr = 100.0
    nn.diagnose(model, X, Y, nn.hinge, optimizer)
    optimizer.lr = 0.1
    assert (model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]) == before


def test_the_numbers_of_the_table():
    model = nn.MLP(2, [3, 1], "relu", seed=1)
    optimizer = nn.SGD(model.parameters(), lr=0.5)
    found = nn.diagnose(model, X, Y, nn.mse, optimizer)
    ag.mean([nn.mse(model(x), t) for x, t in zip(X, Y, strict=True)]).backward()
    for report, layer in zip(found.layers, model.layers, strict=True):
        assert report.gradients == pytest.approx([p.grad for p in layer.parameters()], rel=1e-12)
        assert report.updates == pytest.approx([-0.5 * p.grad for p in layer.parameters()], rel=1e-9)
        neuron = layer.neurons[0]
        inputs = X if layer is model.layers[0] else [[z.data for z in model.layers[0](x)] for x in X]
        expected = [ag.dot([w.data for w in neuron.w], x) + neuron.b.data for x in inputs]
        assert report.columns[0] == pytest.approx(expected, rel=1e-12)
    lines = str(found).splitlines()
    assert lines[0].split()[0] == "layer"
    assert lines[2].split()[:3] == ["layers.0", "Layer(2,", "3)"]
    assert lines[-1] == "Nothing was found."
    assert lines[4].startswith("loss ")


def test_it_is_a_table_in_a_notebook_and_a_picture(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for found in dead(), diagnosis(mlp(4)), diagnosis(mlp(4), y=Y01):
        html = found._repr_html_()
        assert html.count("<table") == 1 + bool(found.layers)
        found.plot().figure.savefig(tmp_path / "diagnosis.png")
        assert (tmp_path / "diagnosis.png").stat().st_size > 3_000
    plt.close("all")
    found.findings = None
    assert found._repr_html_() is None


def test_fit_with_diagnose_warns_of_the_findings():
    model = mlp(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = nn.fit(model, X, Y, nn.hinge, nn.SGD(model.parameters(), lr=0.1), 3, diagnose=True, verbose=False)
    assert not history.diagnosis
    assert len(history.diagnosis.layers) == 2
    model = mlp(4)
    with pytest.warns(UserWarning, match=r"fit: large inputs \(X\): .*Standardise") as caught:
        history = nn.fit(
            model, [[200 * a, 300 * b] for a, b in X], Y, nn.hinge, nn.SGD(model.parameters(), lr=1e-4), 3,
            diagnose=True, verbose=False,
        )  # fmt: skip
    assert ("large inputs", "X") in problems(history.diagnosis)
    assert caught[0].filename == __file__


def test_a_training_that_diverges_is_diagnosed():
    model = nn.MLP(2, [6, 1], activation=None, seed=1)
    history = nn.History()
    with pytest.warns(UserWarning, match="fit: learning rate too high"), pytest.raises(nn.DivergenceError):
        nn.fit(
            model, X, Y, nn.mse, nn.SGD(model.parameters(), lr=50.0), 30, history=history, diagnose=True, verbose=False
        )
    assert ("learning rate too high", "optimizer") in problems(history.diagnosis)


@pytest.mark.parametrize("x", [100.0, 1.0])
def test_a_network_whose_numbers_overflow_is_shown(x):
    first = nn.Layer(1, 2, "tanh", weight=[[1e308], [-1e308]], bias=False)
    found = nn.diagnose(nn.Sequential(first, nn.Layer(2, 1, seed=0)), [x, 0.9 * x, 0.8 * x], [1.0, 0.0, 1.0], nn.mse)
    cell = found.table.rows[1][2]
    assert cell == ("not finite" if x == 100.0 else "0 ± 9e+307")
    assert cell in str(found)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="diagnose: row 0 of X has nan"):
        diagnosis(mlp(4), X=[[math.nan, 0.0]], y=[1.0])
    with pytest.raises(ValueError, match="diagnose takes one target for each row, got 60 rows in X and 59 in y"):
        diagnosis(mlp(4), y=Y[:-1])
    assert diagnosis(mlp(4), X=X[:1], y=Y[:1]).rows == 1


def test_a_model_without_parameters_is_an_error():
    with pytest.raises(TypeError, match="diagnose takes a model with parameters, and this loss depends on no Value"):
        nn.diagnose(lambda x: 2.0 * x, [1.0, 2.0], [1.0, 2.0], nn.mse)
