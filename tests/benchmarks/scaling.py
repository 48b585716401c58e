"""One program past one core: threads, processes of joblib and dask, and JAX on simulated devices.

    python tests/benchmarks/scaling.py            the tables of autograd_lite/SCALING.md
    python tests/benchmarks/scaling.py --quick    few rows

The work is a loss of a small network and its gradient, the mean over many rows; a call gets other rows than the one
before. Rounds are interleaved and the smallest time of 60 counts, that of a moment when both cores were free. JAX runs
in a process of its own for each number of devices, as it fixes them when it starts; the devices are simulated on the
same cores, so they show that rows are shared, not that it is faster.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import nn
from autograd_lite import jit

ROUNDS, INPUTS, DEVICES, CHUNKS = 60, 6, (1, 2, 4, 8), 2


def model_and_loss(**options: Any) -> tuple[nn.MLP, Any]:
    model = nn.MLP(4, [16, 16, 1], activation="tanh", seed=1)
    return model, jit(lambda x, y: (model(x) - y) ** 2, **options)


def rows(n: int, seed: int) -> tuple[Any, Any]:
    X = np.random.default_rng(seed).normal(0, 1, (n, 4))
    return X, np.sin(X.sum(1))


def gradient(loss: Any, model: nn.MLP, X: Any, Y: Any) -> Any:
    """The mean of the loss over the rows, and its gradient, in one array."""
    model.zero_grad()
    mean = loss.mean(X, Y)
    mean.backward()
    return np.array([mean.data, *[p.grad for p in model.parameters()]])


worker = threading.local()  # gradients are stored in the parameters, so each thread and process has its own


def part(X: Any, Y: Any) -> Any:
    """What a worker does: the sum over its rows, by a function that it compiled once."""
    if not hasattr(worker, "loss"):
        worker.model, worker.loss = model_and_loss()
    return gradient(worker.loss, worker.model, X, Y) * len(X)


def best_of(runs: dict[str, Callable[[int], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """The smallest time of each; a run is called with the number of the round."""
    for run in runs.values():
        run(0)
    best = dict.fromkeys(runs, float("inf"))
    for n, (name, run) in itertools.product(range(1, rounds + 1), runs.items()):
        start = time.perf_counter()
        run(n)
        best[name] = min(best[name], time.perf_counter() - start)
    return best


def one_machine(n: int) -> None:
    from dask import compute, delayed
    from joblib import Parallel
    from joblib import delayed as later

    data = [rows(n, seed) for seed in range(INPUTS)]
    runs: dict[str, Callable[[int], Any]] = {}
    for threads in (1, 2):
        model, loss = model_and_loss(threads=threads)
        runs[f"threads={threads}"] = lambda i, m=model, f=loss: gradient(f, m, *data[i % INPUTS])

    def chunks(i: int) -> Any:
        return zip(*[np.array_split(x, CHUNKS) for x in data[i % INPUTS]], strict=True)

    with Parallel(n_jobs=1) as one, Parallel(n_jobs=2) as two:
        for name, pool in {"joblib, 1 process": one, "joblib, 2 processes": two}.items():
            runs[name] = lambda i, pool=pool: sum(pool(later(part)(*chunk) for chunk in chunks(i))) / n
        executor = ThreadPoolExecutor(2)
        runs["dask, 2 threads"] = lambda i: (
            sum(compute(*[delayed(part)(*chunk) for chunk in chunks(i)], scheduler="threads", pool=executor)) / n
        )
        expected = runs["threads=1"](0)
        for name, run in runs.items():
            assert np.max(np.abs(run(0) - expected)) < 1e-12, name
        best = best_of(runs)
    first = best["threads=1"]
    load = f"{os.getloadavg()[0]:.0f} programs waiting for them" if hasattr(os, "getloadavg") else "load unknown"
    print(f"\n{n:,} rows, {os.cpu_count()} cores, {load}\n")
    print(f"| {'way':<22} | {'ms':>8} | speed-up |\n|{'-' * 24}|{'-' * 10}|{'-' * 10}|")
    for name, seconds in best.items():
        print(f"| {name:<22} | {seconds * 1e3:>8.1f} | {first / seconds:>7.2f}x |")


def on_devices(n: int, devices: int) -> tuple[float, Any]:
    """The time and the result on so many devices, in this process."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    jax.config.update("jax_enable_x64", True)
    assert len(jax.devices()) == devices
    by_rows = NamedSharding(Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows"))
    data = [tuple([jax.device_put(x, by_rows) for x in rows(n, seed)]) for seed in range(INPUTS)]
    model, loss = model_and_loss(backend=jnp)
    found = gradient(loss, model, *data[0])
    best = best_of({"jax": lambda i: gradient(loss, model, *data[i % INPUTS])}, rounds=10)
    return best["jax"], found


def simulated_devices(n: int) -> None:
    model, loss = model_and_loss()
    expected = gradient(loss, model, *rows(n, 0))
    print(f"\n{n:,} rows, JAX on simulated devices of {os.cpu_count()} cores\n")
    print(f"| {'devices':>8} | {'ms':>8} | largest difference |\n|{'-' * 10}|{'-' * 10}|{'-' * 20}|")
    for devices in DEVICES:
        flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
        command = [sys.executable, __file__, "--devices", str(devices), "--rows", str(n)]
        done = subprocess.run(
            command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=True
        )
        seconds, found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {devices:>8} | {seconds * 1e3:>8.1f} | {np.max(np.abs(np.array(found) - expected)):>18.1e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    n = 8_000 if options.quick else options.rows
    if options.devices:
        seconds, found = on_devices(n, options.devices)
        print(json.dumps([seconds, found.tolist()]))
        return
    one_machine(n)
    simulated_devices(n)


if __name__ == "__main__":
    import scaling  # worker processes find functions by the name of their module

    scaling.main()
