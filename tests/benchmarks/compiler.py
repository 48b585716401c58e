"""The compiler against its peers, in ratios from one run on one thread; compile time by size, run time by rows.

    python tests/benchmarks/compiler.py

Rounds are interleaved, and the smallest time of each counts. A peer that is not installed is left out. "step" is a
full-batch step of gradient descent, from arrays to moved parameters; "gradient" is loss and gradient only.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import random
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from autograd_lite import Value, dot, jit, log_softmax, relu, trainer
from autograd_lite.compiler.backends import NEEDS
from nn import SGD, Adam

BACKENDS = [name for name, needed in NEEDS.items() if find_spec(needed)]
LR, ROUNDS = 0.05, 7
rng = np.random.default_rng(0)


def weights(sizes: list[int]) -> list[tuple[Any, Any]]:
    return [(rng.normal(0, m**-0.5, (n, m)), np.zeros(n)) for m, n in pairwise(sizes)]


def seconds(run: Callable[[], object], enough: float = 0.02) -> float:
    """The mean time of a call, over as many calls as take `enough` seconds."""
    calls = 0
    start = time.perf_counter()
    while True:
        run()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed > enough:
            return elapsed / calls


def table(title: str, runs: dict[str, Callable[[], object]], ours: str) -> None:
    """Run each in turn, and print the times and how many times longer than `ours` they are."""
    for run in runs.values():
        run()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            if best[name] == float("inf") or best[name] < 1:  # the slow ones need it once
                best[name] = min(best[name], seconds(run))
    print(f"\n{title}")
    for name, time_ in best.items():
        print(f"  {name:<34}{time_ * 1e6:>12,.0f} us{time_ / best[ours]:>12,.2f} x")


# --- Ours ----------------------------------------------------------------------------------------------------------


def scalar_model(layers: list[tuple[Any, Any]]) -> tuple[Callable[[Any], Any], list[Value]]:
    rows = [[([Value(w) for w in row], Value(c)) for row, c in zip(W, b, strict=True)] for W, b in layers]

    def model(x: Any) -> Any:
        for layer in rows:
            x = [dot(w, x) + b for w, b in layer]
            x = x if layer is rows[-1] else [relu(z) for z in x]
        return x

    return model, [p for layer in rows for w, b in layer for p in (*w, b)]


def our_steps(layers: Any, loss: Callable[..., Any], X: Any, Y: Any) -> dict[str, Callable[[], object]]:
    steps: dict[str, Callable[[], object]] = {}
    for backend in BACKENDS:
        model, parameters = scalar_model(layers)

        def one(x: Any, y: Any, model: Any = model) -> Any:
            return loss(model(x), y)

        step = trainer(jit(one, backend=backend), SGD(parameters, lr=LR))
        steps[f"ours, {backend}: step"] = lambda step=step: step(X, Y)  # type: ignore[misc]
    return steps


# --- Peers ---------------------------------------------------------------------------------------------------------


def peers_on_the_small_network(layers: Any, X: Any, Y: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def network(xp: Any, parameters: Any) -> Any:
        x = X.T
        for W, b in parameters[:-1]:
            x = xp.maximum(W @ x + b[:, None], 0)
        W, b = parameters[-1]
        return xp.mean(xp.maximum(1 - Y * (W @ x + b[:, None])[0], 0))

    def numpy_step() -> None:
        (W1, b1), (W2, b2), (W3, b3) = by_hand
        x = X.T
        z1 = W1 @ x + b1[:, None]
        h1 = np.maximum(z1, 0)
        z2 = W2 @ h1 + b2[:, None]
        h2 = np.maximum(z2, 0)
        out = W3 @ h2 + b3[:, None]
        margin = 1 - Y * out
        float(np.maximum(margin, 0).mean())
        d3 = (margin > 0) * -Y / len(Y)
        d2 = (W3.T @ d3) * (z2 > 0)
        d1 = (W2.T @ d2) * (z1 > 0)
        for W, b, d, h in ((W1, b1, d1, x), (W2, b2, d2, h1), (W3, b3, d3, h2)):
            W -= LR * (d @ h.T)
            b -= LR * d.sum(1)

    by_hand = [(W.copy(), b.copy()) for W, b in layers]
    yield "NumPy by hand: step", numpy_step

    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        sizes = [layers[0][0].shape[1], *[len(b) for _, b in layers]]
        modules: list[Any] = [m for n, o in pairwise(sizes) for m in (torch.nn.Linear(n, o).double(), torch.nn.ReLU())]
        model = torch.nn.Sequential(*modules[:-1])
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        Xt, Yt = torch.tensor(X), torch.tensor(Y)

        def torch_step() -> None:
            optimizer.zero_grad()
            loss = torch.relu(1 - Yt * model(Xt)[:, 0]).mean()
            loss.backward()
            optimizer.step()
            loss.item()

        yield "PyTorch, eager: step", torch_step
    if find_spec("jax"):
        import jax

        jax.config.update("jax_enable_x64", True)

        @jax.jit
        def jax_update(parameters: Any) -> Any:
            loss, gradient = jax.value_and_grad(lambda ps: network(jax.numpy, ps))(parameters)
            return loss, jax.tree.map(lambda p, g: p - LR * g, parameters, gradient)

        state = [jax.tree.map(jax.numpy.array, layers)]

        def jax_step() -> None:
            loss, state[0] = jax_update(state[0])
            float(loss)

        yield "jax.jit: step", jax_step
    if find_spec("autograd"):
        import autograd

        hips = autograd.value_and_grad(lambda ps: network(autograd.numpy, ps))
        yield "HIPS autograd: gradient", lambda: hips(layers)
    if find_spec("casadi"):
        import casadi as ca

        # One example as scalar expressions, then mapped over the rows: CasADi's virtual machine at its best.
        p = ca.SX.sym("p", sum(W.size + b.size for W, b in layers))
        x, y = ca.SX.sym("x", X.shape[1]), ca.SX.sym("y")
        h, at = x, 0
        for i, (W, b) in enumerate(layers):
            Ws = ca.reshape(p[at : at + W.size], W.shape)
            bs = p[at + W.size : at + W.size + b.size]
            at += W.size + b.size
            h = Ws @ h + bs
            h = ca.fmax(h, 0) if i + 1 < len(layers) else h
        loss = ca.fmax(1 - y * h[0], 0)
        row = ca.Function("row", [p, x, y], [loss, ca.gradient(loss, p)])
        rows = row.map(len(X))
        numbers = np.concatenate([np.concatenate([W.T.ravel(), b]) for W, b in layers])
        repeated, inputs, targets = np.tile(numbers[:, None], (1, len(X))), X.T.copy(), Y[None].copy()
        yield "CasADi Function: gradient", lambda: rows(repeated, inputs, targets)
    if find_spec("micrograd"):
        from micrograd import nn

        mlp = nn.MLP(X.shape[1], [len(b) for _, b in layers])
        points, signs = X.tolist(), Y.tolist()

        def micrograd_step() -> None:
            losses = [(1 + -y * mlp(x)).relu() for x, y in zip(points, signs, strict=True)]
            loss = sum(losses) * (1 / len(losses))
            mlp.zero_grad()
            loss.backward()
            for p in mlp.parameters():
                p.data -= LR * p.grad

        yield "micrograd: step", micrograd_step


def small_network() -> None:
    layers = weights([2, 16, 16, 1])
    X = rng.normal(size=(100, 2))
    Y = rng.choice([-1.0, 1.0], 100)
    runs = our_steps(layers, lambda z, y: relu(1 - y * z[0]), X, Y)
    table("MLP(2, [16, 16, 1]), all 100 rows", runs | dict(peers_on_the_small_network(layers, X, Y)), next(iter(runs)))


def digits(sizes: list[int]) -> None:
    layers = weights(sizes)
    X = rng.normal(size=(10, sizes[0]))
    labels = rng.integers(0, 10, 10)
    runs = our_steps(layers, lambda z, y: -dot(y, log_softmax(z)), X, np.eye(10)[labels])
    runs = {name: run for name, run in runs.items() if "python" not in name}
    ours = next(iter(runs))
    if find_spec("torch"):
        import torch

        model = torch.nn.Sequential(
            torch.nn.Linear(*sizes[:2]).double(), torch.nn.ReLU(), torch.nn.Linear(*sizes[1:]).double()
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        Xt, Yt = torch.tensor(X), torch.tensor(labels)

        def torch_step() -> None:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(Xt), Yt)
            loss.backward()
            optimizer.step()
            loss.item()

        runs["PyTorch, eager: step"] = torch_step
    table(f"digits: {'-'.join(map(str, sizes))}, mini-batch of 10", runs, ours)


def gpt() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "demos"))
    import gpt as demo

    names = [name for name in demo.NAMES if len(name) == 7][:8]
    X, Y = demo.one_hot(["." + name for name in names]), demo.one_hot([name + "." for name in names])
    start = time.perf_counter()
    step = trainer(jit(demo.loss), Adam(demo.PARAMETERS, lr=0.01))
    step(X, Y)
    compiled = time.perf_counter() - start
    optimizer = Adam(demo.PARAMETERS, lr=0.01)

    def eager() -> None:
        for x, y in zip(X.tolist(), Y.tolist(), strict=True):
            optimizer.zero_grad()
            demo.loss(x, y).backward()
            optimizer.step()

    def one_by_one() -> None:
        for i in range(8):
            step(X[i : i + 1], Y[i : i + 1])

    runs = {"ours, 8 side by side": lambda: step(X, Y), "ours, one at a time": one_by_one, "ours, eager": eager}
    table(f"GPT: 8 names of 8 places, Adam (compiled in {compiled:.2f} s)", runs, "ours, 8 side by side")


def compile_time() -> None:
    print("\ncompile time (trace, gradient, simplify, schedule), by nodes of the graph")
    for sizes in ([2, 4, 1], [2, 16, 16, 1], [64, 30, 10], [300, 100, 10], [784, 300, 10]):
        model, _ = scalar_model(weights(sizes))
        start = time.perf_counter()
        jitted = jit(lambda x, model=model: sum([z * z for z in model(x)]))
        row = (([0.0] * sizes[0],), {})
        compiled = jitted.compiled(row, None)
        program = compiled.total_program
        elapsed = time.perf_counter() - start
        nodes = compiled._trace.made
        print(f"  {nodes:>9,} nodes{len(program.instructions):>5} instructions{elapsed:>9.2f} s"
              f"{elapsed / nodes * 1e6:>8.1f} us a node")  # fmt: skip


def run_time() -> None:
    print("\nMLP(2, [16, 16, 1]): loss and gradient, by rows")
    layers = weights([2, 16, 16, 1])
    for backend in BACKENDS:
        model, _parameters = scalar_model(layers)
        jitted = jit(lambda x, y, model=model: relu(1 - y * model(x)[0]), backend=backend)
        line = []
        for rows in (1, 8, 100, 1000, 10000):
            X, Y = rng.normal(size=(rows, 2)), np.ones(rows)
            jitted.mean(X[:1], Y[:1])
            compiled = jitted._compiled.latest
            numbers = np.array([p.data for p in compiled.captured])  # type: ignore[union-attr]
            flat = np.hstack([X, Y[:, None]]).ravel()
            compiled.total(rows, flat, numbers)  # type: ignore[union-attr]
            best = min(seconds(lambda: compiled.total(rows, flat, numbers)) for _ in range(3))  # type: ignore[union-attr]  # noqa: B023
            line.append(f"{rows:>6}: {best * 1e6:>9,.0f} us")
        print(f"  {backend:<8}", *line)


if __name__ == "__main__":
    random.seed(0)
    small_network()
    digits([64, 30, 10])
    digits([784, 30, 10])
    gpt()
    run_time()
    compile_time()
