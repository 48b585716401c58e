"""Neurons, layers of neurons, and layers one after another."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from autograd_lite.trees import tree_leaves
from nn import init
from nn.init import Initializer, Seed
from nn.module import Module, as_list, finite, parts_of_attributes, shape
from nn.tables import Table

Activation: TypeAlias = Callable[[Any], Any]  # a function of one number

ACTIVATIONS: dict[str, Activation] = {
    "elu": ag.elu,
    "gelu": ag.gelu,
    "leaky_relu": ag.leaky_relu,
    "relu": ag.relu,
    "sigmoid": ag.sigmoid,
    "silu": ag.silu,
    "sin": ag.sin,
    "softplus": ag.softplus,
    "tanh": ag.tanh,
}


class Neuron(Module):
    """activation(w . x + b): the weights `w`, a list of Values, and the bias `b`, a Value or None.

    The sum, bias and all, is one node of the graph: `dot` of (*w, b) and (*x, 1).
    """

    def __init__(
        self,
        nin: int,
        activation: str | Activation | None = None,
        bias: bool | float | Initializer = True,
        weight: Sequence[float] | Initializer = init.linear,
        seed: Seed = None,
    ) -> None:
        """A neuron of `nin` inputs. `weight` and `bias` are numbers, or initialisers that draw them with `seed`.

        A bias of True is drawn as the default weights are; with False there is none. ValueError if the numbers are not
        `nin` or not finite, or the activation is unknown.
        """
        _check_whole("Neuron takes a whole number of inputs", nin)
        if nin < 1:
            raise ValueError(f"Neuron takes at least 1 input, got {nin}")
        rng = init.generator(seed)
        self.activation = activation_named(activation)
        self.w = [Value(number) for number in _numbers("Neuron weight", weight, (nin,), rng, nin, 1)]
        self.b = None if bias is False else Value(_numbers("Neuron bias", _or_default(bias), (), rng, nin, 1))

    def __call__(self, x: Any) -> Any:
        """The neuron's output for a list of `nin` numbers or Values."""
        x, bias = _inputs("Neuron", x, len(self.w)), None if self.b is None else [self.b]
        return ag.matvec([self.w], x, bias, self.activation)[0]

    def __repr__(self) -> str:
        return f"Neuron({len(self.w)}{_options(self)})"


class Layer(Module):
    """`nout` neurons that see the same `nin` inputs. In PyTorch's terms a Linear, with an activation if one is named.

    `layer.neurons[0].w[1]` is the Value of one weight; the state has `weight` (nout x nin) and `bias` (nout).
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        activation: str | Activation | None = None,
        bias: bool | Sequence[float] | Initializer = True,
        weight: Sequence[Sequence[float]] | Initializer = init.linear,
        seed: Seed = None,
    ) -> None:
        """As a Neuron, with `nout` numbers for `bias` and `nout` rows of `nin` for `weight`, if they are given."""
        _check_whole("Layer takes whole numbers of inputs and outputs", nin, nout)
        if nin < 1 or nout < 1:
            raise ValueError(f"Layer takes at least 1 input and 1 output, got Layer({nin}, {nout})")
        rng = init.generator(seed)
        self.nin, self.nout = nin, nout
        self.activation = activation_named(activation)
        rows = _numbers("Layer weight", weight, (nout, nin), rng, nin, nout)
        biases = [False] * nout if bias is False else _numbers("Layer bias", _or_default(bias), (nout,), rng, nin, nout)
        self.neurons = [Neuron(nin, self.activation, b, w) for w, b in zip(rows, biases, strict=True)]

    @parts_of_attributes
    def parts(self) -> Iterator[tuple[str, Any]]:
        """`weight`, nout rows of nin Values, and `bias`, nout Values, if there is one."""
        yield "weight", [neuron.w for neuron in self.neurons]
        if self.neurons[0].b is not None:
            yield "bias", [neuron.b for neuron in self.neurons]

    def __call__(self, x: Any) -> Any:
        """The neurons' outputs for a list of `nin` numbers: a list, or of one neuron its number itself."""
        x, neurons = _inputs("Layer", x, self.nin), self.neurons
        biases = [neuron.b for neuron in neurons]
        none = biases[0] is None and {*biases} == {None}
        outputs = ag.matvec([neuron.w for neuron in neurons], x, None if none else biases, self.activation)
        return outputs if len(outputs) > 1 else outputs[0]

    def __repr__(self) -> str:
        return f"Layer({self.nin}, {self.nout}{_options(self)})"


Linear = Layer  # PyTorch's name for it


