"""Which modules of the package each module may import, so that imports point in one direction."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "ieee": set(),
    "extension": set(),
    "graph": {"extension"},
    "primitives": {"ieee", "extension"},
    "value": {"ieee", "primitives", "graph", "extension", "signatures"},
    "recording": {"primitives", "value"},
    "rules": {"primitives", "graph", "recording", "value"},
    "trees": set(),
    "functions": {"ieee", "primitives", "value", "extension", "signatures"},
    "sparsity": {"primitives", "graph"},
    "calls": {"primitives"},
    "signatures": {"value"},
    "calculus": {*"primitives calls graph recording value trees sparsity signatures extension".split()},
    "control": {*"primitives calls recording value trees calculus naming compiler".split()},
    "naming": set(),
    "files": set(),
    "annotations": {"primitives", "recording", "value"},
    "debugging": {"annotations", "primitives", "graph", "recording", "value", "trees", "calculus", "naming"},
    "drawing": {"graph", "naming", "files"},
    "compiler": {
        *"calls extension ieee primitives graph recording value functions trees sparsity signatures".split(),
        *"calculus debugging naming files".split(),
    },
}


def modules(path: Path) -> set[str]:
    """The modules of autograd_lite that a file imports from, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import: name the package"
            whole = node.module == "autograd_lite"
            modules = [f"{node.module}.{name.name}" for name in node.names] if whole else [node.module or ""]
        found |= {module.split(".")[1] for module in modules if module.startswith("autograd_lite.")}
    return found


FILES = [
    path
    for path in sorted((ROOT / "autograd_lite").rglob("*.py"))
    if path.name != "__init__.py" or path.parent.name != "autograd_lite"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT / "autograd_lite").parts
    module = parts[0].removesuffix(".py")
    assert module in ALLOWED, f"{module} is a new module: say in this test what it may import"
    for other in modules(path) - {module}:
        assert other in ALLOWED[module], f"{module} imports {other}: that edge is not allowed"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "nn").rglob("*.py")) + sorted((ROOT / "demos").glob("*.py")), ids=lambda p: p.name
)
def test_nn_and_demos_use_public_names_only(path: Path) -> None:
    import autograd_lite

    public = {*autograd_lite.__all__, "files", "trees", "signatures"}
    for module in modules(path):
        assert module in public, f"{path.name} imports autograd_lite.{module}, which is not a public name"


def test_the_compiler_uses_no_debugging_tool() -> None:
    for path in (ROOT / "autograd_lite" / "compiler").rglob("*.py"):
        text = path.read_text()
        assert text.count("autograd_lite.debugging") == text.count("autograd_lite.debugging.callsite"), path.name


def test_the_modules_of_nn_import_each_other_in_one_direction() -> None:
    imports: dict[str, set[str]] = {}
    for path in (ROOT / "nn").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):  # what only a type checker imports is not an import
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imports[path.stem] = {module.removeprefix("nn.") for module in found if module.startswith("nn.")}
    assert imports.pop("__init__")
    assert len(imports) > 10
    while imports:
        free = {name for name, needed in imports.items() if not needed & imports.keys()}
        assert free, f"these modules of nn import each other in a circle: {', '.join(sorted(imports))}"
        imports = {name: needed for name, needed in imports.items() if name not in free}
