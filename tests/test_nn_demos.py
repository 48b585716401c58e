"""The demos, run as a person runs them: they print the numbers that are known, and write their pictures."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DEMOS = Path(__file__).parent.parent / "demos"


def run(demo, *options):
    command = [sys.executable, "-W", "error", str(DEMOS / demo), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def needs(module):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def number(pattern, text):
    return float(re.search(pattern, text)[1])


def test_every_demo_is_short():
    for demo in DEMOS.glob("*.py"):
        assert len(demo.read_text().splitlines()) < (150 if demo.name == "gpt.py" else 100), demo.name


def test_moons_reaches_every_point_and_writes_its_pictures(tmp_path):
    needs("matplotlib")
    needs("pygraphviz")
    printed = run("moons.py", "--out", tmp_path)
    assert re.search(r"^total +337$", printed, re.MULTILINE)
    assert "accuracy 100% after 80 steps" in printed
    lines = printed.splitlines()
    header = next(i for i, line in enumerate(lines) if line.split()[:3] == ["epoch", "loss", "accuracy"])
    table = lines[header : header + 82]
    assert [line.split()[0] for line in table[2:]] == [str(epoch) for epoch in range(1, 81)]
    assert len({len(line) for line in table}) == 1
    for name in ("moons_boundary.png", "moons_neuron.svg", "moons_network.svg"):
        assert (tmp_path / name).stat().st_size > 3_000
        assert f"wrote {tmp_path / name}" in printed
    assert structure(tmp_path / "moons_network.svg") == structure(DEMOS / "network.svg")  # as in the README
    assert ">output<" in (tmp_path / "moons_neuron.svg").read_text().replace("</b>", "<")


def structure(svg):
    """The texts of a picture without numbers, and its counts of boxes, frames and arrows."""
    text = svg.read_text()
    words = [re.sub(r"[\N{MINUS SIGN}\d].*", "#", word) for word in re.findall(r"<text[^>]*>([^<]*)</text>", text)]
    return words, [text.count(f'class="{kind}"') for kind in ("node", "cluster", "edge")]


def test_moons_takes_steps(tmp_path):
    needs("matplotlib")
    assert "after 3 steps" in run("moons.py", "--steps", 3, "--out", tmp_path)


def test_layers_without_numpy(tmp_path):
    needs("matplotlib")
    printed = run("classic_layers.py", "--plot", tmp_path / "layers.png")
    assert printed.startswith(
        "loss 36, d loss / d output -12, d loss / d first weight -72\nafter one step of 0.001 the loss is 29.16\n"
    )
    assert number(r"mean squared error (\S+)", printed) < 0.001
    assert (tmp_path / "layers.png").stat().st_size > 10_000


def test_architecture_as_a_list():
    needs("torch")
    printed = run("classic_architecture.py", "--epochs", 150)
    costs, accuracies = (re.findall(rf"{name} +(\S+)", printed)[:10] for name in ("cost", "accuracy"))
    assert float(costs[-1]) < float(costs[0])
    assert float(accuracies[-1]) > 0.95
    ours, theirs = (re.search(rf"{name} +test accuracy (\S+)  cost (\S+)", printed) for name in ("lite", "PyTorch"))
    assert float(ours[1]) >= 0.95
    assert ours.groups() == theirs.groups()


def test_two_neurons_and_an_output():
    printed = run("classic_neurons.py")
    assert (
        "output of (2, 3): 0.7216\nsoftmax of (5, 1): 0.98, 0.02\nmean squared error of (1, 0, 0, 1): 0.5\n" in printed
    )
    assert re.findall(r"Epoch (\d+) loss", printed) == [str(epoch) for epoch in range(0, 1000, 10)]
    assert number(r"final loss: (\S+)", printed) < 0.01
    assert number(r"Emily, \(-7, -3\): (\S+)", printed) > 0.9
    assert number(r"Frank, \(20, 2\): (\S+)", printed) < 0.1


def test_components_as_bricks():
    needs("numpy")
    printed = run("classic_bricks.py")
    for brick in ("affine 3 -> 5", "affine 5 -> 2"):
        assert re.findall(rf"{brick} +(\w+)", printed) == ["out", "dX", "dW", "dB"]
    assert number("largest difference (.*)", printed) < 1e-15


def test_mini_batch_gradient_descent():
    needs("sklearn")
    assert number(r"\[64, 30, 10\]: (\S+)% of 360 test digits right", run("classic_digits.py", "--epochs", 12)) >= 93
    printed = run("classic_digits.py", "--enlarge", "--epochs", 1, "--examples", 100)
    assert "[784, 30, 10]: " in printed
