"""The demo of Newton's method, run as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
DEMO = Path(__file__).parents[1] / "demos" / "curvature.py"


def test_newton_arrives_where_gradient_descent_does_not(tmp_path: Path) -> None:
    plot = tmp_path / "new" / "curvature.png"
    run = [sys.executable, str(DEMO), "--steps", "200", "--plot", str(plot)]
    text = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"(\d+) steps to \(([-\d.]+), ([-\d.]+)\), f = (\S+)", text)
    (slow, fast) = [(int(steps), float(x), float(y), float(f)) for steps, x, y, f in found]
    assert slow[0] == 200
    assert slow[3] > 1.0
    assert fast[:3] == (21, 1.0, 1.0)
    assert fast[3] < 1e-15
    assert plot.read_bytes().startswith(b"\x89PNG")
