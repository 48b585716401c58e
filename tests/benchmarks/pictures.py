"""Pictures of one network by micrograd's notebook helper, torchviz, torchview and `draw`: how large, and how fast.

    pip install --no-deps torchviz torchview micrograd
    python tests/benchmarks/pictures.py --out out/pictures

MLP(2, [16, 16, 1]) and its hinge loss on one row, and the loss over a batch. It prints a table in Markdown; with
`--out` it writes the pictures as SVG and PNG. The times are those of building the graph's DOT text and rendering it to
SVG by the program `dot`, once, after one picture that is not timed. A dash: the package is not installed, or, for
micrograd's helper and a batch, the program `dot` does not finish within minutes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import nn
from autograd_lite import draw, mean

SIZES = [16, 16, 1]
LEARNED = {
    "micrograd's helper": "data and gradient of every value; no names",
    "torchviz": "the operations backward, and shapes; no numbers",
    "torchview": "the modules and shapes; no numbers, no gradients",
    "autograd-lite": "every neuron's output and gradient, which are off, names, inputs, the loss",
}


def rows(n: int) -> tuple[list[list[float]], list[float]]:
    """n points of the plane and their classes."""
    return [[0.3 + 0.01 * i, -0.6 + 0.02 * i] for i in range(n)], [1.0 if i % 2 else -1.0 for i in range(n)]


def ours(n: int) -> Any:
    """The picture of `draw`."""
    model = nn.MLP(2, SIZES, seed=1)
    X, Y = rows(n)
    losses = [nn.hinge(model(x), y) for x, y in zip(X, Y, strict=True)]
    loss = mean(losses) if n > 1 else losses[0]
    loss.backward()
    return lambda _model=model: draw(loss).source  # the names come from the model, while it is alive


def micrograd(n: int) -> Any:
    """A box for each value and a circle for each operation, as in micrograd's notebook trace_graph."""
    from graphviz import Digraph
    from micrograd.nn import MLP

    model = MLP(2, SIZES)
    X, Y = rows(n)
    losses = [(1.0 + -y * model(x)).relu() for x, y in zip(X, Y, strict=True)]
    loss = sum(losses) * (1.0 / n)
    loss.backward()

    def source() -> str:
        picture = Digraph(graph_attr={"rankdir": "LR"})
        stack, seen = [loss], {id(loss)}
        while stack:
            value = stack.pop()
            name = str(id(value))
            picture.node(name, f"{{ data {value.data:.4f} | grad {value.grad:.4f} }}", shape="record")
            if value._op:
                picture.node(name + value._op, label=value._op)
                picture.edge(name + value._op, name)
            for child in value._prev:
                picture.edge(str(id(child)), name + value._op)
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append(child)
        return str(picture.source)

    return source


def _torch_model() -> Any:
    import torch

    return torch.nn.Sequential(
        torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    )


def torchviz(n: int) -> Any:
    """The picture of torchviz.make_dot."""
    import torch
    from torchviz import make_dot

    model = _torch_model()
    X, Y = map(torch.tensor, rows(n))
    loss = torch.relu(1 - Y * model(X)[:, 0]).mean()
    loss.backward()
    return lambda: make_dot(loss, params=dict(model.named_parameters())).source


def torchview(n: int) -> Any:
    """The picture of torchview.draw_graph."""
    import torch
    from torchview import draw_graph

    model, (X, _) = _torch_model(), rows(n)
    return lambda: draw_graph(model, input_data=torch.tensor(X)).visual_graph.source


TOOLS: dict[str, Callable[[int], Any]] = {
    "micrograd's helper": micrograd,
    "torchviz": torchviz,
    "torchview": torchview,
    "autograd-lite": ours,
}


def rendered(source: str, kind: str) -> bytes:
    """The picture by the program `dot`."""
    return subprocess.run(["dot", f"-T{kind}"], input=source.encode(), capture_output=True, check=True).stdout


def measured(tool: str, n: int, out: Path | None) -> list[str]:
    """The row of the table for `tool` and the loss of `n` rows of data."""
    try:
        if tool == "micrograd's helper" and n > 1:
            raise ImportError("its picture of one row takes seconds, and that of three takes minutes")
        make = TOOLS[tool](n)
    except ImportError:
        return [tool, f"{n}", *["—"] * 4, LEARNED[tool]]
    start = time.perf_counter()
    source = make()
    svg = rendered(source, "svg")
    seconds = time.perf_counter() - start
    if out:
        name = f"{re.sub('[^a-z]', '', tool)}-{n}"
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.svg").write_bytes(svg)
        (out / f"{name}.png").write_bytes(rendered(source, "png"))
    width, height = map(int, re.search(rb'width="(\d+)pt" height="(\d+)pt"', svg).groups())  # type: ignore[union-attr]
    boxes = svg.count(b'class="node"')
    if tool == "autograd-lite":
        boxes += source.count('PORT="n')  # the boxes in a column are cells of one node
    size = f"{len(svg) / 1000:,.0f} kB"
    return [tool, f"{n}", f"{boxes:,}", f"{width:,} x {height:,}", f"{seconds:.2f} s", size, LEARNED[tool]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rows", type=int, default=100, help="rows of the batch (%(default)s)")
    parser.add_argument("--out", type=Path, help="the folder for the pictures")
    options = parser.parse_args()
    if not shutil.which("dot"):
        sys.exit("no program `dot` on the PATH: install Graphviz")
    rendered("digraph {a -> b}", "svg")
    header = ["", "rows", "boxes", "points", "time", "SVG", "what it shows"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for n in (1, options.rows):
        for tool in TOOLS:
            print("| " + " | ".join(measured(tool, n, options.out)) + " |", flush=True)


if __name__ == "__main__":
    main()
