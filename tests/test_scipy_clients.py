"""SciPy's optimisers and integrators take compiled functions without a wrapper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from examples import rosenbrock

from autograd_lite import cos, exp, hessian, jacobian, jit, sin, value_and_grad

optimize = pytest.importorskip("scipy.optimize")
integrate = pytest.importorskip("scipy.integrate")


@pytest.mark.parametrize("compiled", [False, True])
def test_minimize_with_value_and_gradient(compiled: bool) -> None:
    f = value_and_grad(rosenbrock)
    found = optimize.minimize(jit(f) if compiled else f, np.full(5, -1.0), jac=True, method="BFGS")
    assert found.success
    assert np.allclose(found.x, 1.0, atol=1e-5)
    assert found.njev < 120


def test_minimize_with_the_hessian() -> None:
    found = optimize.minimize(
        jit(value_and_grad(rosenbrock)), np.full(4, -1.0), jac=True, hess=jit(hessian(rosenbrock)), method="trust-exact"
    )
    assert found.success
    assert np.allclose(found.x, 1.0, atol=1e-6)
    assert found.nit < 60


def test_least_squares_with_the_jacobian() -> None:
    times = np.linspace(0, 3, 15)

    def residuals(p: Any) -> Any:
        return [p[0] * exp(-p[1] * t) + p[2] - (2.0 * np.exp(-1.5 * t) + 0.5) for t in times.tolist()]

    found = optimize.least_squares(jit(residuals), [1.0, 1.0, 0.0], jac=jit(jacobian(residuals)), method="lm")
    assert np.allclose(found.x, [2.0, 1.5, 0.5], rtol=1e-8)


def test_root_with_the_jacobian() -> None:
    def arm(q: Any) -> Any:
        return [cos(q[0]) + 0.8 * cos(q[0] + q[1]) - 1.2, sin(q[0]) + 0.8 * sin(q[0] + q[1]) - 0.9]

    found = optimize.root(jit(arm), [0.2, 0.9], jac=jit(jacobian(arm)), tol=1e-12)
    assert found.success
    assert np.allclose(arm(found.x.tolist()), 0.0, atol=1e-11)
    assert found.nfev < 15


def test_solve_ivp_with_the_jacobian() -> None:
    stiffness = 1000.0

    def slope(t: Any, y: Any) -> Any:  # van der Pol's oscillator
        return [y[1], stiffness * (1.0 - y[0] ** 2) * y[1] - y[0]]

    found = integrate.solve_ivp(
        jit(slope), (0.0, 1000.0), [2.0, 0.0], method="Radau", jac=jit(jacobian(slope, argnums=1)), rtol=1e-8, atol=1e-8
    )
    plain = integrate.solve_ivp(slope, (0.0, 1000.0), [2.0, 0.0], method="Radau", rtol=1e-8, atol=1e-8)
    assert found.success
    assert found.y[0, -1] == pytest.approx(plain.y[0, -1], rel=1e-5)
    assert found.njev > 0
