"""Modules: their results, the names and initial values of their parameters, and the errors for bad input."""

import copy
import gc
import math
import pickle
import random
import statistics
import weakref
from contextlib import nullcontext
from functools import wraps

import pytest

import autograd_lite as ag
import nn
from autograd_lite import Value, no_grad, relu, softmax, tanh, topological_order
from autograd_lite.trees import tree_leaves


def test_a_neuron_is_one_dot_and_an_activation():
    neuron = nn.Neuron(2, "tanh", weight=[0.5, -2.0], bias=0.25)
    output = neuron([3.0, 1.0])
    assert output.data == math.tanh(0.5 * 3 - 2 + 0.25)
    assert [node.op.name for node in topological_order(output) if node.op] == ["dot", "tanh"]
    assert [w.data for w in neuron.w] == [0.5, -2.0]
    assert neuron.b.data == 0.25
    assert repr(neuron) == "Neuron(2, activation='tanh')"


def test_a_layer_gives_a_list_and_one_neuron_gives_its_number():
    layer = nn.Layer(2, 3, weight=[[1, 0], [0, 1], [1, 1]], bias=[0, 0, 0.5])
    assert [z.data for z in layer([2, 3])] == [2, 3, 5.5]
    assert isinstance(nn.Layer(2, 1, seed=0)([1.0, 2.0]), Value)
    assert nn.Layer(1, 1, weight=[[3.0]], bias=False)(2.0).data == 6.0
    assert nn.Linear is nn.Layer


def test_an_mlp_has_micrograds_layers_and_parameters():
    model = nn.MLP(2, [16, 16, 1], seed=1)
    assert len(model.parameters()) == 337
    assert isinstance(model([1.0, -2.0]), Value)
    assert isinstance(model.layers[0].neurons[0].w[0], Value)
    assert [layer.activation for layer in model.layers] == [relu, relu, None]
    assert repr(model) == "MLP(Layer(2, 16, activation='relu'), Layer(16, 16, activation='relu'), Layer(16, 1))"


def test_the_gradient_of_a_weight_is_a_finite_difference():
    model = nn.MLP(2, [5, 4, 2], activation="gelu", output="sigmoid", seed=3)
    x, h = [0.3, -0.8], 1e-6
    model.zero_grad()
    nn.mse(model(x), [1.0, 0.0]).backward()
    for p in random.Random(0).sample(model.parameters(), 10):
        losses = []
        for shift in (h, -2 * h):
            p.data += shift
            losses.append(nn.mse(model(x), [1.0, 0.0]).data)
        p.data += h
        assert p.grad == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-5, abs=1e-9)


def test_zero_grad_zeroes_every_parameter():
    model = nn.MLP(2, [3, 1], seed=0)
    model([1.0, 1.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())


def test_sequential_takes_any_callables():
    first = nn.Layer(2, 3, seed=0)
    model = nn.Sequential(first, relu, lambda xs: [*xs, 1.0], nn.Layer(4, 2, seed=1), softmax)
    hidden = [max(0.0, z.data) for z in first([1.0, 2.0])]
    scores = model.layers[3]([*hidden, 1.0])
    assert [p.data for p in model([1.0, 2.0])] == pytest.approx([p.data for p in softmax(scores)], rel=1e-15)
    assert nn.Sequential(tanh)(0.5) == math.tanh(0.5)


def test_names_and_shapes_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(2, 4),
        torch.nn.ReLU(),
        torch.nn.Linear(4, 3, bias=False),
        torch.nn.Tanh(),
        torch.nn.Linear(3, 1),
    ).double()
    apart = nn.Sequential(nn.Linear(2, 4), relu, nn.Linear(4, 3, bias=False), tanh, nn.Linear(3, 1))
    together = nn.Sequential(nn.Layer(2, 4, "relu"), nn.Layer(4, 3, "tanh", bias=False), nn.Layer(3, 1))
    for ours in (apart, together):
        assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
        ours.load_state_dict(theirs.state_dict())
        state = {name: torch.tensor(array, dtype=torch.float64) for name, array in ours.state_dict().items()}
        theirs.load_state_dict(state)
        assert ours([0.3, -0.7]).data == pytest.approx(
            theirs(torch.tensor([0.3, -0.7], dtype=torch.float64)).item(), rel=1e-12
        )


