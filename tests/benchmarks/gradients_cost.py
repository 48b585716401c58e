"""What `gradients` costs beside `backward` on one graph: the hinge loss of a 2-16-16-1 MLP in plain Value arithmetic.

Run it: `python tests/benchmarks/gradients_cost.py`. It prints the medians of interleaved runs and their ratio, and then
what `explain` costs beside `backward` on a chain of diamonds of 10^5 and of 10^6 nodes; what `nn.MLP(2, [16, 16, 1])`
costs, recorded and under `no_grad`, beside the same network as list arithmetic on floats; and what an operator costs
under `no_grad`, and while another thread is under it. These last two are minima of short interleaved runs.
"""

import gc
import itertools
import random
import statistics
import threading
import time
from contextlib import contextmanager, nullcontext

import nn
from autograd_lite import Value, explain, gradients, no_grad, topological_order


def hinge_loss(examples: int = 100) -> tuple[Value, list[Value]]:
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
    """How long `run` takes. What it made is freed before and after the measured time."""
    gc.collect()
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def in_lists(model: nn.MLP):
    """The same network as `model`, its output from its inputs, as a Python programmer writes it on floats."""
    layers = [[([w.data for w in n.w], n.b.data) for n in layer.neurons] for layer in model.layers]

    def run(xs):
        for layer in layers:
            xs = [sum([w * x for w, x in zip(weights, xs)]) + bias for weights, bias in layer]  # noqa: B905
            if layer is not layers[-1]:
                xs = [x if x > 0 else 0.0 for x in xs]
        return xs[0]

    return run


@contextmanager
def no_grad_elsewhere():
    """While this is open, another thread has `no_grad` open."""
    opened, over = threading.Event(), threading.Event()

    def wait():
        with no_grad():
            opened.set()
            over.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    opened.wait()
    yield
    over.set()
    thread.join()


def fastest(runs, rounds: int = 500, calls: int = 5) -> list[float]:
    """The least time of a call of each function, within its context, in microseconds."""
    least = [float("inf")] * len(runs)
    for _ in range(rounds):
        for i, (context, run) in enumerate(runs):
            with context():
                start = time.perf_counter()
                for _ in range(calls):
                    run()
                least[i] = min(least[i], (time.perf_counter() - start) / calls * 1e6)
    return least


if __name__ == "__main__":
    loss, parameters = hinge_loss()
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
    model, point = nn.MLP(2, [16, 16, 1], seed=1), [0.1, 0.2]
    plain = in_lists(model)
    lists, recorded, without = fastest(
        [(nullcontext, lambda: plain(point)), (nullcontext, lambda: model(point)), (no_grad, lambda: model(point))]
    )
    print(
        f"MLP(2, [16, 16, 1]): list arithmetic {lists:.0f} us, recording {recorded:.0f} us ({recorded / lists:.2f} "
        f"times), no_grad {without:.0f} us ({without / lists:.2f} times)"
    )
    a, b, many = Value(1.5), Value(2.5), range(100)
    works = {"a * b": lambda: [a * b for _ in many], "a.tanh()": lambda: [a.tanh() for _ in many]}
    for name, work in works.items():
        alone, without, beside = fastest([(nullcontext, work), (no_grad, work), (no_grad_elsewhere, work)])
        print(
            f"{name}: {alone * 10:.0f} ns, under no_grad {without / alone:.2f} times, "
            f"while another thread is under it {beside / alone:.2f} times"
        )
