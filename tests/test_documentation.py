"""One command writes the documentation: every public name has its section, pictures and links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import autograd_lite
import nn

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pdoc")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, ROOT / ".github" / "docs" / "build.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("package", [autograd_lite, nn])
def test_every_public_name_has_a_section(package: ModuleType, site: Path) -> None:
    text = (site / f"{package.__name__}.html").read_text()
    pages = {path.stem for path in site.rglob("*.html")}
    assert [name for name in package.__all__ if f'id="{name}"' not in text and name not in pages] == []


def test_every_local_link_has_a_target(site: Path) -> None:
    broken = []
    for page in site.rglob("*.html"):
        text = page.read_text()
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            if re.match(r"\w+:|\$", link) or "." in anchor:  # other hosts, pdoc's script, inherited attributes
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and f'id="{anchor}"' not in target.read_text()):
                broken.append((page.name, link))
    assert broken == []


def test_architecture_names_files_that_exist() -> None:
    text = (ROOT / "autograd_lite" / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|c|h|md))`", text))
    assert len(named) > 15
    places = [ROOT, ROOT / "autograd_lite", ROOT / "autograd_lite" / "compiler" / "executors"]
    places.append(ROOT / "autograd_lite" / "compiler")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []
    modules = {p.name for p in (ROOT / "autograd_lite").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert [module for module in sorted(modules - {"__init__.py"}) if f"`{module}" not in text] == []
