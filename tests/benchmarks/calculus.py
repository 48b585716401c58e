"""Derivatives of engineers' scalar code against JAX, CasADi and PyTorch: run times, compile times and ratios.

    python tests/benchmarks/calculus.py            all rows
    python tests/benchmarks/calculus.py --quick    small sizes, in a minute
    python tests/benchmarks/calculus.py gmm arm    the rows whose names contain one of these words

One thread and one process for all. Every call gets new numbers: the inputs are drawn beforehand and taken in turn. The
rounds of the competitors are interleaved, and the smallest mean of a round counts. Each competitor gets its inputs in
the form that it reads fastest: NumPy arrays for ours and for CasADi's `Function` ("call"), buffers that CasADi does not
copy ("buffer"), JAX arrays, PyTorch tensors. Compile time is the time from the function to its first result.

If JAX is installed, the first results are compared with its results in float64, and differences are printed.

The objectives `gmm`, `bundle adjustment` and `lstm` are those of ADBench (https://github.com/microsoft/ADBench).
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
os.environ.setdefault("NPROC", "1")  # how many threads XLA starts for large arrays, whatever the flags below say
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np

import autograd_lite
from autograd_lite import Value, hessian, jacobian, jit, value_and_grad

ROUNDS, ENOUGH, INPUTS = 5, 0.03, 8
TOLERANCE = 1e-12  # of the largest number of a result

Array = Any
Run = Callable[[tuple[Array, ...]], Array]  # from one set of inputs to all the results in one array


@dataclass
class Problem:
    """A row of the table: how inputs are drawn, and for each competitor how its `Run` is made."""

    name: str
    draw: Callable[[np.random.Generator], tuple[Array, ...]]
    makers: dict[str, Callable[[], Any]]


# --- Competitors: how each turns a function into a run ---------------------------------------------------------------

JAX, CASADI, TORCH = (find_spec(name) is not None for name in ("jax", "casadi", "torch"))

if find_spec("scipy"):
    import scipy.sparse  # noqa: F401 - the first sparse Hessian imports it: no import counts as compile time

if JAX:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    J = SimpleNamespace(
        **{name: getattr(jnp, name) for name in "exp log sin cos sqrt sum stack concatenate tanh dot".split()},
        sigmoid=jax.nn.sigmoid,
        erf=jax.scipy.special.erf,
        logsumexp=lambda x: jax.scipy.special.logsumexp(x, axis=-1),
        zeros=jnp.zeros,
        array=jnp.asarray,
    )

if TORCH:
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    T = SimpleNamespace(
        **{
            name: getattr(torch, name)
            for name in "exp log sin cos sqrt sum stack concatenate tanh dot sigmoid erf".split()
        },
        cross=torch.linalg.cross,
        logsumexp=lambda x: torch.logsumexp(x, -1),
        zeros=torch.zeros,
        array=torch.as_tensor,
    )

if CASADI:
    import casadi as ca

    def _logsumexp(xs: Any) -> Any:
        return ca.logsumexp(ca.vertcat(*xs))

    C = SimpleNamespace(
        **{name: getattr(ca, name) for name in "exp log sin cos sqrt tanh erf".split()},
        sum=lambda xs: sum(xs[1:], xs[0]),
        dot=lambda xs, ys: sum((x * y for x, y in zip(xs[1:], ys[1:], strict=True)), xs[0] * ys[0]),
        sigmoid=lambda x: 1 / (1 + ca.exp(-x)),
        logsumexp=_logsumexp,
        maximum=ca.fmax,
    )

M = autograd_lite  # the namespace of our scalar code


def flat(x: Any) -> Array:
    """All the numbers of nested lists, tuples and arrays, in order."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return np.concatenate([flat(item) for item in x]) if x else np.zeros(0)
    if isinstance(x, Value):
        return np.array([x.data])
    return np.asarray(x, dtype=float).reshape(-1)


def direct_calls(f: Callable[..., Any]) -> Callable[..., Any]:
    """A run that is a call of `f` on the inputs."""
    return lambda inputs: f(*inputs)


def jax_calls(f: Callable[..., Any]) -> Callable[..., Any]:
    compiled = jax.jit(f)
    return lambda inputs: jax.block_until_ready(compiled(*inputs))


def casadi_call(function: Any, prepare: Callable[[Array], Array] = lambda x: x) -> Callable[..., Any]:
    return lambda inputs: function(*map(prepare, inputs))


def columns(x: Array) -> Array:
    """Rows as CasADi's map takes them: a column for each."""
    return np.atleast_2d(x.T)