class Sequential(Module):
    """One callable after another: Modules, functions of a list (softmax, a lambda), and functions of one number.

    A function of one number (relu, and the others in ACTIVATIONS, and primitives of your own) is applied to each; any
    other callable is handed all that came before it. Parameters are named as in `torch.nn.Sequential`: a Layer
    with an activation takes two places, as a Linear and a ReLU do there.
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        """A TypeError if one of `layers` cannot be called, a ValueError if there are none."""
        if not layers:
            raise ValueError(f"{type(self).__name__} has no layers: give it at least one")
        for layer in layers:
            if not callable(layer):
                raise TypeError(f"Sequential takes callables (a Layer, relu, a lambda), got {layer!r}")
        self.layers = list(layers)

    @parts_of_attributes
    def parts(self) -> Iterator[tuple[str, Any]]:
        """The layers, each under its place."""
        place = 0
        for layer in self.layers:
            yield str(place), layer
            place += 2 if isinstance(layer, Layer) and layer.activation is not None else 1

    def __call__(self, x: Any) -> Any:
        """What the last layer makes of what the one before it made ... of `x`, a number or a list of numbers."""
        for layer in self.layers:
            each = isinstance(x, (list, tuple)) and takes_one_number(layer)
            x = [layer(item) for item in x] if each else layer(x)
        return x

    def summary(self) -> Table:
        """A table of the layers, their sizes, activations and numbers of parameters."""
        rows = [("place", "layer", "shape", "activation", "parameters")]
        for place, layer in self.parts():
            kind, size, activation, count = name_of(layer), "", "", 0
            if isinstance(layer, Module):
                kind, count = type(layer).__name__, len(layer.parameters())
            if isinstance(layer, Layer):
                size = f"{layer.nin} -> {layer.nout}"
                activation = name_of(layer.activation) if layer.activation else ""
            rows.append((place, kind, size, activation, f"{count:,}"))
        rows.append(("total", "", "", "", f"{len(self.parameters()):,}"))
        return Table(rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(name_of, self.layers))})"


class MLP(Sequential):
    """A multi-layer perceptron: `MLP(2, [16, 16, 1])` has two inputs, two hidden layers of 16, and one output."""

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str | Activation | None = "relu",
        output: str | Activation | None = None,
        bias: bool | Initializer = True,
        weight: Initializer = init.linear,
        seed: Seed = None,
    ) -> None:
        """`activation` is that of the hidden layers, `output` that of the last; the rest is as in Layer."""
        given: Any = nouts
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise TypeError(f"MLP takes a list of layer sizes, got {type(given).__name__}")
        _check_whole("MLP takes whole numbers of inputs and outputs", nin, *nouts)
        if not nouts:
            raise ValueError(f"MLP({nin}, []) has no layers: give the size of at least one")
        rng = init.generator(seed)
        activations = [activation] * (len(nouts) - 1) + [output]
        layers = zip([nin, *nouts[:-1]], nouts, activations, strict=True)
        super().__init__(*[Layer(n, m, f, bias, weight, rng) for n, m, f in layers])


class Embedding(Module):
    """A table of `num_embeddings` rows of `embedding_dim` Values, of which a call gives one."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        weight: Sequence[Sequence[float]] | Initializer = init.embedding,
        seed: Seed = None,
    ) -> None:
        """`weight` is numbers (num_embeddings x embedding_dim), or an initialiser; the default is PyTorch's N(0, 1)."""
        size, rng = (num_embeddings, embedding_dim), init.generator(seed)
        rows = _numbers("Embedding weight", weight, size, rng, *reversed(size))
        self.weight = [[Value(number) for number in row] for row in rows]

    def __call__(self, x: int) -> list[Value]:
        """Row `x` of the table; an IndexError if there is no such row."""
        if not 0 <= x < len(self.weight):
            raise IndexError(f"Embedding has rows 0 to {len(self.weight) - 1}, got {x}")
        return self.weight[x]

    def __repr__(self) -> str:
        return f"Embedding({len(self.weight)}, {len(self.weight[0])})"


def activation_named(activation: str | Activation | None) -> Activation | None:
    """The function called `activation`, or the function that it is; None stays None.

    ValueError for a name that is not in ACTIVATIONS, TypeError for something that is neither name nor function.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation is called {activation!r}: choose from {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[activation]
    if activation is not None and not callable(activation):
        raise TypeError(f"an activation is a name, a function of one number or None, got {activation!r}")
    return activation


def name_of(function: Any) -> str:
    """What to call a callable in a table: relu, <lambda>, Layer(2, 16)."""
    return repr(function) if isinstance(function, Module) else getattr(function, "__name__", repr(function))


def takes_one_number(function: Any) -> bool:
    """Whether this is a function of one number, to be applied to each of a list: an activation or a primitive."""
    known = not isinstance(function, Module) and function in ACTIVATIONS.values()
    return known or isinstance(function, type(ag.relu))


def _inputs(what: str, x: Any, nin: int) -> list[Any]:
    """The numbers in `x`, a number or a list of `nin`."""
    if type(x) is not list:
        x = as_list(x)
        x = list(x) if isinstance(x, Iterable) else [x]
    if len(x) != nin:
        raise ValueError(f"{what} expects {nin} inputs, got {len(x)}")
    numbers: list[Any] = x
    return numbers


def _numbers(what: str, given: Any, size: tuple[int, ...], rng: random.Random, nin: int, nout: int) -> Any:
    """Nested lists of shape `size` of what `given` draws or holds."""
    if callable(given):
        if not size:
            return finite(what, given(rng, nin, nout))
        return [_numbers(what, given, size[1:], rng, nin, nout) for _ in range(size[0])]
    given = as_list(given)
    if shape(given) != size:
        raise ValueError(f"{what} has shape {size}, got numbers of shape {shape(given)}")
    for number in tree_leaves(given):
        finite(what, number)
    return given


def _check_whole(what: str, *sizes: Any) -> None:
    """A TypeError that begins with `what` if one of `sizes` is not a whole number."""
    for size in sizes:
        if not isinstance(size, Integral):
            raise TypeError(f"{what}, got {size!r}")


def _or_default(bias: Any) -> Any:
    return init.linear if bias is True else bias


def _options(module: Neuron | Layer) -> str:
    return f", activation={name_of(module.activation)!r}" if module.activation else ""
