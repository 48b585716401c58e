"""The notebooks in demos/ run from top to bottom in a real kernel; they are kept without outputs."""

from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "demos").glob("*.ipynb"))


def executed(path: Path, folder: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return notebook


def outputs(notebook: Any) -> list[dict[str, Any]]:
    return [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]


def test_there_are_two_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["from_expression_to_neuron.ipynb", "moons_network.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path) -> None:
    found = outputs(executed(path, tmp_path))
    pictures = [data["image/svg+xml"] for data in found if "image/svg+xml" in data]
    assert len(pictures) >= 2
    assert all("<svg" in picture for picture in pictures)
    assert {written.name for written in tmp_path.iterdir()} <= {"moons_film.html"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert [cell for cell in cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)] == []
