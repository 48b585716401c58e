"""Names of values: paths in modules, inputs, names that the user assigns, and scopes."""

import copy
import doctest
import gc
import pickle

import pytest

import nn
from autograd_lite import (
    Value,
    detect_anomaly,
    draw,
    explain,
    grad,
    jit,
    name_values,
    names_of,
    naming,
    no_grad,
    register_owner,
    scope,
    to_latex,
    to_mermaid,
    to_text,
    topological_order,
)


def names_under(*roots):
    return set(names_of(topological_order(*roots)).values())


class Net(nn.Module):
    def __init__(self):
        self.heads = {"left": nn.Neuron(2, seed=1), "right": [nn.Neuron(2, seed=2)]}
        self.scale = Value(1.0)

    def __call__(self, x):
        return self.heads["left"](x) * self.heads["right"][0](x) * self.scale


def test_a_parameter_is_known_by_its_path_from_the_outermost_module():
    model = nn.MLP(2, [4, 1], seed=1)
    names = names_of(topological_order(model([1.0, 2.0])))
    assert names[model.layers[0].neurons[3].w[1]] == "layers.0.neurons.3.w.1"
    assert names[model.layers[1].neurons[0].b] == "layers.1.neurons.0.b"
    assert len(names) == len(model.parameters())


def test_paths_go_through_dicts_and_lists_of_modules():
    net = Net()
    y = net([1.0, 2.0])
    assert names_under(y) == {
        "heads.left.w.0", "heads.left.w.1", "heads.left.b",
        "heads.right.0.w.0", "heads.right.0.w.1", "heads.right.0.b", "scale",
    }  # fmt: skip
    del net
    assert names_under(y) == set()


def test_a_label_takes_precedence_over_the_path():
    neuron = nn.Neuron(2, seed=1)
    neuron.w[0].label = "slope"
    assert names_under(neuron([1.0, 2.0])) == {"slope", "w.1", "b"}


def test_inputs_that_are_values_are_numbered():
    neuron, x = nn.Neuron(3, seed=1), [Value(1.0), Value(2.0, label="age"), Value(3.0)]
    assert names_under(neuron(x)) == {"w.0", "w.1", "w.2", "b", "x0", "age", "x2"}


def test_parameters_of_several_modules_carry_the_name_of_their_module():
    first, second = nn.Neuron(1, seed=1), nn.Neuron(1, seed=2)
    y = first([1.0]) + second([1.0])
    assert names_under(y) == {"Neuron#1.w.0", "Neuron#1.b", "Neuron#2.w.0", "Neuron#2.b"}
    name_values(actor=first, critic=second)
    assert names_under(y) == {"actor.w.0", "actor.b", "critic.w.0", "critic.b"}
    assert names_under(first([1.0])) == {"w.0", "b"}


def test_modules_that_hold_each_other_and_lists_that_hold_themselves_are_searched_once():
    class Twin(nn.Module):
        def __init__(self):
            self.w, self.other, self.knot = Value(1.0), None, []
            self.knot.append(self.knot)

    left, right = Twin(), Twin()
    left.other, right.other = right, left
    assert names_under(left.w * right.w) == {"w", "other.w"}


def test_copied_and_unpickled_modules_have_names_of_their_own():
    model = nn.Neuron(1, seed=1)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert names_under(other([1.0])) == {"w.0", "b"}


def test_a_module_without_super_init_has_names_and_is_freed():
    gc.collect()
    before = len(naming._owners)
    net = Net()
    assert len(naming._owners) == before + 3
    del net
    gc.collect()
    assert len(naming._owners) == before


def test_any_object_can_be_an_owner():
    class Spring:
        def __init__(self):
            self.stiffness = Value(3.0)
            register_owner(self)

    spring = Spring()
    assert names_under(spring.stiffness * 2) == {"stiffness"}