def test_parameters_are_found_wherever_a_module_keeps_them():
    class Mixture(nn.Module):
        def __init__(self):
            self.parts_of_speech = nn.Embedding(3, 2, seed=0)
            self.experts = [nn.Layer(2, 1, seed=0), nn.Layer(2, 1, seed=1)]
            self.scale = Value(2.0)
            self.tied = self.scale
            self.by_name = {"shift": Value(1.0)}
            self.last = self.scale * 3  # not a leaf, so not a parameter

        def __call__(self, word):
            x = self.parts_of_speech(word)
            return self.scale * sum(expert(x) for expert in self.experts) + self.by_name["shift"]

    model = Mixture()
    names = [name for name, _ in model.named_parameters()]
    assert names == [
        "parts_of_speech.weight", "experts.0.weight", "experts.0.bias", "experts.1.weight", "experts.1.bias",
        "scale", "tied", "by_name.shift",
    ]  # fmt: skip
    assert len(model.parameters()) == 6 + 3 + 3 + 1 + 1  # a tied parameter counts once
    before = model(1).data
    model.load_state_dict(model.state_dict())
    assert model(1).data == before


def test_a_model_survives_copying_and_pickling():
    model = nn.MLP(2, [3, 1], seed=0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_dict() == model.state_dict()
        assert set(twin.parameters()).isdisjoint(model.parameters())


def test_summary_is_a_table_of_layers():
    model = nn.Sequential(nn.Layer(2, 16, "relu"), nn.Linear(16, 3), softmax)
    assert model.summary() == (
        "path      layer      shape  activation  parameters\n"
        "--------------------------------------------------\n"
        "layers.0  Layer    2 -> 16  relu                48\n"
        "layers.1  Layer    16 -> 3                      51\n"
        "layers.2  softmax                                0\n"
        "total                                           99"
    )


def test_a_seed_fixes_the_start():
    assert nn.MLP(2, [3, 1], seed=7).state_dict() == nn.MLP(2, [3, 1], seed=7).state_dict()
    assert nn.MLP(2, [3, 1], seed=7).state_dict() != nn.MLP(2, [3, 1], seed=8).state_dict()
    random.seed(5)
    first = nn.MLP(2, [3, 1]).state_dict()
    random.seed(5)
    assert nn.MLP(2, [3, 1]).state_dict() == first


def drawn(initializer, nin=50, nout=200):
    return [w for row in nn.Layer(nin, nout, weight=initializer, seed=0).state_dict()["weight"] for w in row]


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (nn.init.uniform(-0.5, 0.5), 0.5),
        (nn.init.xavier_uniform(), math.sqrt(6 / 250)),
        (nn.init.kaiming_uniform(), math.sqrt(6 / 50)),
        (nn.init.linear, 1 / math.sqrt(50)),
    ],
)
def test_uniform_initialisers_fill_their_range(initializer, bound):
    weights = drawn(initializer)
    assert max(map(abs, weights)) <= bound
    assert max(weights) > 0.99 * bound
    assert min(weights) < -0.99 * bound
    assert statistics.pstdev(weights) == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (nn.init.normal(1.0, 0.5), 0.5),
        (nn.init.xavier_normal(), math.sqrt(2 / 250)),
        (nn.init.kaiming_normal(), math.sqrt(2 / 50)),
    ],
)
def test_normal_initialisers_have_their_standard_deviation(initializer, deviation):
    assert statistics.pstdev(drawn(initializer)) == pytest.approx(deviation, rel=0.02)


def test_initialisers_have_the_standard_deviations_of_torch():
    torch = pytest.importorskip("torch")
    names = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal")
    for name in names:
        torch.manual_seed(0)
        theirs = getattr(torch.nn.init, name + "_")(torch.empty(200, 50, dtype=torch.float64))
        assert statistics.pstdev(drawn(getattr(nn.init, name)())) == pytest.approx(theirs.std().item(), rel=0.03)


def test_weights_may_be_given_as_numbers():
    layer = nn.Layer(2, 2, weight=[[1, 2], [3, 4]], bias=nn.init.constant(0.5))
    assert layer.state_dict() == {"weight": [[1, 2], [3, 4]], "bias": [0.5, 0.5]}


def test_an_embedding_is_trained_eagerly_and_says_why():
    model = nn.Sequential(nn.Embedding(3, 2, seed=0), nn.Layer(2, 1, seed=0))
    with pytest.warns(UserWarning, match="fit trains eagerly.*: Embedding takes an int, and compiled code has none"):
        history = nn.fit(model, [0, 1, 2], [1.0, 2.0, 3.0], nn.mse, nn.SGD(model.parameters()), 2, verbose=False)
    assert history["loss"][1] < history["loss"][0]


