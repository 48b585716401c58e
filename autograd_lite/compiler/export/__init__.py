"""Export: one source file with a function, its derivatives and a self-test, which runs without this package.

`traced.py` traces the function and makes a program for each exported function, `writing.py` turns a program and its
loops into the statements over named variables of `listing.py`, and `c.py`, `python.py` and `javascript.py` write those
down. `onnx.py` makes a graph of tensor operations from a program.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograd_lite.compiler.export.c import C
from autograd_lite.compiler.export.javascript import JavaScript
from autograd_lite.compiler.export.language import Language
from autograd_lite.compiler.export.python import Python
from autograd_lite.compiler.export.traced import Exported
from autograd_lite.files import write_whole
from autograd_lite.trees import Tree

LANGUAGES: dict[str, Callable[[str], Language]] = {
    ".c": C,
    ".py": lambda _: Python(),
    ".js": lambda _: JavaScript(),
}
NAMES = {".c": "C", ".py": "Python", ".js": "JavaScript", ".onnx": "ONNX"}
SUFFIXES = (*LANGUAGES, ".onnx")
PRECISIONS = ("double", "float")
CAPTURED = ("constants", "arguments")


def export(
    f: Callable[..., Any],
    example: Tree,
    path: str | os.PathLike[str],
    *,
    gradient: bool = True,
    hvp: bool = False,
    captured: str = "constants",
    precision: str | None = None,
) -> Path:
    """Write `f`, called as in `example`, an (args, kwargs) pair, to `path`: see `Jitted.export`."""
    file = Path(path)
    _check("captured", captured, CAPTURED)
    precision = precision or ("float" if file.suffix == ".onnx" else "double")
    _check("precision", precision, PRECISIONS)
    if file.suffix not in SUFFIXES:
        raise ValueError(f"export writes {', '.join(SUFFIXES)} files, got {file.name!r}: choose one of these suffixes")
    if precision == "float" and file.suffix in (".py", ".js"):
        raise ValueError(f"numbers in a {file.suffix} file are doubles: leave out precision='float', or export to .c")
    if captured == "arguments" and file.suffix == ".onnx":
        raise ValueError("an .onnx model has rows of inputs: export it with captured='constants'")
    exported = Exported(f, example, NAMES[file.suffix], gradient, hvp, captured == "arguments")
    if file.suffix == ".onnx":
        from autograd_lite.compiler.export.onnx import model

        content = model(exported, precision)
    else:
        content = LANGUAGES[file.suffix](precision).listing(exported.listing(file.stem)).encode()
    write_whole(file, content, "export")
    return file


def _check(what: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise ValueError(f"export: {what} is {' or '.join(map(repr, allowed))}, got {given!r}")
