"""The GPT demo on small settings: the compiled steps are the eager steps, and it learns."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("numpy")
DEMO = Path(__file__).parents[1] / "demos" / "gpt.py"


def test_the_gpt_demo_is_short() -> None:
    assert len(DEMO.read_text().splitlines()) < 150


def test_compiled_and_eager_steps_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--steps", "2", "--batch-size", "1"]
    compiled, eager = (runpy.run_path(str(DEMO))["main"]([*settings, *flag]) for flag in ([], ["--eager"]))
    assert compiled == pytest.approx(eager, rel=1e-9)
    assert "made up:" in capsys.readouterr().out


def test_the_gpt_demo_learns() -> None:
    assert runpy.run_path(str(DEMO))["main"](["--steps", "60"]) < 2.8