def test_embedding_gives_a_row():
    table = nn.Embedding(3, 2, weight=[[1, 2], [3, 4], [5, 6]])
    assert [x.data for x in table(1)] == [3, 4]
    assert list(table.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: nn.Layer(3, 2)([1.0, 2.0]), ValueError, "Layer expects 3 inputs, got 2"),
        (lambda: nn.Neuron(3)([1.0, 2.0]), ValueError, "Neuron expects 3 inputs, got 2"),
        (lambda: nn.Layer(2, 2)(["a", 1.0]), TypeError, "dot takes real numbers, got str 'a'"),
        (lambda: nn.Neuron(0), ValueError, "Neuron takes at least 1 input, got 0"),
        (lambda: nn.Neuron(-1), ValueError, "Neuron takes at least 1 input, got -1"),
        (lambda: nn.Neuron("2"), TypeError, "Neuron takes a whole number of inputs, got '2'"),
        (lambda: nn.Layer(2, 1.5), TypeError, "Layer takes whole numbers of inputs and outputs, got 1.5"),
        (lambda: nn.MLP(2, 3), TypeError, "MLP takes a list of layer sizes, got int"),
        (lambda: nn.MLP(2, "31"), TypeError, "MLP takes a list of layer sizes, got str"),
        (lambda: nn.MLP("2", [1]), TypeError, "MLP takes whole numbers of inputs and outputs, got '2'"),
        (lambda: nn.MLP(2, ["a"]), TypeError, "MLP takes whole numbers of inputs and outputs, got 'a'"),
        (lambda: nn.MLP(2.5, [1]), TypeError, "MLP takes whole numbers of inputs and outputs, got 2.5"),
        (lambda: nn.Layer(0, 2), ValueError, r"at least 1 input and 1 output, got Layer\(0, 2\)"),
        (lambda: nn.MLP(2, []), ValueError, r"MLP\(2, \[\]\) has no layers"),
        (lambda: nn.Sequential(), ValueError, "Sequential has no layers"),
        (lambda: nn.Sequential(nn.Layer(2, 2), "relu"), TypeError, "Sequential takes callables .* got 'relu'"),
        (lambda: nn.Layer(2, 2, "reul"), ValueError, "no activation is called 'reul': choose from elu, gelu"),
        (lambda: nn.Layer(2, 2, 3), TypeError, "an activation is a name, a function of one number or None, got 3"),
        (lambda: nn.Layer(2, 2, weight=[[1, 2]]), ValueError, r"Layer weight has shape \(2, 2\), .* shape \(1, 2\)"),
        (lambda: nn.Layer(2, 2, bias=[1]), ValueError, r"Layer bias has shape \(2,\), got \[1\] of shape \(1,\)"),
        (lambda: nn.Neuron(2, weight=[1]), ValueError, r"Neuron weight has shape \(2,\), got \[1\] of shape \(1,\)"),
        (lambda: nn.Neuron(2, weight=[1, math.nan]), ValueError, "Neuron weight takes finite numbers, got nan"),
        (lambda: nn.Layer(1, 1, weight=[["a"]]), TypeError, "Layer weight takes real numbers, got str 'a'"),
        (lambda: nn.Layer(1, 1, bias=[math.inf]), ValueError, "Layer bias takes finite numbers, got inf"),
        (lambda: nn.Layer(1, 1, weight=nn.init.constant(math.nan)), ValueError, "Layer weight takes finite .* got nan"),
        (lambda: nn.MLP(2, [1], "reul"), ValueError, "no activation is called 'reul': choose from elu, gelu"),
        (lambda: nn.Layer(2, 3)([[1, 2]] * 3), ValueError, "Layer expects 2 inputs, got 3: .* nn.predict"),
        (
            lambda: nn.Layer(2, 3, weight="kaiming"),
            ValueError,
            r"got 'kaiming' .*initialiser such as nn.init.normal\(\)",
        ),
        (lambda: nn.MLP(2, [3], weight=nn.init.normal), TypeError, r"Layer weight .*: write nn.init.normal\(...\)"),
        (lambda: nn.Layer(2, 3, weight=None), ValueError, "Layer weight .* got None .*initialiser such as"),
        (lambda: nn.Embedding(0, 2), ValueError, r"Embedding takes at least 1 row and 1 column, got Embedding\(0, 2\)"),
        (lambda: nn.Embedding(2, -1), ValueError, "Embedding takes at least 1 row and 1 column"),
        (lambda: nn.Embedding(2.0, 2), TypeError, "Embedding takes whole numbers of rows and columns, got 2.0"),
        (lambda: nn.Embedding(3, 2)(1.0), TypeError, "Embedding takes the number of a row, an int, got 1.0"),
        (lambda: nn.Embedding(3, 2)("x"), TypeError, "Embedding takes the number of a row, an int, got 'x'"),
        (lambda: nn.Embedding(3, 2)(3), IndexError, "Embedding has rows 0 to 2, got 3"),
        (lambda: nn.Module()(1), NotImplementedError, "Module has no __call__ method"),
        (lambda: nn.Layer(2, 1).load_state_dict(None), TypeError, "load_state_dict takes a dict, .* got NoneType"),
        (
            lambda: nn.Layer(1, 1).load_state_dict({"weight": [["1"]], "bias": [0]}),
            TypeError,
            "load_state_dict: weight takes real numbers, got str '1'",
        ),
        (
            lambda: nn.Layer(1, 1).load_state_dict({"weight": [[1]], "bias": [math.nan]}),
            ValueError,
            "load_state_dict: bias takes finite numbers, got nan",
        ),
        (lambda: nn.Layer(2, 1).load_state_dict({"bias": [0]}), ValueError, "the state has no weight; it has bias"),
        (
            lambda: nn.Layer(2, 1).load_state_dict({"weight": [[0, 0]], "bias": [0], "gain": 1}),
            ValueError,
            "there is no gain here; there is weight, bias",
        ),
        (
            lambda: nn.Layer(2, 1).load_state_dict({"weight": [[0, 0, 0]], "bias": [0]}),
            ValueError,
            r"weight has shape \(1, 2\), got \(1, 3\)",
        ),
    ],
)
def test_bad_input_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


