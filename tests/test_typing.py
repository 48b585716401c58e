"""Users' editors see the right types: mypy and pyright agree on tests/typing/users.py, and report every mistake."""

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USERS, MISTAKES = ROOT / "tests" / "typing" / "users.py", ROOT / "tests" / "typing" / "mistakes.py"
Checker = Callable[[], str]
EXPECTED = {i for i, line in enumerate(MISTAKES.read_text().splitlines(), 1) if line.endswith("# error")}


def mypy() -> str:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", USERS, MISTAKES]
    return run(command)


def pyright() -> str:
    program = shutil.which("pyright") or shutil.which("pyright", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("pyright is not installed")
    return run([program, "--pythonpath", sys.executable, USERS, MISTAKES])


def run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "error" in done.stdout, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checkers_report_the_mistakes_and_nothing_else(checker: Checker) -> None:
    text = checker()
    found = re.findall(r"(\w+)\.py:(\d+):(?:\d+ -)? error", text)
    others = [line for line in text.splitlines() if "error" in line and "mistakes.py" not in line and ".py:" in line]
    assert others == []
    assert {int(line) for name, line in found if name == "mistakes"} == EXPECTED


def test_the_typed_code_runs() -> None:
    runpy.run_path(str(USERS))
