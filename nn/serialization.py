"""Saving and loading models and trainings: safetensors, which PyTorch reads too, and readable JSON. Never pickle.

A file holds the model's numbers under PyTorch's names, and beside them one description: the format's version, the
architecture, and if they were given the state of the optimiser and the history. In a safetensors file the description
is its metadata, so that `torch.nn.Sequential(...).load_state_dict(safetensors.torch.load_file(path))` finds what it
expects and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, overload

import autograd_lite as ag
from autograd_lite.files import write_whole
from autograd_lite.trees import tree_leaves
from nn import init
from nn.data import Row
from nn.history import History
from nn.layers import MLP, Activation, Embedding, Layer, Neuron, Sequential, name_of
from nn.module import Module, all_finite, as_list, shape
from nn.optim import Optimizer

FORMAT, VERSION = "autograd-lite", 1
M = TypeVar("M", bound=Module)


def save(model: Module, path: str | Path, optimizer: Optimizer | None = None, history: History | None = None) -> None:
    """Write `model`, and the optimizer and history with which a training continues, to a .safetensors or .json file.

    The file is complete afterwards, or after an error as it was before. ValueError for another suffix, or if a
    parameter or a number of the optimizer is not finite; OSError if the path cannot be written. NaN and infinities in
    the history are written as Python's json writes them.

    >>> import nn
    >>> nn.save(nn.MLP(2, [3, 1], seed=0), "model.json")
    >>> nn.load("model.json")
    MLP(Layer(2, 3, activation='relu'), Layer(3, 1))
    """
    if not isinstance(model, Module):
        raise TypeError(f"save takes a Module and then the path of the file, got {type(model).__name__} first")
    path, state = _path(path, "save"), model.state_dict()
    for name, array in state.items():
        if not all_finite(tree_leaves(array)):
            raise ValueError(f"save: {name} is not finite: nothing was written to {path}")
    description = {"format": FORMAT, "version": VERSION, "architecture": architecture(model)}
    if optimizer is not None:
        description["optimizer"] = settings = optimizer.state_dict()
        for name, column in {"lr": [settings["lr"]], **settings["state"]}.items():
            if not all_finite(column):
                raise ValueError(f"save: {name} of the optimizer is not finite: nothing was written to {path}")
    if history is not None:
        description["history"] = history.rows
    if path.suffix == ".json":
        content = f"{_readable(description | {'state': state})}\n".encode()
    else:
        np, safetensors = _safetensors("save")
        arrays = {name: np.asarray(array, dtype=np.float64) for name, array in state.items()}
        content = safetensors.numpy.save(arrays, metadata={FORMAT: json.dumps(description)})
    write_whole(path, content, "save")


@overload
def load(path: str | Path, model: M, optimizer: Optimizer | None = None, history: History | None = None) -> M: ...
@overload
def load(
    path: str | Path, model: None = None, optimizer: Optimizer | None = None, history: History | None = None
) -> Module: ...
def load(
    path: str | Path,
    model: Module | None = None,
    optimizer: Optimizer | None = None,
    history: History | None = None,
) -> Module:
    """The model in the file at `path`: a new one, or `model` with the numbers of the file.

    An `optimizer` and a `history` get the state that was saved. FileNotFoundError if the file is missing;
    ValueError if it is damaged, was not written by `save`, has another version, another architecture than `model`, or
    no optimizer or history; `model`, `optimizer` and `history` are then as they were. A model with classes or functions
    of your own cannot be built from a file: build it and give it as `model`.

    >>> import nn
    >>> model = nn.MLP(2, [3, 1], seed=0)
    >>> nn.save(model, "model.json")
    >>> nn.load("model.json").state_dict() == model.state_dict()
    True
    """
    path = _path(path, "load")
    description, state = _read(path)
    if description.get("format") != FORMAT or "architecture" not in description:
        raise ValueError(f"load: {path} was not written by nn.save")
    if description.get("version") != VERSION:
        raise ValueError(f"load: {path} has version {description.get('version')!r:.60}, this is version {VERSION}")
    for name, wanted in {"optimizer": optimizer, "history": history}.items():
        if wanted is not None and name not in description:
            raise ValueError(f"load: {path} has no {name}: it was saved without")
    described = description["architecture"]
    if model is None:
        _check_buildable(described)
        _check_shapes(path, described, state)
        target: Module = _build(described)
    elif architecture(model) != described:
        raise ValueError(
            f"load: {path} has another architecture, {_in_short(described)}, "
            f"than the model, {_in_short(architecture(model))}"
        )
    else:
        target = model
    rows = _history_rows(path, description["history"]) if history is not None else []
    before = [(p, p.data) for p in target.parameters()]
    try:
        target.load_state_dict(state)
        if optimizer is not None:
            optimizer.load_state_dict(description["optimizer"])
    except (TypeError, ValueError) as error:
        for p, number in before:
            p.data = number
        raise ValueError(f"load: {path}: {error}") from error
    if history is not None:
        history.rows = rows
    return target


def architecture(model: Any) -> Any:
    """The layers of `model` and their sizes, in names, numbers and lists; for your own classes name and shapes."""
    kind: dict[str, Any] = {"class": type(model).__name__}
    if type(model) in (MLP, Sequential):
        return kind | {"layers": [architecture(layer) for layer in model.layers]}
    if type(model) is Layer:
        bias = model.neurons[0].b is not None
        return kind | {"nin": model.nin, "nout": model.nout, "activation": _name(model.activation), "bias": bias}
    if type(model) is Neuron:
        return kind | {"nin": len(model.w), "activation": _name(model.activation), "bias": model.b is not None}
    if type(model) is Embedding:
        return kind | {"num_embeddings": len(model.weight), "embedding_dim": len(model.weight[0])}
    if isinstance(model, Module):
        shapes = {name: list(shape(array) or ()) for name, array in model.named_parameters()}
        return kind | {"shapes": shapes}
    return _name(model)


_SIZES = {"Layer": ("nin", "nout"), "Neuron": ("nin",), "Embedding": ("num_embeddings", "embedding_dim")}


def _check_buildable(described: Any) -> None:
    """A ValueError unless `described` has the form that `architecture` gives to models of nn's own classes."""
    if isinstance(described, str):
        _function(described)
        return
    kind = described.get("class") if isinstance(described, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"load: the description of the architecture is damaged: {described!r:.60}")
    if kind in ("MLP", "Sequential"):
        layers = described.get("layers")
        if not isinstance(layers, list) or not layers:
            raise ValueError(f"load: the description of the {kind} is damaged: its layers are {layers!r:.60}")
        for layer in layers:
            _check_buildable(layer)
        return
    if kind not in _SIZES:
        raise ValueError(
            f"load cannot make a {kind:.60}, a class of your own: build it, and load(path, model) its numbers"
        )
    for name in _SIZES[kind]:
        size = described.get(name)
        if type(size) is not int or size < 1:
            raise ValueError(f"load: the description of the {kind} is damaged: its {name} is {size!r:.60}")
    if kind != "Embedding":
        bias = described.get("bias")
        if type(bias) is not bool:
            raise ValueError(f"load: the description of the {kind} is damaged: its bias is {bias!r:.60}")
        if (activation := described.get("activation")) is not None:
            _function(activation)