@pytest.mark.parametrize("bias", [[9, 9], [math.nan]])
def test_a_refused_state_changes_nothing(bias):
    layer = nn.Layer(2, 1, seed=0)
    before = layer.state_dict()
    with pytest.raises(ValueError, match="load_state_dict: bias"):
        layer.load_state_dict({"weight": [[9, 9]], "bias": bias})
    assert layer.state_dict() == before


def test_one_neuron_without_a_bias_leaves_the_biases_of_the_others() -> None:
    layer = nn.Layer(2, 3, seed=1)
    layer.neurons[0].b = None
    for mode in (nullcontext(), no_grad()):
        with mode, pytest.raises(TypeError, match="dot takes real numbers, got NoneType"):
            layer([1.0, 2.0])


def test_layers_without_history_give_the_numbers_of_layers_with_it() -> None:
    for activation in (None, "tanh", "silu", "gelu", "elu", "leaky_relu", lambda z: z * z):
        for bias in (True, False):
            model = nn.MLP(2, [3, 2], activation, bias=bias, seed=1)
            for x in ([0.5, -1.5], (1, 0), [Value(0.5), 2]):
                recorded = model(x)
                with no_grad():
                    leaves = model(x)
                assert [y.data for y in leaves] == [y.data for y in recorded]
                assert all(y.op is None and y.args == () for y in leaves)
                assert all(y.op is not None for y in recorded)


# --- Parameters are walked again only where something changed --------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        self.body = nn.MLP(2, [3, 2], seed=0)
        self.extra = [Value(1.0), [Value(2.0), {"a": Value(3.0)}]]
        self.twice = self.body.layers[0]
        self.name = "net"

    def __call__(self, x):
        return self.body(x)


def fresh(module):
    """The parameters by a walk of the tree."""
    found = [p for _, array in module.named_parameters() for p in tree_leaves(array)]
    return list(dict.fromkeys(found))


CHANGES = {
    "a weight in a list": lambda net: net.body.layers[0].neurons[1].w.__setitem__(0, Value(9.0)),
    "a list of weights": lambda net: setattr(net.body.layers[1].neurons[0], "w", [Value(8.0) for _ in range(3)]),
    "the same list again": lambda net: setattr(net, "extra", list(net.extra)),
    "a bias": lambda net: setattr(net.body.layers[0].neurons[2], "b", Value(7.0)),
    "no bias": lambda net: [setattr(neuron, "b", None) for neuron in net.body.layers[1].neurons],
    "longer": lambda net: net.extra.append(Value(6.0)),
    "shorter": lambda net: net.extra.pop(),
    "swapped": lambda net: net.extra.reverse(),
    "in a dict": lambda net: net.extra[1][1].update(a=Value(5.0)),
    "another key": lambda net: net.extra[1][1].update(b=Value(5.0)),
    "a layer": lambda net: net.body.layers.__setitem__(1, nn.Layer(3, 2, seed=4)),
    "another layer": lambda net: net.body.layers.append(nn.Layer(2, 2, seed=4)),
    "a neuron": lambda net: net.body.layers[0].neurons.__setitem__(0, nn.Neuron(2, seed=3)),
    "a module": lambda net: setattr(net, "body", nn.MLP(2, [1], seed=5)),
    "a new attribute": lambda net: setattr(net, "more", Value(4.0)),
    "no attribute": lambda net: delattr(net, "extra"),
    "a frozen parameter": lambda net: setattr(net.body.layers[0].neurons[0], "b", 3.0),
    "a result": lambda net: net.extra.__setitem__(0, Value(1.0) * 2),
    "all attributes": lambda net: setattr(net, "__dict__", {"w": Value(1.0)}),
    "attributes of a part": lambda net: setattr(
        net.body.layers[0].neurons[0], "__dict__", {"w": [Value(1.0)], "b": None}
    ),
    "the class of a part": lambda net: setattr(net.twice, "__class__", Reversed),
    "a method": lambda net: setattr(net, "parts", lambda: [("w", net.extra)]),
    "another activation": lambda net: setattr(net.body.layers[0], "activation", None),
}


