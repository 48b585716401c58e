"""Write the documentation to out/docs, or to the folder that is given: `python .github/docs/build.py [folder]`.

The pages are pdoc's, made from the docstrings of the public names; the first page is the README, ARCHITECTURE, SCALING,
CONTRIBUTING and CHANGELOG, one after another.
"""

import inspect
import re
import shutil
import sys
from pathlib import Path

import pdoc

import autograd_lite
import nn
from autograd_lite.primitives import Primitive

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PICTURES = [*(ROOT / "demos").glob("*.svg"), *(ROOT / "autograd_lite").glob("*.svg")]
NAMES = {1: "x", 2: "x, y", 3: "x, y, z"}


def main(folder: Path) -> None:
    """Write every page to `folder`, which is made if it does not exist."""
    pages = [
        "README.md",
        "autograd_lite/ARCHITECTURE.md",
        "autograd_lite/SCALING.md",
        ".github/CONTRIBUTING.md",
        ".github/CHANGELOG.md",
    ]
    text = "\n\n".join((ROOT / page).read_text() for page in pages)
    text = re.sub(r"\]\((?:\w+/)*(\w+\.svg)\)", r"](\1)", text)
    text = re.sub(r"\]\([./\w]*?(\w+)\.md\)", lambda link: f"](#{link[1].lower()})", text)
    autograd_lite.__doc__ = f"{autograd_lite.__doc__}\n\n{text}"
    for name in autograd_lite.__all__:
        thing = getattr(autograd_lite, name)
        if isinstance(thing, Primitive):
            setattr(autograd_lite, name, as_function(name, thing))
    pdoc.render.configure(docformat="markdown", template_directory=HERE, footer_text=f"autograd-lite {version()}")
    pdoc.pdoc("autograd_lite", *hidden(autograd_lite), "nn", *hidden(nn), output_directory=folder)
    for picture in PICTURES:
        shutil.copy(picture, folder)


def as_function(name: str, op: Primitive) -> object:
    """A function with the name, arguments and docstring of a primitive, for pdoc to show."""
    scope: dict[str, object] = {}
    exec(f"def {name}({NAMES[op.arity or 0]}, /): ...", scope)
    function = scope[name]
    function.__doc__, function.__module__ = op.__doc__, "autograd_lite"  # type: ignore[attr-defined]
    return function


def hidden(package: object) -> list[str]:
    """Patterns that leave out the modules of `package`: their public names are on the page of `package`."""
    path = Path(inspect.getfile(package)).parent  # type: ignore[arg-type]
    modules = [p.stem for p in sorted(path.iterdir()) if p.suffix == ".py" or (p / "__init__.py").exists()]
    return [f"!{path.name}.{module}" for module in modules if module not in ("__init__", "init")]


def version() -> str:
    """The version in pyproject.toml."""
    found = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    return found[1] if found else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/docs"))