def _check_shapes(path: Path, described: Any, state: dict[str, Any]) -> None:
    """A ValueError unless `state` has the arrays of the model that `described` describes, before that is built."""
    expected = dict(_shapes(described, ""))
    found = {name: shape(as_list(array)) for name, array in state.items()}
    if found != expected:
        wrong = next(name for name in (*expected, *found) if expected.get(name) != found.get(name))
        raise ValueError(
            f"load: {path} is damaged: the architecture has {wrong:.60} with the shape {expected.get(wrong)}, "
            f"the numbers have {found.get(wrong)}"
        )


def _shapes(described: Any, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The name and shape of each array in the state of the model that `described` describes."""
    if isinstance(described, str):
        return
    kind = described["class"]
    if kind in ("MLP", "Sequential"):
        place = 0
        for layer in described["layers"]:
            yield from _shapes(layer, f"{prefix}{place}.")
            is_layer = isinstance(layer, dict) and layer["class"] == "Layer"
            place += 2 if is_layer and layer.get("activation") is not None else 1
        return
    size = tuple([described[name] for name in _SIZES[kind]])
    if kind == "Embedding":
        yield f"{prefix}weight", size
        return
    yield (f"{prefix}w" if kind == "Neuron" else f"{prefix}weight"), size[::-1]
    if described["bias"]:
        yield (f"{prefix}b" if kind == "Neuron" else f"{prefix}bias"), size[1:]


def _build(described: Any) -> Any:
    """The model that `described`, which was checked, describes; all its numbers are 0."""
    if isinstance(described, str):
        return _function(described)
    kind = described["class"]
    if kind in ("MLP", "Sequential"):
        model = Sequential.__new__(MLP if kind == "MLP" else Sequential)
        Sequential.__init__(model, *[_build(layer) for layer in described["layers"]])
        return model
    settings = {name: described[name] for name in _SIZES[kind]}
    if kind != "Embedding":
        activation = described.get("activation")
        settings |= {"activation": activation and _function(activation), "bias": described["bias"]}
    classes: dict[str, Any] = {"Layer": Layer, "Neuron": Neuron, "Embedding": Embedding}
    return classes[kind](**settings, weight=init.constant(0.0))


def _history_rows(path: Path, rows: Any) -> list[Row]:
    """The rows of a saved history; a ValueError if one is not a dict of numbers with an epoch and a loss."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"load: the history in {path} is damaged: {rows!r:.60}")
    for i, row in enumerate(rows):
        if not {"epoch", "loss"} <= row.keys():
            raise ValueError(f"load: the history in {path} is damaged: row {i} has the columns {[*row]!r:.60}")
        if wrong := [x for x in row.values() if type(x) not in (int, float)]:
            raise ValueError(f"load: the history in {path} is damaged: row {i} has {wrong[0]!r:.60}")
    return rows


def _function(name: Any) -> Activation:
    """The public function of this name that may be a layer or an activation."""
    function: Any = getattr(ag, name, None) if isinstance(name, str) and name in ag.__all__ else None
    if function is None or isinstance(function, (type, ModuleType)):
        raise ValueError(
            f"load cannot make the function {name!s:.60}, one of your own: "
            "build the model, and load(path, model) its numbers"
        )
    activation: Activation = function
    return activation


def _name(function: Any) -> str | None:
    """The name of a function; with its module if a public function has that name, so that `load` makes neither."""
    if function is None:
        return None
    name = name_of(function)
    if getattr(ag, name, function) is function:
        return name
    return f"{getattr(function, '__module__', type(function).__module__)}.{name}"


def _in_short(described: Any) -> str:
    """An architecture on one line, which may be damaged."""
    if not isinstance(described, dict):
        return f"{described!s:.60}"
    if isinstance(described.get("layers"), list):
        return f"{described.get('class')!s:.60}({', '.join(map(_in_short, described['layers'][:20]))})"
    settings = [f"{x!s:.60}" for name, x in described.items() if name not in ("class", "bias", "shapes")]
    return f"{described.get('class')!s:.60}({', '.join(settings)})"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description and the numbers in the file; a ValueError if it cannot be read."""
    if not path.exists():
        raise FileNotFoundError(f"load: there is no {path}")
    if path.suffix == ".json":
        try:
            description = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"load: {path} is damaged or no JSON: {error}") from error
        if not isinstance(description, dict) or not isinstance(description.get("state"), dict):
            raise ValueError(f"load: {path} was not written by nn.save")
        return description, description["state"]
    _, safetensors = _safetensors("load")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            state = {}
            for name in file.keys():  # noqa: SIM118
                kind = file.get_slice(name).get_dtype()
                if kind not in ("F64", "F32", "F16"):
                    raise ValueError(f"{name:.60} has numbers of the kind {kind}")
                state[name] = file.get_tensor(name)
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"load: {path} is damaged or no safetensors file: {error}") from error
    if not isinstance(description, dict):
        raise ValueError(f"load: {path} was not written by nn.save")
    return description, state


def _readable(data: Any, indent: str = "") -> str:
    """JSON with a line for each entry of a dict, and for each row of a matrix."""
    inner = indent + "  "
    if isinstance(data, dict) and data:
        entries = [f"{inner}{json.dumps(name)}: {_readable(item, inner)}" for name, item in data.items()]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if isinstance(data, list) and data and isinstance(data[0], (dict, list)):
        return "[\n" + ",\n".join(inner + json.dumps(row) for row in data) + f"\n{indent}]"
    return json.dumps(data)


def _path(path: Any, what: str) -> Path:
    """`path` as a Path; an error that names `what` if it is none, or not that of a .safetensors or .json file."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{what} takes the path of a file, got {type(path).__name__}")
    if Path(path).suffix not in (".safetensors", ".json"):
        raise ValueError(f"{what} knows .safetensors and .json files, got {path}")
    return Path(path)


def _safetensors(what: str) -> tuple[Any, Any]:
    """NumPy and safetensors; an ImportError that says what to install."""
    try:
        import numpy as np
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f"{what} of a .safetensors file takes safetensors: pip install 'autograd-lite[save]', or use .json"
        ) from error
    return np, safetensors
