"""Saving and loading models and trainings: safetensors, which PyTorch reads too, and readable JSON. Never pickle.

A file holds the model's numbers under PyTorch's names, and beside them one description: the format's version, the
architecture, and if they were given the state of the optimiser and the history. In a safetensors file the description
is its metadata, so that `torch.nn.Sequential(...).load_state_dict(safetensors.torch.load_file(path))` finds what it
expects and nothing else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import autograd_lite as ag
from autograd_lite.trees import tree_leaves
from nn import init
from nn.history import History
from nn.layers import MLP, Activation, Embedding, Layer, Neuron, Sequential, name_of
from nn.module import Module, all_finite, shape
from nn.optim import Optimizer

FORMAT, VERSION = "autograd-lite", 1


def save(model: Module, path: str | Path, optimizer: Optimizer | None = None, history: History | None = None) -> None:
    """Write `model`, and what a training needs to go on, to `path`: a .safetensors or a .json file.

    The file is there as a whole or, after an error, as it was before. ValueError for another suffix or for numbers
    that are not finite, OSError if the path cannot be written.
    """
    path, state = Path(path), model.state_dict()
    for name, array in state.items():
        if not all_finite(tree_leaves(array)):
            raise ValueError(f"save: {name} is not finite: nothing was written to {path}")
    description = {"format": FORMAT, "version": VERSION, "architecture": architecture(model)}
    if optimizer is not None:
        description["optimizer"] = optimizer.state_dict()
    if history is not None:
        description["history"] = history.rows
    if _suffix(path, "save") == ".json":
        content = f"{_readable(description | {'state': state})}\n".encode()
    else:
        np, safetensors = _safetensors("save")
        arrays = {name: np.asarray(array, dtype=np.float64) for name, array in state.items()}
        content = safetensors.numpy.save(arrays, metadata={FORMAT: json.dumps(description)})
    _write_atomically(path, content)


def load(
    path: str | Path,
    model: Module | None = None,
    optimizer: Optimizer | None = None,
    history: History | None = None,
) -> Module:
    """The model in the file at `path`: a new one, or `model` with the numbers of the file.

    An `optimizer` and a `history` are filled with what was saved of them. ValueError if the file is no such file, is
    truncated, of another version or another architecture than `model`, or has no optimizer or history; nothing has
    changed then. A model of your own classes or functions cannot be made anew: build it and give it as `model`.
    """
    path = Path(path)
    description, state = _read(path)
    if description.get("format") != FORMAT or "architecture" not in description:
        raise ValueError(f"load: {path} was not written by nn.save")
    if description.get("version") != VERSION:
        raise ValueError(f"load: {path} has version {description.get('version')}, this is version {VERSION}")
    for name, wanted in {"optimizer": optimizer, "history": history}.items():
        if wanted is not None and name not in description:
            raise ValueError(f"load: {path} has no {name}: it was saved without")
    if model is None:
        model = _build(description["architecture"])
    elif architecture(model) != description["architecture"]:
        raise ValueError(
            f"load: {path} has another architecture, {_in_short(description['architecture'])}, "
            f"than the model, {_in_short(architecture(model))}"
        )
    before = [(p, p.data) for p in model.parameters()]
    model.load_state_dict(state)
    if optimizer is not None:
        try:
            optimizer.load_state_dict(description["optimizer"])
        except (TypeError, ValueError):
            for p, number in before:
                p.data = number
            raise
    if history is not None:
        history.rows = description["history"]
    return model


def architecture(model: Any) -> Any:
    """What `model` is built of, in plain names, numbers and lists; of a class of your own its name and its shapes."""
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
    return name_of(model)


def _build(described: Any) -> Any:
    """The model that `architecture` describes, all zeros."""
    if isinstance(described, str):
        return _function(described)
    settings = {name: setting for name, setting in described.items() if name != "class"}
    if described["class"] in ("MLP", "Sequential"):
        model = Sequential.__new__(MLP if described["class"] == "MLP" else Sequential)
        Sequential.__init__(model, *[_build(layer) for layer in settings["layers"]])
        return model
    classes = {"Layer": Layer, "Neuron": Neuron, "Embedding": Embedding}
    if described["class"] not in classes:
        raise ValueError(
            f"load cannot make a {described['class']}, a class of your own: build it, and load(path, model) its numbers"
        )
    if settings.get("activation") is not None:
        settings["activation"] = _function(settings["activation"])
    return classes[described["class"]](**settings, weight=init.constant(0.0))


def _function(name: str) -> Activation:
    if name not in ag.__all__:
        raise ValueError(
            f"load cannot make the function {name}, one of your own: build the model, and load(path, model) its numbers"
        )
    function: Activation = getattr(ag, name)
    return function


def _name(activation: Activation | None) -> str | None:
    return None if activation is None else name_of(activation)


def _in_short(described: Any) -> str:
    """An architecture on one line."""
    if isinstance(described, str):
        return described
    if "layers" in described:
        return f"{described['class']}({', '.join(map(_in_short, described['layers']))})"
    settings = ", ".join(str(setting) for name, setting in described.items() if name not in ("class", "bias", "shapes"))
    return f"{described['class']}({settings})"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description and the numbers in the file; a ValueError if it is damaged."""
    suffix = _suffix(path, "load")
    if not path.exists():
        raise FileNotFoundError(f"load: there is no {path}")
    if suffix == ".json":
        try:
            description = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"load: {path} is damaged or no JSON: {error}") from error
        if not isinstance(description, dict) or "state" not in description:
            raise ValueError(f"load: {path} was not written by nn.save")
        return description, description["state"]
    _, safetensors = _safetensors("load")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"load: {path} is damaged or no safetensors file: {error}") from error


def _readable(data: Any, indent: str = "") -> str:
    """JSON with a line for each entry of a dict, and for each row of a matrix."""
    inner = indent + "  "
    if isinstance(data, dict) and data:
        entries = [f"{inner}{json.dumps(name)}: {_readable(item, inner)}" for name, item in data.items()]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if isinstance(data, list) and data and isinstance(data[0], (dict, list)):
        return "[\n" + ",\n".join(inner + json.dumps(row) for row in data) + f"\n{indent}]"
    return json.dumps(data)


def _write_atomically(path: Path, content: bytes) -> None:
    """Put a file with `content` in the place of `path`, all at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(f"save: cannot write {path}: {error.strerror}; it is as it was before") from error


def _suffix(path: Path, what: str) -> str:
    if path.suffix not in (".safetensors", ".json"):
        raise ValueError(f"{what} knows .safetensors and .json files, got {path}")
    return path.suffix


def _safetensors(what: str) -> tuple[Any, Any]:
    """NumPy and safetensors, which a .safetensors file takes."""
    try:
        import numpy as np
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f"{what} of a .safetensors file takes safetensors: pip install 'autograd-lite[save]', or use .json"
        ) from error
    return np, safetensors
