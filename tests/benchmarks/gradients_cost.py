"""What `gradients` costs beside `backward` on the same graph: micrograd's moons loss in plain Value arithmetic.

Run it: `python tests/benchmarks/gradients_cost.py`. It prints the medians of interleaved runs and their ratio, and then
what `explain` costs beside `backward` on a chain of diamonds of 10^5 and of 10^6 nodes.
"""

import gc
import itertools
import random
import statistics
import time

from autograd_lite import Value, explain, gradients, topological_order


def moons_loss(examples: int = 100) -> tuple[Value, list[Value]]:
    """The hinge loss of a 2-16-16-1 relu MLP with weight decay, one node per addition and multiplication."""
    rng = random.Random(1337)
    sizes = [2, 16, 16, 1]
    layers = [
        [([Value(rng.uniform(-1, 1)) for _ in range(n_in)], Value(0.0)) for _ in range(n_out)]
        for n_in, n_out in itertools.pairwise(sizes)
    ]
    parameters = [p for layer in layers for weights, bias in layer for p in (*weights, bias)]
    losses = []
    for i in range(examples):
        activations = [rng.uniform(-2, 2), rng.uniform(-2, 2)]
        for layer in layers:
            sums = [sum((w * x for w, x in zip(weights, activations, strict=True)), bias) for weights, bias in layer]
            activations = sums if layer is layers[-1] else [z.relu() for z in sums]
        losses.append((1 + (-1) ** i * activations[0]).relu())
    return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in parameters), parameters


def seconds(run) -> float:
    """How long `run` takes, with what it leaves behind freed outside the clock."""
    gc.collect()
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


if __name__ == "__main__":
    loss, parameters = moons_loss()
    runs = {"backward": loss.backward, "gradients": lambda: gradients(loss, parameters)}
    times = {name: [] for name in runs}
    for _ in range(11):
        for name, run in runs.items():
            times[name].append(seconds(run))
    backward, graph = (statistics.median(times[name]) for name in runs)
    print(f"{len(topological_order(loss))} nodes: backward {backward * 1e3:.1f} ms, gradients {graph * 1e3:.1f} ms,")
    print(f"gradients / backward = {graph / backward:.2f}")
    for nodes in (10**5, 10**6):
        x = y = Value(1.0)
        for _ in range(nodes // 3):
            y = y * 0.5 + y * 0.25
        backward, explained = seconds(y.backward), seconds(lambda: explain(y, x, k=3))  # noqa: B023
        print(
            f"{nodes:,} nodes: backward {backward:.2f} s, explain {explained:.2f} s, {explained / backward:.1f} times"
        )
