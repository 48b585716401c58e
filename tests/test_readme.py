"""The examples in the README and in the docstrings run, and give the results that they show."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import autograd_lite
import nn
from autograd_lite.extension import core
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
    if core is not None or module.name != "autograd_lite._core"
]


def test_readme_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 5
    assert not failed


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = pytest.importorskip(name, exc_type=ImportError) if name in OPTIONAL else importlib.import_module(name)
    assert not doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed


def test_files_named_in_the_readme_exist() -> None:
    root = README.parent
    named = re.findall(r"(?:demos|tests|nn|autograd_lite)/[\w/]+\.\w+", README.read_text())
    assert named
    assert [path for path in named if not (root / path).exists()] == []


@pytest.mark.parametrize("package", [autograd_lite, nn])
def test_every_public_name_has_a_docstring_with_an_example(package: ModuleType) -> None:
    things = {name: getattr(package, name) for name in package.__all__}
    assert [name for name, thing in things.items() if thing.__doc__ in (None, "", Primitive.__doc__)] == []
    assert [name for name, x in things.items() if not isinstance(x, ModuleType) and ">>>" not in x.__doc__] == []
