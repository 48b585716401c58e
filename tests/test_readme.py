"""What the README and the docstrings show is what happens."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import autograd_lite
import nn
from autograd_lite.primitives import Primitive

README = Path(__file__).parents[1] / "README.md"
OPTIONAL = {
    "autograd_lite.compiler.executors.arrays",
    "autograd_lite.compiler.executors.kernel",
    "autograd_lite.compiler._kernel",
}
MODULES = [
    module.name
    for package in (autograd_lite, nn)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def test_the_examples_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 5
    assert not failed


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = pytest.importorskip(name, exc_type=ImportError) if name in OPTIONAL else importlib.import_module(name)
    assert not doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed


def test_every_file_that_the_readme_names_is_there() -> None:
    root = README.parent
    named = re.findall(r"(?:demos|tests|nn|autograd_lite)/[\w/]+\.\w+", README.read_text())
    assert named
    assert [path for path in named if not (root / path).exists()] == []


def test_every_public_name_has_a_docstring() -> None:
    for package in (autograd_lite, nn):
        for name in package.__all__:
            doc = getattr(package, name).__doc__
            assert doc, name
            assert doc != Primitive.__doc__, name
