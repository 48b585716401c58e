"""Neurons, layers of neurons, and layers one after another."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import autograd_lite as ag
from autograd_lite import Value
from autograd_lite.trees import tree_leaves
from nn import init
from nn.init import Initializer, Seed
from nn.module import Inputs, Module, as_list, finite, parts_of_attributes, shape
from nn.tables import Table

Activation: TypeAlias = Callable[[Value], Value]  # a function of one number

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
    """A neuron: activation(w . x + b) with its weights `w`, a list of Values, and its bias `b`, a Value or None.

    The sum with the bias is one node of the graph: `dot` of (*w, b) and (*x, 1).

    >>> neuron = Neuron(2, "relu", weight=[0.5, -1.0], bias=0.25)
    >>> neuron([3.0, 1.0]).data
    0.75
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

        A bias of True is drawn like the default weights, False means no bias. `activation` is a name in ACTIVATIONS, a
        function of one number, or None. A ValueError if there are not `nin` finite weights or the name is unknown, a
        TypeError if an argument has the wrong type.
        """
        _check_whole("Neuron takes a whole number of inputs", nin)
        if nin < 1:
            raise ValueError(f"Neuron takes at least 1 input, got {nin}")
        rng = init.generator(seed)
        self.activation = activation_named(activation)
        self.w = [Value(number) for number in _numbers("Neuron weight", weight, (nin,), rng, nin, 1)]
        self.b = None if bias is False else Value(_numbers("Neuron bias", _or_default(bias), (), rng, nin, 1))

    def __call__(self, x: Inputs) -> Value:
        """The output for a list of `nin` numbers or Values; a ValueError for a list of another length."""
        x, bias = _inputs("Neuron", x, len(self.w)), None if self.b is None else [self.b]
        output: Value = ag.matvec([self.w], x, bias, self.activation)[0]
        return output

    def __repr__(self) -> str:
        return f"Neuron({len(self.w)}{_options(self)})"


class Layer(Module):
    """`nout` neurons with the same `nin` inputs: PyTorch's Linear, followed by an activation if one is given.

    `layer.neurons[0].w[1]` is the Value of one weight; the state has `weight` (nout x nin) and `bias` (nout).

    >>> layer = Layer(2, 3, "tanh", seed=0)
    >>> len(layer([1.0, 2.0])), len(layer.parameters())
    (3, 9)
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
        """The arguments of Neuron, with `nout` numbers as `bias` and `nout` rows of `nin` numbers as `weight`."""
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
        """`weight`, nout rows of nin Values, and, unless the layer has none, `bias`, nout Values."""
        yield "weight", [neuron.w for neuron in self.neurons]
        if self.neurons[0].b is not None:
            yield "bias", [neuron.b for neuron in self.neurons]

    def __call__(self, x: Inputs) -> Any:  # a list of `nout` Values, or a Value if `nout` is 1
        """The outputs for a list of `nin` numbers or Values: a list of `nout` Values, or one Value if `nout` is 1.

        A ValueError if there are not `nin` inputs.
        """
        x, neurons = _inputs("Layer", x, self.nin), self.neurons
        biases = [neuron.b for neuron in neurons]
        none = biases[0] is None and {*biases} == {None}
        outputs = ag.matvec([neuron.w for neuron in neurons], x, None if none else biases, self.activation)
        return outputs if len(outputs) > 1 else outputs[0]

    def __repr__(self) -> str:
        return f"Layer({self.nin}, {self.nout}{_options(self)})"


Linear = Layer  # PyTorch's name for it