def test_assigned_names_become_labels():
    a, x, config = Value(1.0), [Value(2.0), [Value(3.0)]], {"rate": Value(4.0), "name": "adam"}
    b = alias = Value(5.0, label="mine")
    _hidden = Value(6.0)
    name_values(locals())
    assert [v.label for v in (a, x[0], x[1][0], config["rate"], b, _hidden)] == [
        "a",
        "x0",
        "x1.0",
        "config.rate",
        "mine",
        "",
    ]
    assert alias is b
    with pytest.raises(TypeError, match=r"name_values takes a dict of names, such as locals\(\), got Value"):
        name_values(a)


def test_texts_and_messages_name_parameters_by_their_path():
    model, x = nn.MLP(2, [2, 1], seed=1), [Value(1.0), Value(-1.0)]
    y = model(x)
    y.backward()
    for text in (to_text(y), to_mermaid(y), to_latex(y), str(explain(y, model.layers[0].neurons[1].w[1]))):
        assert "layers.0.neurons.1.w.1" in text.replace("#46;", ".")
    assert "x0" in to_text(y)
    assert "d relu" not in str(explain(y, x[0]))
    assert "/ d x0" in str(explain(y, x[0]))


# Scopes


def test_a_scope_is_noted_on_the_nodes_that_are_recorded_in_it():
    x = Value(2.0)
    with scope("block"):
        a = x * x
        with scope("attention"):
            b = a.exp()
        c = a + b
    d = c * 2
    assert [getattr(v, "scope", None) for v in (a, b, c, d)] == ["block", "block.attention", "block", None]
    d.backward()
    assert x.grad == pytest.approx(2 * (4 + 4 * 54.598150033144236))


def test_a_scope_decorates_a_function_and_costs_nothing_where_none_is_open():
    @scope("square")
    def square(x):
        return x * x

    assert square(Value(3.0)).scope == "square"
    assert type(Value(3.0) * 2) is Value


def test_a_scope_combines_with_no_grad_detect_anomaly_jit_and_derivatives():
    x = Value(3.0)
    with scope("s"), no_grad():
        assert (x * x).args == ()
    with no_grad(), scope("s"):
        assert (x * x).args == ()
    with detect_anomaly(), scope("s"):
        z = x * x
    assert z.scope == "s"
    assert z.site.file == __file__
    with scope("s"), detect_anomaly():
        z = x * x
    assert z.scope == "s"
    assert z.site.file == __file__

    @jit
    def f(x):
        with scope("s"):
            return x * x

    assert f(3.0) == 9.0
    with scope("s"):
        assert grad(grad(lambda v: v * v * v))(2.0) == 12.0
    assert pickle.loads(pickle.dumps(z)).data == 9.0


def test_a_picture_groups_by_scope():
    x = [Value(float(i), label=f"v{i}") for i in range(3)]
    with scope("encoder"):
        h = [a.exp() * a + a.sin() for a in x for _ in range(20)]
    with scope("decoder"):
        y = h[0]
        for v in h[1:]:
            y = (y + v).tanh()
    source = draw(y, detail="model").source
    assert source.count("<B>encoder</B>") == source.count("<B>decoder</B>") == 1
    assert "<B>encoder</B>" in draw(y, detail="model", expand="encoder").source


@pytest.mark.parametrize(("name", "error"), [(3, TypeError), ("", ValueError), ("a.b", ValueError)])
def test_a_scope_without_a_name_is_refused(name, error):
    with pytest.raises(error, match=r"scope takes a name"):
        scope(name)


def test_names_of_parameters_and_of_unpacked_variables_are_read_from_the_source():
    def step(state, force, *rest, key=1):
        first = rest
        (position, speed), time = first, force
        position, speed = state
        return position, speed, time

    def nested(state):
        (a, b), c = state
        return a, b, c

    def starred(state):
        a, *b = state
        return a, b

    assert naming.parameter_names(step, 3) == ["state", "force", "x2"]
    assert naming.parameter_names(min, 2) == ["x0", "x1"]
    assert naming.unpacked_names(step, "state") == {"[0]": "position", "[1]": "speed"}
    for function in (nested, starred, lambda state: state[0], min):
        assert naming.unpacked_names(function, "state") == {}


def test_examples_in_docstrings_are_true():
    assert doctest.testmod(naming).failed == 0
