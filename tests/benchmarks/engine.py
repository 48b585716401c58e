"""The engine against micrograd, in ratios from one run: training steps, single operations, memory, and long chains.

    python tests/benchmarks/engine.py

The step is the same script for both engines, in plain arithmetic on Values: MLP(2, [16, 16, 1]) on 100 points, hinge
loss and weight decay, backward, and a step of gradient descent; and again with each one's own `nn`. The microgpt row
trains a small character GPT with its own class of scalars (microgpt.py) and with ours in its place. "pure" is our
engine without the extension. Each engine runs in processes of its own, in turns, with the garbage collector on, as
people run them.
"""

import os
import random
import resource
import statistics
import subprocess
import sys
import time
import timeit
import tracemalloc
from itertools import pairwise
from typing import Any

ROUNDS, STEPS = 3, 6
OURS, PURE, MICROGRAD, MICROGPT = ENGINES = ("autograd_lite", "pure", "micrograd.engine", "microgpt")
LONG = 10**7


def points() -> tuple[list[list[float]], list[int]]:
    rng = random.Random(1)
    X = [[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(100)]
    return X, [1 if a * b > 0 else -1 for a, b in X]


def plain_step(Value: Any) -> Any:
    """A function that takes one full-batch training step in plain arithmetic and returns the loss."""
    X, Y = points()
    rng = random.Random(2)
    sizes = [2, 16, 16, 1]
    layers = [
        [([Value(rng.uniform(-1, 1)) for _ in range(n_in)], Value(0.0)) for _ in range(n_out)]
        for n_in, n_out in pairwise(sizes)
    ]
    parameters = [p for layer in layers for w, b in layer for p in (*w, b)]

    def model(x: Any) -> Any:
        for i, layer in enumerate(layers):
            out = []
            for w, b in layer:
                score = b
                for wi, xi in zip(w, x, strict=True):
                    score = score + wi * xi
                out.append(score.relu() if i < 2 else score)
            x = out
        return x[0]

    def step() -> float:
        losses = [(1 + -y * model(x)).relu() for x, y in zip(X, Y, strict=True)]
        loss = sum(losses) * (1 / len(losses)) + 1e-4 * sum(p * p for p in parameters)
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data -= 0.05 * p.grad
        return float(loss.data)

    return step


def nn_step_of_micrograd() -> Any:
    """The step of micrograd's own demo."""
    import micrograd.engine
    import micrograd.nn

    X, Y = points()
    random.seed(2)
    model = micrograd.nn.MLP(2, [16, 16, 1])

    def step() -> float:
        losses = [(1 + -y * model(list(map(micrograd.engine.Value, x)))).relu() for x, y in zip(X, Y, strict=True)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
        return float(loss.data)

    return step


def nn_step_of_ours() -> Any:
    """The same step, from the same weights, with our parts."""
    import nn

    X, Y = points()
    model = nn.MLP(2, [16, 16, 1])
    random.seed(2)
    for p in (p for layer in model.layers for neuron in layer.neurons for p in (*neuron.w, neuron.b)):
        p.data = 0.0
    for layer in model.layers:
        for neuron in layer.neurons:
            for w in neuron.w:
                w.data = random.uniform(-1, 1)
    optimizer = nn.SGD(model.parameters(), lr=0.05, weight_decay=2e-4)

    def step() -> float:
        loss = nn.hinge([model(x) for x in X], Y)
        decay = 1e-4 * sum(p.data * p.data for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.data) + decay

    return step


def memory_per_node(Value: Any) -> float:
    """Bytes that one recorded multiplication or addition takes, after backward."""
    n = 900  # micrograd's backward recurses
    x = Value(1.5)
    (x + x * x).backward()  # objects that are made once, at first use, do not count
    tracemalloc.start()
    total = Value(0.0)
    for _ in range(n // 2):
        total = total + x * x
    total.backward()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / n


def chain(Value: Any, n: int) -> tuple[float, float, float, float]:
    """Seconds to build, differentiate and free a chain of `n` operations, and the process's largest size in GB."""
    start = time.perf_counter()
    y = x = Value(1.0)
    for _ in range(n // 2):
        y = -(y * 1.0)
    built = time.perf_counter()
    y.backward()
    differentiated = time.perf_counter()
    del y
    freed = time.perf_counter()
    assert x.grad == 1.0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return built - start, differentiated - built, freed - differentiated, size / 1e9


def nanoseconds(Value: Any) -> list[float]:
    """The time of one operation, the loop around it taken off: x * y, x + 1.0, x.relu(), x ** 2."""
    names = {"x": Value(1.5), "y": Value(-0.5)}

    def fastest(code: str, n: int = 100_000) -> float:
        return min(timeit.repeat(code, globals=names, number=n, repeat=9)) / n * 1e9

    empty = fastest("x; y")
    return [fastest(code) - empty for code in ("x * y", "x + 1.0", "x.relu()", "x ** 2")]


def child(what: str, engine: str) -> None:
    if engine == MICROGPT:
        from microgpt import Scalar as Value
    else:
        Value = __import__(OURS if engine == PURE else engine, fromlist=["Value"]).Value
    if what in ("plain", "nn", "gpt"):
        if what == "gpt":
            from microgpt import training_step

            step = training_step(Value)
        elif what == "plain":
            step = plain_step(Value)
        else:
            step = nn_step_of_micrograd() if engine == MICROGRAD else nn_step_of_ours()
        for _ in range(STEPS):
            start = time.perf_counter()
            loss = step()
            print(time.perf_counter() - start, loss)
    elif what == "memory":
        print(memory_per_node(Value))
    elif what == "operations":
        print(*nanoseconds(Value))
    else:
        print(*chain(Value, int(what)))


def run(what: str, engine: str) -> list[list[float]]:
    environment = os.environ | {"AUTOGRAD_LITE_PURE": "1" if engine == PURE else ""}
    command = [sys.executable, __file__, what, engine]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [[float(x) for x in line.split()] for line in done.stdout.splitlines()]


def main() -> None:
    rows = (
        ("plain", "MLP step, plain arithmetic  ", (OURS, PURE, MICROGRAD)),
        ("nn", "MLP step, each one's nn     ", (OURS, PURE, MICROGRAD)),
        ("gpt", "microgpt step               ", (OURS, PURE, MICROGPT)),
    )
    for what, title, engines in rows:
        times: dict[str, list[float]] = {engine: [] for engine in engines}
        for _ in range(ROUNDS):
            losses = []
            for engine in engines:
                steps = run(what, engine)
                times[engine] += [seconds for seconds, _ in steps]
                losses.append(steps[-1][1])
            assert max(losses) - min(losses) < 1e-9 * abs(losses[0]), losses
        ours, pure, theirs = (min(times[engine]) for engine in engines)
        print(
            f"{title} {ours * 1e3:7.2f} ms   {engines[2].split('.')[0]} {theirs * 1e3:7.1f} ms   {theirs / ours:6.1f}x"
            f"   (pure {pure * 1e3:7.1f} ms {theirs / pure:5.1f}x)"
        )
    for engine in (OURS, PURE, MICROGRAD):
        fastest = map(min, zip(*[run("operations", engine)[0] for _ in range(ROUNDS)], strict=True))
        mul, add, relu, square = fastest
        print(
            f"{engine:16} x * y {mul:6.0f} ns   x + 1.0 {add:6.0f} ns   x.relu() {relu:6.0f} ns   x**2 {square:6.0f} ns"
        )
    ours, pure, theirs = (statistics.median(run("memory", engine)[0][0] for _ in range(3)) for engine in rows[0][2])
    print(f"memory per recorded node     {ours:7.0f} B    pure {pure:7.0f} B    micrograd {theirs:7.0f} B")
    for n in (10**6, LONG):
        built, differentiated, freed, size = run(str(n), OURS)[0]
        print(
            f"a chain of {n:,} nodes: forward {built:.2f} s, backward {differentiated:.2f} s, "
            f"freed {freed:.2f} s, {size:.2f} GB"
        )


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) > 1 else main()