class Sequential(Module):
    """Callables in a chain: Modules, functions of a list (softmax, a lambda), and functions of one number.

    A function of one number (one in ACTIVATIONS, or any primitive, such as `exp` or one of your own) is applied to each
    number of a list; any other callable gets the whole output of the one before. Parameters are named as in
    `torch.nn.Sequential`: a Layer with an activation takes two places, like a Linear and a ReLU there.

    >>> model = Sequential(Layer(2, 3, seed=0), ag.tanh, Layer(3, 1, seed=1))
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        """The chain of `layers`; a TypeError if one of them cannot be called, a ValueError if there are none."""
        if not layers:
            raise ValueError(f"{type(self).__name__} has no layers: give it at least one")
        for layer in layers:
            if not callable(layer):
                raise TypeError(f"Sequential takes callables (a Layer, relu, a lambda), got {layer!r}")
        self.layers = list(layers)

    @parts_of_attributes
    def parts(self) -> Iterator[tuple[str, Any]]:
        """The layers, named by their places."""
        place = 0
        for layer in self.layers:
            yield str(place), layer
            place += 2 if isinstance(layer, Layer) and layer.activation is not None else 1

    def __call__(self, x: Any) -> Any:  # what the last layer returns
        """The output of the last layer, where the first layer gets `x` and every other the output before it."""
        for layer in self.layers:
            each = isinstance(x, (list, tuple)) and takes_one_number(layer)
            x = [layer(item) for item in x] if each else layer(x)
        return x

    def summary(self) -> Table:
        """A table of the layers, their sizes, activations and numbers of parameters."""
        rows = [("path", "layer", "shape", "activation", "parameters")]
        for i, layer in enumerate(self.layers):
            kind, size, activation, count = name_of(layer), "", "", 0
            if isinstance(layer, Module):
                kind, count = type(layer).__name__, len(layer.parameters())
            if isinstance(layer, Layer):
                size = f"{layer.nin} -> {layer.nout}"
                activation = name_of(layer.activation) if layer.activation else ""
            rows.append((f"layers.{i}", kind, size, activation, f"{count:,}"))
        rows.append(("total", "", "", "", f"{len(self.parameters()):,}"))
        return Table(rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(name_of, self.layers))})"


class MLP(Sequential):
    """A multi-layer perceptron: `MLP(2, [16, 16, 1])` has two inputs, two hidden layers of 16, and one output.

    >>> model = MLP(2, [16, 16, 1], seed=0)
    >>> len(model.parameters())
    337
    """

    layers: list[Layer]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

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
        """`activation` is for the hidden layers, `output` for the last one; the other arguments are as for Layer."""
        given: Any = nouts
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise TypeError(f"MLP takes a list of layer sizes, got {type(given).__name__}")
        _check_whole("MLP takes whole numbers of inputs and outputs", nin, *nouts)
        if not nouts:
            raise ValueError(f"MLP({nin}, []) has no layers: give the size of at least one")
        rng = init.generator(seed)
        activation = activation_named(activation)
        activations = [activation] * (len(nouts) - 1) + [output]
        layers = zip([nin, *nouts[:-1]], nouts, activations, strict=True)
        super().__init__(*[Layer(n, m, f, bias, weight, rng) for n, m, f in layers])


class Embedding(Module):
    """A table of `num_embeddings` rows of `embedding_dim` Values; a call gives one row.

    >>> [z.data for z in Embedding(2, 3, weight=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])(1)]
    [4.0, 5.0, 6.0]
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        weight: Sequence[Sequence[float]] | Initializer = init.embedding,
        seed: Seed = None,
    ) -> None:
        """`weight` is numbers (num_embeddings x embedding_dim), or an initialiser; the default is PyTorch's N(0, 1).

        A TypeError if a size is not a whole number, a ValueError if it is less than 1.
        """
        _check_whole("Embedding takes whole numbers of rows and columns", num_embeddings, embedding_dim)
        if num_embeddings < 1 or embedding_dim < 1:
            raise ValueError(
                f"Embedding takes at least 1 row and 1 column, got Embedding({num_embeddings}, {embedding_dim})"
            )
        size, rng = (num_embeddings, embedding_dim), init.generator(seed)
        rows = _numbers("Embedding weight", weight, size, rng, *reversed(size))
        self.weight = [[Value(number) for number in row] for row in rows]

    def __call__(self, x: int) -> list[Value]:
        """The row number `x` of the table; an IndexError if the table has fewer rows, a TypeError if `x` is no int."""
        row: Any = x
        if isinstance(row, Value) and type(row) is not Value:  # a traced Value
            raise ag.CompileError(
                "Embedding takes an int, and compiled code has none: to compile it, "
                "give one-hot rows to a Layer without a bias"
            )
        if not isinstance(row, Integral):
            raise TypeError(f"Embedding takes the number of a row, an int, got {x!r:.60}")
        if not 0 <= x < len(self.weight):
            raise IndexError(f"Embedding has rows 0 to {len(self.weight) - 1}, got {x}")
        return self.weight[x]

    def __repr__(self) -> str:
        return f"Embedding({len(self.weight)}, {len(self.weight[0])})"