def casadi_buffer(function: Any) -> Callable[..., Any]:
    """A run that hands buffers to CasADi; it reads inputs and writes results in place."""
    buffer, trigger = function.buffer()
    results = [np.zeros(function.size_out(n), order="F") for n in range(function.n_out())]
    for n, result in enumerate(results):
        if function.nnz_out(n) != result.size:  # sparse: the nonzeros only
            results[n] = np.zeros(function.nnz_out(n))
        buffer.set_res(n, memoryview(results[n].reshape(-1, order="F")))

    def run(inputs: tuple[Array, ...]) -> Any:
        for n, x in enumerate(inputs):
            buffer.set_arg(n, memoryview(x))
        trigger()
        return results

    return run


def symbols(*sizes: int) -> list[Any]:
    """Symbols of CasADi, a column of each size."""
    return [ca.SX.sym(f"x{n}", size) for n, size in enumerate(sizes)]


def items(x: Any) -> list[Any]:
    return [x[i] for i in range(x.shape[0])]


def casadi_gradient(f: Callable[..., Any], *sizes: int) -> Any:
    """A `Function` for the value and the gradient by each argument, from scalar code of lists."""
    xs = symbols(*sizes)
    y = f(*[items(x) for x in xs])
    return ca.Function("f", xs, [y, *[ca.gradient(y, x) for x in xs]])


def torch_gradient(f: Callable[..., Any], argnums: Any = 0, rows: bool = False) -> Callable[..., Any]:
    """A run for the value and the gradient, of each row of the inputs if they are `rows`."""
    both = torch.func.grad_and_value(f, argnums)
    both = torch.func.vmap(both) if rows else both
    return lambda inputs: both(*inputs)[::-1]


# --- Rosenbrock ------------------------------------------------------------------------------------------------------


def rosenbrock(m: Any, x: Any) -> Any:
    return m.sum([100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x)])


def rosenbrock_array(xp: Any, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_gradient(n: int) -> Problem:
    makers: dict[str, Any] = {"ours": lambda: direct_calls(jit(value_and_grad(lambda x: rosenbrock(M, x))))}
    if JAX:
        makers["jax"] = lambda: jax_calls(jax.value_and_grad(lambda x: rosenbrock_array(J, x)))
    if CASADI:
        function = lambda: casadi_gradient(lambda x: rosenbrock(C, x), n)  # noqa: E731
        makers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    if TORCH:
        makers["torch"] = lambda: torch_gradient(lambda x: rosenbrock_array(T, x))
    return Problem(f"rosenbrock {n:,}: gradient", lambda rng: (rng.uniform(-2, 2, n),), makers)


def rosenbrock_hessian(n: int) -> Problem:
    makers: dict[str, Any] = {"ours": lambda: direct_calls(hessian(jit(lambda x: rosenbrock(M, x)), sparse=True))}
    if JAX:
        makers["jax"] = lambda: jax_calls(jax.hessian(lambda x: rosenbrock_array(J, x)))
    if CASADI:

        def function() -> Any:
            (x,) = symbols(n)
            return ca.Function("f", [x], [ca.hessian(rosenbrock(C, items(x)), x)[0]])

        makers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    if TORCH and n <= 100:
        makers["torch"] = lambda: direct_calls(torch.func.hessian(lambda x: rosenbrock_array(T, x)))
    return Problem(f"rosenbrock {n:,}: hessian", lambda rng: (rng.uniform(-2, 2, n),), makers)


# --- A pendulum's rollout --------------------------------------------------------------------------------------------

DT = 0.02


def pendulum(m: Any, state: Any, u: Any) -> Any:
    """One step of the classical Runge-Kutta method for a damped pendulum with torque `u`."""

    def slope(angle: Any, speed: Any) -> Any:
        return speed, u - 9.81 * m.sin(angle) - 0.1 * speed

    a, w = state
    k1, l1 = slope(a, w)
    k2, l2 = slope(a + 0.5 * DT * k1, w + 0.5 * DT * l1)
    k3, l3 = slope(a + 0.5 * DT * k2, w + 0.5 * DT * l2)
    k4, l4 = slope(a + DT * k3, w + DT * l3)
    return a + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4), w + DT / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


def rollout_cost(m: Any, state: Any, controls: Any) -> Any:
    """How far from upright the pendulum ends, and what that costs; one step after the other."""
    a, w = state[0], state[1]
    for u in controls:
        a, w = pendulum(m, (a, w), u)
    return (a - math.pi) ** 2 + 0.1 * w**2 + 0.001 * m.dot(controls, controls)


