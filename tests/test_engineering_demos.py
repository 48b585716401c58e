"""The demos on engineering problems, run as a user runs them: each prints a number that is asserted, and a picture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
DEMOS = Path(__file__).parents[1] / "demos"


def run(name: str, tmp_path: Path, *options: str) -> str:
    plot = tmp_path / "new" / f"{name}.png"
    command = [sys.executable, str(DEMOS / f"{name}.py"), *options, "--plot", str(plot)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    return text


def numbers(pattern: str, text: str) -> list[float]:
    found = re.search(pattern, text)
    assert found is not None, text
    return [float(x) for x in found.groups()]


def test_the_pendulum_swings_up(tmp_path: Path) -> None:
    text = run("pendulum", tmp_path, "--iterations", "60")
    first, last = numbers(r"cost ([\d.]+) -> ([\d.]+)", text)
    degrees, speed = numbers(r"stands at ([\d.]+) degrees, at (-?[\d.]+) rad", text)
    assert first > 30
    assert last < 3
    assert abs(degrees - 180) < 10
    assert abs(speed) < 0.5


def test_levenberg_marquardt_finds_the_certified_fit(tmp_path: Path) -> None:
    text = run("growth", tmp_path)
    (digits,) = numbers(r"([\d.]+) digits agree", text)
    assert digits > 6
    assert numbers(r"sum of squares ([\d.]+),", text) == pytest.approx([8.7864049080e03], rel=1e-9)
    errors = re.findall(r"\+- ([\d.]+)   \(certified [\d.]+ \+- ([\d.]+)\)", text)
    assert len(errors) == 4
    for error, certified in errors:
        assert float(error) == pytest.approx(float(certified), rel=1e-4)


def test_bundle_adjustment_ends_at_the_noise(tmp_path: Path) -> None:
    before, after = numbers(r"error ([\d.]+) -> ([\d.]+) pixels", run("bundle", tmp_path))
    assert before > 15
    assert after == pytest.approx(
        0.5 * (1 - 389 / 1440) ** 0.5, rel=0.05
    )  # less than the noise: 389 numbers are fitted


def test_greeks_are_those_of_the_textbook(tmp_path: Path) -> None:
    text = run("options", tmp_path, "--side", "40")
    (error,) = numbers(r"1,600 options, 6 numbers each; largest error against the textbook (\S+)", text)
    assert error < 1e-12