def activation_named(activation: str | Activation | None) -> Activation | None:
    """The function in ACTIVATIONS for a name; a function or None unchanged.

    A ValueError for an unknown name, a TypeError for anything else.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation is called {activation!r}: choose from {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[activation]
    if activation is not None and not callable(activation):
        raise TypeError(f"an activation is a name, a function of one number or None, got {activation!r}")
    return activation


def name_of(function: Any) -> str:
    """The name of a callable in a table: relu, <lambda>, Layer(2, 16)."""
    return repr(function) if isinstance(function, Module) else getattr(function, "__name__", repr(function))


def layers_of(part: Any, name: str) -> Iterator[tuple[str, Layer | Neuron]]:
    """The Layers inside a model, and Neurons outside of Layers, each with its place, in order."""
    if isinstance(part, (Layer, Neuron)):
        yield name or "model", part
    elif isinstance(part, (Module, Mapping, list, tuple)):
        items: Any = vars(part).items() if isinstance(part, Module) else None
        items = part.items() if isinstance(part, Mapping) else items
        for key, item in enumerate(part) if items is None else items:  # type: ignore[arg-type]
            yield from layers_of(item, f"{name}.{key}" if name else str(key))


def takes_one_number(function: Any) -> bool:
    """True if `function` is to be applied to each number of a list: an activation of ACTIVATIONS, or a primitive."""
    known = not isinstance(function, Module) and function in ACTIVATIONS.values()
    return known or isinstance(function, type(ag.relu))


def _inputs(what: str, x: Any, nin: int) -> list[Any]:
    """`x`, a number or a list of `nin`, as a list; a ValueError if the length is another one."""
    if type(x) is not list:
        x = as_list(x)
        x = list(x) if isinstance(x, Iterable) else [x]
    if len(x) != nin:
        many = x and isinstance(x[0], (list, tuple))
        remedy = ": it takes one row, so for many rows use nn.predict, or a loop over them" if many else ""
        raise ValueError(f"{what} expects {nin} inputs, got {len(x)}{remedy}")
    numbers: list[Any] = x
    return numbers


def _numbers(what: str, given: Any, size: tuple[int, ...], rng: random.Random, nin: int, nout: int) -> Any:
    """Nested lists of shape `size` with the numbers that `given` holds, or draws if it is an initialiser."""
    name = getattr(given, "__name__", "")
    if name and getattr(init, name, None) is given:
        raise TypeError(f"{what} takes an initialiser, which a call makes: write nn.init.{name}(...)")
    if callable(given):
        if not size:
            return finite(what, given(rng, nin, nout))
        return [_numbers(what, given, size[1:], rng, nin, nout) for _ in range(size[0])]
    given = as_list(given)
    if shape(given) != size:
        raise ValueError(
            f"{what} has shape {size}, got {given!r:.60} of shape {shape(given)}: "
            "give numbers of this shape, or an initialiser such as nn.init.normal()"
        )
    for number in tree_leaves(given):
        finite(what, number)
    return given


def _check_whole(what: str, *sizes: Any) -> None:
    """Raise a TypeError that begins with `what` if one of `sizes` is not a whole number."""
    for size in sizes:
        if not isinstance(size, Integral):
            raise TypeError(f"{what}, got {size!r}")


def _or_default(bias: Any) -> Any:
    return init.linear if bias is True else bias


def _options(module: Neuron | Layer) -> str:
    return f", activation={name_of(module.activation)!r}" if module.activation else ""