def rollout(steps: int) -> Iterator[Problem]:
    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return rng.normal(0, 0.1, 2), rng.normal(0, 1, steps)

    peers: dict[str, Any] = {}
    if JAX:

        def cost(state: Any, controls: Any) -> Any:
            (a, w), _ = jax.lax.scan(lambda s, u: (pendulum(J, s, u), None), (state[0], state[1]), controls)
            return (a - math.pi) ** 2 + 0.1 * w**2 + 0.001 * jnp.dot(controls, controls)

        peers["jax"] = lambda: jax_calls(jax.value_and_grad(cost, argnums=(0, 1)))
    if CASADI:
        function = lambda: casadi_gradient(lambda s, u: rollout_cost(C, s, u), 2, steps)  # noqa: E731
        peers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    if TORCH:
        peers["torch"] = lambda: torch_gradient(lambda s, u: rollout_cost(T, s, u), (0, 1))

    unrolled = lambda: direct_calls(jit(value_and_grad(lambda s, u: rollout_cost(M, s, u), argnums=(0, 1))))  # noqa: E731
    yield Problem(f"pendulum, {steps} steps: gradient", draw, {"ours": unrolled, **peers})

    def scanned(state: Any, controls: Any) -> Any:
        (a, w), _ = M.scan(lambda s, u: (pendulum(M, s, u), None), (state[0], state[1]), controls)
        return (a - math.pi) ** 2 + 0.1 * w**2 + 0.001 * M.dot(controls, controls)

    loop = lambda: direct_calls(jit(value_and_grad(scanned, argnums=(0, 1))))  # noqa: E731
    yield Problem(f"pendulum, {steps} steps: scan", draw, {"ours": loop, **peers})


# --- Option prices ---------------------------------------------------------------------------------------------------


def call_price(m: Any, spot: Any, strike: Any, years: Any, rate: Any, volatility: Any) -> Any:
    """The price of a European call: Black and Scholes, 1973."""
    spread = volatility * m.sqrt(years)
    d1 = (m.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    d2 = d1 - spread
    return spot * normal(m, d1) - strike * m.exp(-rate * years) * normal(m, d2)


def normal(m: Any, x: Any) -> Any:
    return 0.5 * (1.0 + m.erf(x * math.sqrt(0.5)))


def black_scholes(rows: int) -> Problem:
    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        low, high = (80, 90, 0.2, 0.0, 0.1), (120, 110, 2.0, 0.05, 0.5)
        return tuple([rng.uniform(a, b, rows) for a, b in zip(low, high, strict=True)])

    all_of_them = tuple(range(5))
    makers: dict[str, Any] = {"ours": lambda: our_rows(value_and_grad(lambda *x: call_price(M, *x), all_of_them))}
    if JAX:
        makers["jax"] = lambda: jax_calls(jax.vmap(jax.value_and_grad(lambda *x: call_price(J, *x), all_of_them)))
    if CASADI:

        def function() -> Any:
            xs = symbols(1, 1, 1, 1, 1)
            y = call_price(C, *xs)
            return ca.Function("f", xs, [y, *[ca.gradient(y, x) for x in xs]]).map(rows)

        makers |= {"casadi call": lambda: casadi_call(function(), columns),
                   "casadi buffer": lambda: casadi_buffer(function())}  # fmt: skip
    if TORCH:
        makers["torch"] = lambda: torch_gradient(lambda *x: call_price(T, *x), all_of_them, rows=True)
    return Problem(f"black-scholes, {rows:,} rows: greeks", draw, makers)


def our_rows(f: Callable[..., Any]) -> Callable[..., Any]:
    """A run of ours over rows: arrays in, arrays out."""
    compiled = jit(f)
    return lambda inputs: compiled.map(*inputs)


# --- A two-link arm --------------------------------------------------------------------------------------------------


def arm(m: Any, q: Any, target: Any) -> Any:
    """The distances in x and y from the target to the hand of an arm with two links."""
    a, b = q[0], q[0] + q[1]
    return [1.0 * m.cos(a) + 0.8 * m.cos(b) - target[0], 1.0 * m.sin(a) + 0.8 * m.sin(b) - target[1]]


def reach(m: Any, target: Any, steps: int, jacobian_of: Callable[..., Any]) -> Any:
    """The angles after Newton's method from a bent elbow."""
    q = [0.3, 1.2]
    for _ in range(steps):
        (x, y), ((a, b), (c, d)) = arm(m, q, target), jacobian_of(q, target)
        det = a * d - b * c
        q = [q[0] - (d * x - b * y) / det, q[1] - (a * y - c * x) / det]
    return q


def arm_jacobian() -> Problem:
    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return rng.uniform(0.2, 1.4, 2), rng.uniform(0.5, 1.0, 2)

    makers: dict[str, Any] = {}

    def residual_and_jacobian(q: Any, target: Any) -> Any:
        return arm(M, q, target), jacobian(lambda q: arm(M, q, target))(q)

    makers["ours"] = lambda: direct_calls(jit(residual_and_jacobian))
    if JAX:
        residual = lambda q, t: jnp.stack(arm(J, q, t))  # noqa: E731
        makers["jax"] = lambda: jax_calls(lambda q, t: (residual(q, t), jax.jacfwd(residual)(q, t)))
    if CASADI:

        def function() -> Any:
            q, t = symbols(2, 2)
            r = ca.vertcat(*arm(C, items(q), items(t)))
            return ca.Function("f", [q, t], [r, ca.jacobian(r, q).T])  # by columns, as NumPy's rows

        makers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    if TORCH:
        residual_t = lambda q, t: torch.stack(arm(T, q, t))  # noqa: E731
        makers["torch"] = lambda: direct_calls(lambda q, t: (residual_t(q, t), torch.func.jacfwd(residual_t)(q, t)))
    return Problem("two-link arm: residual and jacobian", draw, makers)


def arm_newton(rows: int, steps: int = 8) -> Problem:
    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        angle, radius = rng.uniform(0.4, 1.4, rows), rng.uniform(1.2, 1.5, rows)
        return (np.ascontiguousarray(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)),)

    ours = lambda target: reach(M, target, steps, jacobian(lambda q, t: arm(M, q, t)))  # noqa: E731
    makers: dict[str, Any] = {"ours": lambda: our_rows(ours)}
    if JAX:

        def one(target: Any) -> Any:
            def step(_: Any, q: Any) -> Any:
                residual = lambda q: jnp.stack(arm(J, q, target))  # noqa: E731
                (x, y), ((a, b), (c, d)) = residual(q), jax.jacfwd(residual)(q)
                det = a * d - b * c
                return q - jnp.stack([(d * x - b * y) / det, (a * y - c * x) / det])

            return jax.lax.fori_loop(0, steps, step, jnp.array([0.3, 1.2]))

        makers["jax"] = lambda: jax_calls(jax.vmap(one))
    if CASADI:

        def function() -> Any:
            q, t = symbols(2, 2)
            r = ca.vertcat(*arm(C, items(q), items(t)))
            jac = ca.Function("j", [q, t], [r, ca.jacobian(r, q)])
            x = ca.DM([0.3, 1.2])
            for _ in range(steps):
                value, matrix = jac(x, t)
                det = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
                dx = (matrix[1, 1] * value[0] - matrix[0, 1] * value[1]) / det
                x = x - ca.vertcat(dx, (matrix[0, 0] * value[1] - matrix[1, 0] * value[0]) / det)
            return ca.Function("f", [t], [x]).map(rows)

        makers["casadi call"] = lambda: casadi_call(function(), columns)
        makers["casadi buffer"] = lambda: casadi_buffer(function())
    return Problem(f"two-link arm: {rows:,} targets, {steps} newton steps", draw, makers)


