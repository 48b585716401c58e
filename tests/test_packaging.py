"""A built wheel works outside the checkout, and imports no optional dependency."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, without the built extensions."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("source")
    for name in ("autograd_lite", "nn"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", out, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_has_both_packages_typed_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"autograd_lite", "nn"}
    assert {"autograd_lite/py.typed", "nn/py.typed", "autograd_lite/drawing/page.html"} <= set(names)


def test_an_editable_install_is_a_path_that_type_checkers_follow(source: Path, tmp_path: Path) -> None:
    build = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    without_compiler = {**os.environ, "CC": "false", "PYTHONWARNINGS": "ignore"}  # the extensions are not built
    command = [sys.executable, "-c", build, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=source, env=without_compiler, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.whl")
    editable = zipfile.ZipFile(path)
    (pth,) = [name for name in editable.namelist() if name.endswith(".pth")]
    assert Path(editable.read(pth).decode().strip()) == source


LEAN = """
import sys
sys.path.insert(0, sys.argv[1])
import autograd_lite, nn
from autograd_lite import Value
assert sys.argv[1] in autograd_lite.__file__ and sys.argv[1] in nn.__file__
model = nn.MLP(2, [4, 1])
y = model([1.0, Value(2.0)])
y.backward()
print(autograd_lite.to_text(y).splitlines()[0] != "")
if sys.argv[2:]:
    f = autograd_lite.jit(lambda x: x * x, backend=sys.argv[2])
    assert f(3.0) == 9.0 and f.backend == sys.argv[2]
optional = {"numpy", "graphviz", "pygraphviz", "matplotlib", "tqdm", "safetensors", "sklearn", "torch"}
print(sorted(optional & set(sys.modules)))
"""


def test_the_wheel_works_outside_the_checkout_and_imports_nothing_optional(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", LEAN, tmp_path]  # -S: no site-packages at all
    if shutil.which("cc"):
        command.append("native")  # the extension was built and works
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "True\n[]\n", done.stderr
