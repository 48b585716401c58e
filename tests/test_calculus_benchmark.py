"""The problems of the benchmark of derivatives, in small sizes: the results are those of JAX in float64."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")


def load() -> ModuleType:
    path = Path(__file__).parent / "benchmarks" / "calculus.py"
    spec = importlib.util.spec_from_file_location("calculus_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peers, when they are imported
        spec.loader.exec_module(module)
    return module


bench = load()
PROBLEMS = [
    bench.overhead(1),
    bench.overhead(10),
    bench.rosenbrock_gradient(12),
    bench.rosenbrock_hessian(8),
    *bench.rollout(6),
    bench.arm_jacobian(),
    bench.arm_newton(5),
    bench.black_scholes(20),
    bench.bundle_adjustment(6),
    bench.gmm(3, 2, 5),
    bench.lstm(1, 2, 4),
    *[bench.condition(5, costly) for costly in (False, True)],
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_results_are_those_of_jax(problem: Any) -> None:
    rng = np.random.default_rng(3)
    draws = [problem.draw(rng) for _ in range(3)]
    run, _, found = bench.compiled(problem, "ours", draws)
    jax_run, _, expected = bench.compiled(problem, "jax", draws)
    assert bench.disagreement(found, expected) < 1e-12
    for _ in draws[1:]:
        of_the_next = bench.results_of("jax", problem, jax_run())
        assert bench.disagreement(bench.results_of("ours", problem, run()), of_the_next) < 1e-12