class Reversed(nn.Layer):
    def parts(self):
        return [("neurons", self.neurons[::-1])]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_parameters_are_those_of_the_tree_after_every_change(change):
    net = Net()
    assert net.parameters() == net.parameters() == fresh(net)
    assert len(net.parameters()) == 2 * 3 + 3 + 3 * 2 + 2 + 3
    change(net)
    assert net.parameters() == fresh(net)
    assert net.parameters() == fresh(net)
    if "extra" in vars(net):
        net.extra.insert(0, Value(0.5))
        assert net.parameters() == fresh(net)


def test_parts_of_a_user_defined_module_are_read_at_every_call():
    class Chosen(nn.Module):
        chosen = 0

        def parts(self):
            return [("w", weights[self.chosen])]

    weights = [[Value(0.0)], [Value(1.0), Value(2.0)]]
    chosen, outer = Chosen(), nn.Sequential(nn.Layer(1, 1, seed=0))
    outer.inner = chosen
    outer.layers.append(chosen)
    assert chosen.parameters() == weights[0]
    assert outer.parameters()[2:] == weights[0]
    Chosen.chosen = 1
    assert chosen.parameters() == weights[1]
    assert outer.parameters()[2:] == weights[1]


def test_each_call_of_parameters_gives_a_new_list():
    model = nn.MLP(2, [1], seed=0)
    model.parameters().clear()
    assert len(model.parameters()) == 3


def test_an_unchanged_model_is_not_walked_again(monkeypatch):
    model = nn.MLP(2, [3, 1], seed=0)
    expected = model.parameters()
    monkeypatch.setattr("nn.module._named", None)
    assert model.parameters() == expected
    model.zero_grad()


def test_copies_and_pickles_have_parameters_of_their_own():
    model = Net()
    model.parameters()
    for twin in copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert twin.parameters() == fresh(twin)
        assert set(twin.parameters()).isdisjoint(model.parameters())
        assert twin.state_dict() == model.state_dict()
    shallow = copy.copy(model)
    assert shallow.parameters() == model.parameters()
    shallow.extra = []
    assert shallow.parameters() == fresh(shallow) != model.parameters()


def test_a_model_is_freed_without_the_collector():
    model = Net()
    model.parameters()
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_a_wrapper_around_an_activation_gets_values():
    seen = []

    @wraps(ag.silu)
    def mine(x):
        seen.append(type(x))
        return x.tanh()

    layer = nn.Layer(2, 3, mine, seed=0)
    with ag.no_grad():
        quiet = layer([1.0, 2.0])
    assert [z.data for z in quiet] == [z.data for z in layer([1.0, 2.0])]
    assert set(seen) == {Value}


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_models_are_tables_in_notebooks():
    html = nn.MLP(2, [16, 1], seed=0)._repr_html_()
    assert html.count("<tr>") == 4
    assert '<th scope="col">layer</th>' in html
    assert '<td class="n">2 -&gt; 16</td>' in html
    assert '<td class="n">65</td>' in html
    assert '<td class="n">2 x 3</td>' in nn.Embedding(2, 3, seed=0)._repr_html_()
    summary = nn.MLP(2, [16, 1], seed=0).summary()
    assert summary._repr_html_() == html
    assert str(summary).splitlines()[-1].split() == ["total", "65"]


def test_a_model_that_cannot_be_shown_raises_no_error():
    class Broken(nn.Module):
        def parts(self):
            raise RuntimeError("not now")

    assert Broken()._repr_html_() is None
    assert nn.MLP.__new__(nn.MLP)._repr_html_() is None


def test_markup_in_a_name_is_text():
    def evil(x):
        return x

    evil.__name__ = "<script>alert(1)</script>"
    html = nn.Sequential(nn.Layer(1, 1, seed=0), evil)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