# --- Gaussian mixture (ADBench) --------------------------------------------------------------------------------------


def gmm(d: int, k: int, n: int) -> Problem:
    """The log-likelihood of n points under k Gaussians, with a Wishart prior; gradient by all parameters."""
    below = d * (d - 1) // 2
    gamma, degrees = 1.0, 0

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return rng.normal(0, 1, k), rng.normal(0, 1, (k, d)), rng.normal(0, 0.3, (k, d + below))

    points = np.random.default_rng(1).normal(0, 1, (n, d))
    degree = d + degrees + 1
    prior_constant = k * (
        degree * d * (math.log(gamma) - 0.5 * math.log(2))
        - (
            0.25 * d * (d - 1) * math.log(math.pi)
            + sum(math.lgamma(0.5 * degree + 0.5 * (1 - j)) for j in range(1, d + 1))
        )
    )
    constant = -n * d * 0.5 * math.log(2 * math.pi)

    def component(m: Any, x: Any, alpha: Any, mean: Any, icf: Any) -> Any:
        """log of weight times density at x, without constants. icf: log of the diagonal, then below it by columns."""
        away = [a - b for a, b in zip(x, mean, strict=True)]
        total = []
        for i in range(d):
            terms = [m.exp(icf[i])] + [icf[d + j * (2 * d - j - 1) // 2 + i - j - 1] for j in range(i)]
            total.append(m.dot(terms, [away[i], *away[:i]]))
        return alpha + m.sum(icf[:d]) - 0.5 * m.dot(total, total)

    def point_term(m: Any, x: Any, alphas: Any, means: Any, icfs: Any) -> Any:
        return m.logsumexp([component(m, x, *p) for p in zip(alphas, means, icfs, strict=True)])

    def shared_term(m: Any, alphas: Any, icfs: Any) -> Any:
        prior = []
        for icf in icfs:
            diagonal = [m.exp(q) for q in icf[:d]]
            squares = m.dot(diagonal, diagonal) + (m.dot(icf[d:], icf[d:]) if below else 0.0)
            prior.append(0.5 * gamma * gamma * squares - degrees * m.sum(icf[:d]))
        return m.sum(prior) - prior_constant - n * m.logsumexp(alphas) + constant

    def ours() -> Any:
        alphas = [Value(0.0) for _ in range(k)]
        means, icfs = ([[Value(0.0) for _ in range(width)] for _ in range(k)] for width in (d, d + below))
        parameters = [*alphas, *itertools.chain(*means), *itertools.chain(*icfs)]
        # The shared term is divided among the points, as `mean` of one function is the only total with a gradient.
        objective = jit(lambda x: point_term(M, x, alphas, means, icfs) + shared_term(M, alphas, icfs) / float(n))

        def run(inputs: tuple[Array, ...]) -> Any:
            for p, number in zip(parameters, np.concatenate([x.reshape(-1) for x in inputs]).tolist(), strict=True):
                p.data, p.grad = number, 0.0
            mean = objective.mean(points)
            mean.backward()
            return np.array([mean.data, *[p.grad for p in parameters]]) * n

        return run

    index = np.full((d, d), below)
    for j in range(d):
        for i in range(j + 1, d):
            index[i, j] = j * (2 * d - j - 1) // 2 + i - j - 1

    def objective_array(xp: Any, x: Any, at: Any, alphas: Any, means: Any, icfs: Any) -> Any:
        diagonal = xp.exp(icfs[:, :d])
        lower = xp.concatenate([icfs[:, d:], xp.zeros((k, 1))], 1)[:, at]
        away = x[:, None, :] - means[None]
        turned = diagonal[None] * away + xp.sum(lower[None] * away[:, :, None, :], -1)
        logs = alphas + xp.sum(icfs[:, :d], 1) - 0.5 * xp.sum(turned**2, -1)
        prior = 0.5 * gamma * gamma * (xp.sum(diagonal**2) + xp.sum(icfs[:, d:] ** 2)) - degrees * xp.sum(icfs[:, :d])
        return xp.sum(xp.logsumexp(logs)) + prior - prior_constant - n * xp.logsumexp(alphas) + constant

    makers: dict[str, Any] = {"ours": ours}
    if JAX:
        makers["jax"] = lambda: jax_calls(
            jax.value_and_grad(lambda *p: objective_array(J, jnp.asarray(points), index, *p), argnums=(0, 1, 2))
        )
    if CASADI:

        def function() -> Any:
            a, m, q, x = symbols(k, k * d, k * (d + below), d)
            rows = [items(m)[i * d : i * d + d] for i in range(k)]
            icfs = [items(q)[i * (d + below) : (i + 1) * (d + below)] for i in range(k)]
            y = point_term(C, items(x), items(a), rows, icfs) + shared_term(C, items(a), icfs) / n
            both = ca.Function("f", [a, m, q, x], [y, ca.gradient(y, a), ca.gradient(y, m), ca.gradient(y, q)])
            return both.map("total", "serial", n, [0, 1, 2], [0, 1, 2, 3])

        def with_points(run: Run, data: Array, prepare: Callable[[Array], Array]) -> Run:
            return lambda inputs: run((*map(prepare, inputs), data))

        flatten, same = (lambda x: x.reshape(-1)), (lambda x: x)
        makers["casadi call"] = lambda: with_points(casadi_call(function()), points.T, flatten)
        makers["casadi buffer"] = lambda: with_points(casadi_buffer(function()), points, same)
    if TORCH:
        at = torch.as_tensor(index)
        tensor = torch.as_tensor(points)
        makers["torch"] = lambda: torch_gradient(lambda *p: objective_array(T, tensor, at, *p), (0, 1, 2))
    return Problem(f"gmm d={d} K={k} n={n:,}: gradient", draw, makers)


# --- Bundle adjustment (ADBench) -------------------------------------------------------------------------------------


def residual(m: Any, camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    """The reprojection error of a point in a camera: rotation vector, centre, focal length, principal point, radial.

    Rodrigues' formula, written for a rotation that is not zero.
    """
    r, centre, focal, x0, y0, k1, k2 = camera[:3], camera[3:6], camera[6], camera[7], camera[8], camera[9], camera[10]
    x = [a - b for a, b in zip(point, centre, strict=True)]
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    theta = m.sqrt(square)
    c, s = m.cos(theta), m.sin(theta)
    w = [a / theta for a in r]
    cross = [w[1] * x[2] - w[2] * x[1], w[2] * x[0] - w[0] * x[2], w[0] * x[1] - w[1] * x[0]]
    along = (w[0] * x[0] + w[1] * x[1] + w[2] * x[2]) * (1.0 - c)
    p = [x[i] * c + cross[i] * s + w[i] * along for i in range(3)]
    u, v = p[0] / p[2], p[1] / p[2]
    radius = u * u + v * v
    bend = 1.0 + radius * (k1 + radius * k2)
    return [weight * (u * bend * focal + x0 - feature[0]), weight * (v * bend * focal + y0 - feature[1])]


def bundle_adjustment(n: int) -> Problem:
    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        camera = np.concatenate(
            [rng.normal(0, 0.3, (n, 3)), rng.normal(0, 0.2, (n, 3)), rng.uniform(0.9, 1.1, (n, 1)),
             rng.normal(0, 0.01, (n, 4))], 1)  # fmt: skip
        point = np.concatenate([rng.normal(0, 1, (n, 2)), rng.uniform(4, 8, (n, 1))], 1)
        return (
            np.ascontiguousarray(camera),
            np.ascontiguousarray(point),
            rng.uniform(0.5, 1, n),
            rng.normal(0, 1, (n, 2)),
        )

    by = (0, 1, 2)

    def ours(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        f, x = (lambda *x: residual(M, *x)), (camera, point, weight, feature)
        return (f(*x), *[jacobian(f, n)(*x) for n in by])

    makers: dict[str, Any] = {"ours": lambda: our_rows(ours)}

    def arrays(xp: Any, *x: Any) -> Any:
        return xp.stack(residual(xp, *x))

    if JAX:
        f = lambda *x: arrays(J, *x)  # noqa: E731
        makers["jax"] = lambda: jax_calls(jax.vmap(lambda *x: (f(*x), jax.jacfwd(f, by)(*x))))
    if CASADI:

        def function() -> Any:
            xs = symbols(11, 3, 1, 2)
            r = ca.vertcat(*residual(C, items(xs[0]), items(xs[1]), xs[2], items(xs[3])))
            return ca.Function("f", xs, [r, *[ca.densify(ca.jacobian(r, x)).T for x in xs[:3]]]).map(n)

        makers["casadi call"] = lambda: casadi_call(function(), columns)
        makers["casadi buffer"] = lambda: casadi_buffer(function())
    if TORCH:
        g = lambda *x: arrays(T, *x)  # noqa: E731
        makers["torch"] = lambda: direct_calls(torch.func.vmap(lambda *x: (g(*x), torch.func.jacfwd(g, by)(*x))))
    return Problem(f"bundle adjustment, {n:,} observations: jacobian", draw, makers)


# --- LSTM (ADBench) --------------------------------------------------------------------------------------------------


def lstm(layers: int, width: int, steps: int) -> Problem:
    """The loss of a small LSTM that predicts the next of `steps` vectors; gradient by all weights."""
    sequence = (np.random.default_rng(2).uniform(0, 1, (steps, width)) > 0.5).astype(float)

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return rng.normal(0, 0.3, 8 * width * layers), rng.normal(0, 0.3, 3 * width)

    def loss(m: Any, main: Any, extra: Any) -> Any:
        b = width
        state = [([0.0] * b, [0.0] * b) for _ in range(layers)]
        total = []
        for now, after in itertools.pairwise(sequence.tolist()):
            x = [a * e for a, e in zip(now, extra[:b], strict=True)]
            for n in range(layers):
                w, c = main[8 * b * n : 8 * b * n + 4 * b], main[8 * b * n + 4 * b : 8 * b * (n + 1)]
                hidden, cell = state[n]
                forget = [m.sigmoid(x[i] * w[i] + c[i]) for i in range(b)]
                ingate = [m.sigmoid(hidden[i] * w[b + i] + c[b + i]) for i in range(b)]
                outgate = [m.sigmoid(x[i] * w[2 * b + i] + c[2 * b + i]) for i in range(b)]
                change = [m.tanh(hidden[i] * w[3 * b + i] + c[3 * b + i]) for i in range(b)]
                cell = [cell[i] * forget[i] + ingate[i] * change[i] for i in range(b)]
                hidden = [outgate[i] * m.tanh(cell[i]) for i in range(b)]
                state[n], x = (hidden, cell), hidden
            y = [x[i] * extra[b + i] + extra[2 * b + i] for i in range(b)]
            total.append(m.dot(after, y) - sum(after) * m.log(m.sum([m.exp(a) for a in y]) + 2.0))
        return -m.sum(total) / float(len(total))

    def loss_array(xp: Any, main: Any, extra: Any, loop: Callable[..., Any]) -> Any:
        b = width
        weights = main.reshape(layers, 8 * b)

        def step(state: Any, pair: Any) -> Any:
            now, after = pair
            x, new = now * extra[:b], []
            for n in range(layers):
                hidden, cell = state[2 * n], state[2 * n + 1]
                w, c = weights[n, : 4 * b].reshape(4, b), weights[n, 4 * b :].reshape(4, b)
                forget, ingate = xp.sigmoid(x * w[0] + c[0]), xp.sigmoid(hidden * w[1] + c[1])
                outgate, change = xp.sigmoid(x * w[2] + c[2]), xp.tanh(hidden * w[3] + c[3])
                cell = cell * forget + ingate * change
                hidden = outgate * xp.tanh(cell)
                new, x = [*new, hidden, cell], hidden
            y = x * extra[b : 2 * b] + extra[2 * b :]
            return tuple(new), xp.dot(after, y) - xp.sum(after) * xp.log(xp.sum(xp.exp(y)) + 2.0)

        zero = xp.zeros(b)
        return -loop(step, (zero,) * (2 * layers)) / float(steps - 1)

    makers: dict[str, Any] = {
        "ours": lambda: direct_calls(jit(value_and_grad(lambda p, q: loss(M, p, q), argnums=(0, 1))))
    }
    if JAX:
        pairs = jnp.asarray(sequence[:-1]), jnp.asarray(sequence[1:])
        looped = lambda step, state: jnp.sum(jax.lax.scan(step, state, pairs)[1])  # noqa: E731
        makers["jax"] = lambda: jax_calls(jax.value_and_grad(lambda p, q: loss_array(J, p, q, looped), argnums=(0, 1)))
    if CASADI:
        function = lambda: casadi_gradient(lambda p, q: loss(C, p, q), 8 * width * layers, 3 * width)  # noqa: E731
        makers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    if TORCH:
        tensors = torch.as_tensor(sequence)

        def python_loop(step: Any, state: Any) -> Any:
            total = 0.0
            for now, after in itertools.pairwise(tensors):
                state, term = step(state, (now, after))
                total = total + term
            return total

        makers["torch"] = lambda: torch_gradient(lambda p, q: loss_array(T, p, q, python_loop), (0, 1))
    return Problem(f"lstm {layers} layers of {width}, {steps} steps: gradient", draw, makers)


# --- A condition with a cheap and a costly side ----------------------------------------------------------------------


def condition(sines: int, costly: bool) -> Problem:
    """The gradient of a cond, always on its cheap side, or always on the one with the sines."""
    turns = np.linspace(0.5, 1.5, sines)

    def ours(x: Any) -> Any:
        return M.cond(x > 0.0, lambda x: M.sum([M.sin(k * x) for k in turns.tolist()]), lambda x: x * x, x)

    makers: dict[str, Any] = {"ours": lambda: direct_calls(jit(value_and_grad(ours)))}
    if JAX:

        def theirs(x: Any) -> Any:
            return jax.lax.cond(x > 0.0, lambda x: jnp.sum(jnp.sin(turns * x)), lambda x: x * x, x)

        makers["jax"] = lambda: jax_calls(jax.value_and_grad(theirs))
    draw = lambda rng: (rng.uniform(0.1, 0.9) * (1.0 if costly else -1.0),)  # noqa: E731
    return Problem(f"cond, {sines:,} sines: gradient, {'costly' if costly else 'cheap'} side", draw, makers)


# --- What a call costs -----------------------------------------------------------------------------------------------


def overhead(results: int) -> Problem:
    """Ten numbers in, and next to nothing computed."""
    many = results > 1
    scalar = lambda x: [2.0 * a for a in x] if many else x[0] * x[1] + x[9]  # noqa: E731
    makers: dict[str, Any] = {"ours": lambda: direct_calls(jit(scalar))}
    if JAX:
        makers["jax"] = lambda: jax_calls(lambda x: 2.0 * x if many else x[0] * x[1] + x[9])
    if CASADI:

        def function() -> Any:
            (x,) = symbols(10)
            return ca.Function("f", [x], [2.0 * x if many else scalar(items(x))])

        makers |= {"casadi call": lambda: casadi_call(function()), "casadi buffer": lambda: casadi_buffer(function())}
    return Problem(
        f"a call: ten numbers, {'ten results' if many else 'one result'}", lambda rng: (rng.normal(0, 1, 10),), makers
    )


# --- Measuring -------------------------------------------------------------------------------------------------------


def problems(quick: bool) -> list[Problem]:
    n = 50 if quick else 1000
    return [
        overhead(1),
        overhead(10),
        rosenbrock_gradient(10 if quick else 100),
        rosenbrock_gradient(30 if quick else 1000),
        rosenbrock_hessian(10 if quick else 100),
        rosenbrock_hessian(20 if quick else 1000),
        *rollout(20 if quick else 200),
        arm_jacobian(),
        arm_newton(n),
        black_scholes(100 * n),
        bundle_adjustment(n),
        gmm(2, 5, n),
        gmm(2, 25, n),
        gmm(10, 5, n),
        *([] if quick else [gmm(10, 25, n)]),
        lstm(2, 4 if quick else 14, 6 if quick else 32),
        *[condition(100 if quick else 1000, costly) for costly in (False, True)],
    ]


def prepared(competitor: str, inputs: tuple[Array, ...]) -> Any:
    """The inputs in the form that the competitor reads fastest."""
    if competitor == "jax":
        return tuple([jnp.asarray(x) for x in inputs])
    if competitor == "torch":
        return tuple([torch.as_tensor(x) for x in inputs])
    return inputs


def results_of(competitor: str, problem: Problem, found: Any) -> Array:
    """All the numbers that a run gave, in the order in which JAX gives them."""
    if competitor.startswith("casadi"):
        parts = list(found) if isinstance(found, list | tuple) else [found]
        # CasADi stores columns, which is a row for each example of a map, as NumPy has it.
        return np.concatenate([np.array(x.full() if hasattr(x, "full") else x).reshape(-1, order="F") for x in parts])
    if hasattr(found, "toarray"):
        return found.toarray().reshape(-1)
    return flat(found)


def compiled(
    problem: Problem, competitor: str, draws: list[tuple[Array, ...]]
) -> tuple[Callable[[], Any], float, Array]:
    """A run that takes the next inputs at each call, how long it took to compile, and the first results."""
    given = [prepared(competitor, inputs) for inputs in draws]
    start = time.perf_counter()
    run = problem.makers[competitor]()
    found = run(given[0])
    seconds = time.perf_counter() - start
    return in_turn(run, given[1:]), seconds, results_of(competitor, problem, found)


def in_turn(run: Callable[..., Any], given: list[Any]) -> Callable[[], Any]:
    """A function that runs on the next of the inputs at each call."""
    turns = itertools.cycle(given)
    return lambda: run(next(turns))


def disagreement(found: Array, expected: Array) -> float:
    """The largest difference, relative to the largest number expected."""
    if found.shape != expected.shape:
        return math.inf
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def per_call(run: Callable[[], object]) -> float:
    """The mean time of a call in a round of calls."""
    calls, start = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed > ENOUGH:
            return elapsed / calls


def measure(problem: Problem) -> dict[str, tuple[float, float]]:
    """The run and compile time of each competitor. Prints which of them does not agree with JAX."""
    rng = np.random.default_rng(0)
    draws = [problem.draw(rng) for _ in range(INPUTS)]
    runs, compile_times, results = {}, {}, {}
    for competitor in problem.makers:
        runs[competitor], compile_times[competitor], results[competitor] = compiled(problem, competitor, draws)
    if "jax" in results:
        for competitor, found in results.items():
            if "hessian" in problem.name and competitor == "casadi buffer":
                continue  # the nonzeros only
            if (off := disagreement(found, results["jax"])) > TOLERANCE:
                print(f"    {competitor} differs from jax by {off:.1e} in {problem.name}")
    best = dict.fromkeys(runs, math.inf)
    for _ in range(ROUNDS):
        for competitor, run in runs.items():
            if best[competitor] == math.inf or best[competitor] < 1:  # a slow one is run once
                best[competitor] = min(best[competitor], per_call(run))
    return {competitor: (best[competitor], compile_times[competitor]) for competitor in runs}


COLUMNS = ("jax", "casadi call", "casadi buffer", "torch")


def show(problem: Problem, times: dict[str, tuple[float, float]]) -> None:
    """One line: our time, and how many times longer each peer takes; then the compile times."""
    ours = times.get("ours")
    cells = [f"{ours[0] * 1e6:>10,.1f}" if ours else f"{'-':>10}"]
    for peer in COLUMNS:
        if peer not in times:
            cells.append(f"{'-':>20}")
            continue
        ratio = f"{times[peer][0] / ours[0]:,.2f}x" if ours else ""
        cells.append(f"{times[peer][0] * 1e6:>11,.1f} {ratio:>8}")
    compile_times = [f"{times[x][1]:>7.2f}" if x in times else f"{'-':>7}" for x in ("ours", "jax", "casadi call")]
    print(f"{problem.name:<50}{''.join(cells)}   {''.join(compile_times)}", flush=True)


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    quick = "--quick" in sys.argv
    print("Microseconds per call; of peers also how many times ours. Compile times in seconds.\n")
    heading = "".join([f"{peer:>20}" for peer in COLUMNS])
    print(f"{'':<50}{'ours':>10}{heading}   {'ours':>7}{'jax':>7}{'casadi':>7}")
    for problem in problems(quick):
        if not words or any(word in problem.name for word in words):
            show(problem, measure(problem))


if __name__ == "__main__":
    main()
