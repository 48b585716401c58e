"""The engine against micrograd, in ratios from one run: training steps, memory, and a chain of a million operations.

    python tests/benchmarks/engine.py

The step is the same script for both engines, in plain arithmetic on Values: MLP(2, [16, 16, 1]) on 100 points, hinge
loss and weight decay, backward, and a step of gradient descent; and again with each one's own `nn`. Each engine runs in
processes of its own, in turns, with the garbage collector on, as people run them.
"""

import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise
from typing import Any

ROUNDS, STEPS = 5, 8
ENGINES = ("autograd_lite", "micrograd.engine")


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
    tracemalloc.start()
    total = Value(0.0)
    for _ in range(n // 2):
        total = total + x * x
    total.backward()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / n


def chain(Value: Any) -> tuple[float, float, float]:
    """Seconds to build, differentiate and free a chain of a million operations."""
    start = time.perf_counter()
    y = x = Value(1.0)
    for _ in range(500_000):
        y = -(y * 1.0)
    built = time.perf_counter()
    y.backward()
    differentiated = time.perf_counter()
    del y
    freed = time.perf_counter()
    assert x.grad == 1.0
    return built - start, differentiated - built, freed - differentiated


def child(what: str, engine: str) -> None:
    Value = __import__(engine, fromlist=["Value"]).Value
    if what in ("plain", "nn"):
        ours = engine == ENGINES[0]
        step = plain_step(Value) if what == "plain" else nn_step_of_ours() if ours else nn_step_of_micrograd()
        for _ in range(STEPS):
            start = time.perf_counter()
            loss = step()
            print(time.perf_counter() - start, loss)
    elif what == "memory":
        print(memory_per_node(Value))
    else:
        print(*chain(Value))


def run(what: str, engine: str) -> list[list[float]]:
    done = subprocess.run([sys.executable, __file__, what, engine], capture_output=True, text=True, check=True)
    return [[float(x) for x in line.split()] for line in done.stdout.splitlines()]


def main() -> None:
    for what, title in (("plain", "moons step, plain arithmetic"), ("nn", "moons step, each one's nn   ")):
        times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(ROUNDS):
            losses = []
            for engine in ENGINES:
                rows = run(what, engine)
                times[engine] += [seconds for seconds, _ in rows]
                losses.append(rows[-1][1])
            assert abs(losses[0] - losses[1]) < 1e-9 * abs(losses[1]), losses
        ours, theirs = (statistics.median(times[engine]) for engine in ENGINES)
        print(f"{title} {ours * 1e3:7.1f} ms   micrograd {theirs * 1e3:7.1f} ms   {theirs / ours:5.1f}x")
    ours, theirs = (statistics.median(run("memory", engine)[0][0] for _ in range(3)) for engine in ENGINES)
    print(f"memory per recorded node     {ours:7.0f} B    micrograd {theirs:7.0f} B    {theirs / ours:5.1f}x")
    built, differentiated, freed = run("chain", ENGINES[0])[0]
    print(f"a chain of 1,000,000 nodes: forward {built:.2f} s, backward {differentiated:.2f} s, freed {freed:.2f} s")


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) > 1 else main()
