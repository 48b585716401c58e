"""The same program on several devices, processes and threads gives the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from autograd_lite import Value, exp, jit, sin

SHARDED = """
import json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from autograd_lite import Value, exp, jit, sin
from autograd_lite.compiler.executors import arrays

jax.config.update("jax_enable_x64", True)
by_rows = NamedSharding(Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows"))
X = jax.device_put(np.random.default_rng(0).normal(size=(64, 2)), by_rows)
w = [Value(0.3), Value(-0.2)]
loss = jit(lambda x: sin(w[0] * x[0]) * exp(w[1] * x[1]), backend=jnp)

seen = []
executor = arrays.executor
def watched(program, xp):
    run = executor(program, xp)
    def watch(n, rows, captured):
        results, sums = run(n, rows, captured)
        seen.append([len(rows[0].sharding.device_set), len(results.sharding.device_set)])
        return results, sums
    return watch
arrays.executor = watched

total = loss.mean(X)
total.backward()
each = [v.data for v in loss.map(X)]
print(json.dumps([len(jax.devices()), seen[-1], total.data, [p.grad for p in w], each]))
"""


def test_rows_are_sharded_over_eight_devices() -> None:
    pytest.importorskip("jax")
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    devices, (of_rows, of_results), mean, slopes, each = json.loads(done.stdout.splitlines()[-1])
    assert (devices, of_rows, of_results) == (8, 8, 8)
    w = [Value(0.3), Value(-0.2)]
    loss = jit(lambda x: sin(w[0] * x[0]) * exp(w[1] * x[1]))
    X = np.random.default_rng(0).normal(size=(64, 2))
    total = loss.mean(X)
    total.backward()
    assert mean == pytest.approx(total.data, rel=1e-13)
    assert slopes == pytest.approx([p.grad for p in w], rel=1e-13)
    assert each == pytest.approx([v.data for v in loss.map(X)], rel=1e-13)


@jit
def waves(x: Any, y: Any) -> Any:
    return sin(x) * exp(-y)


def mapped(x: Any, y: Any) -> list[float]:
    return list(waves.map(x, y))


def columns() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=1000), rng.normal(size=1000)


def test_joblib_maps_over_rows_in_processes() -> None:
    joblib = pytest.importorskip("joblib")
    x, y = columns()
    chunks = zip(np.array_split(x, 4), np.array_split(y, 4), strict=True)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        parts = joblib.Parallel()(joblib.delayed(mapped)(*chunk) for chunk in chunks)
    assert [v for part in parts for v in part] == mapped(x, y)
    joblib.externals.loky.get_reusable_executor().shutdown()


def test_dask_maps_over_rows_in_threads() -> None:
    dask = pytest.importorskip("dask")
    x, y = columns()
    mapped(x[:1], y[:1])  # compiled once, before the threads
    chunks = zip(np.array_split(x, 4), np.array_split(y, 4), strict=True)
    parts = dask.compute(*[dask.delayed(mapped)(*chunk) for chunk in chunks], scheduler="threads", num_workers=2)
    assert [v for part in parts for v in part] == mapped(x, y)
