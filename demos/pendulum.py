"""A pendulum swings up: L-BFGS-B finds 120 torques, with the gradient through a simulation of six seconds.

    python demos/pendulum.py --plot out/pendulum.png

The motor is too weak to lift the pendulum at once, so it has to swing to and fro first. SciPy's L-BFGS-B finds that by
the gradient of the cost: its derivatives by every torque, through all the steps of the Runge-Kutta method.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.optimize import minimize

from autograd_lite import cos, dot, jit, sin, value_and_grad

DT, STEPS, GRAVITY, FRICTION, LIMIT = 0.05, 120, 9.81, 0.1, 3.0  # the limit is a third of what gravity needs


def slope(angle, speed, torque):
    return speed, torque - GRAVITY * sin(angle) - FRICTION * speed


def step(angle, speed, torque):
    """One step of the classical Runge-Kutta method."""
    k1, l1 = slope(angle, speed, torque)
    k2, l2 = slope(angle + DT / 2 * k1, speed + DT / 2 * l1, torque)
    k3, l3 = slope(angle + DT / 2 * k2, speed + DT / 2 * l2, torque)
    k4, l4 = slope(angle + DT * k3, speed + DT * l3, torque)
    return angle + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4), speed + DT / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


def rollout(torques):
    """The states after each step, from hanging at rest."""
    states = [(0.0, 0.0)]
    for torque in torques:
        states.append(step(*states[-1], torque))
    return states


def cost(torques):
    """How far from upright the pendulum is in the last second, how fast, and what the torques cost."""
    late = rollout(torques)[-int(1 / DT) :]
    return sum((1 + cos(a)) + 0.1 * w**2 for a, w in late) + 0.002 * dot(torques, torques)


def swing_up(iterations: int):
    """The torques, and the cost after each iteration."""
    costs, start = [], 0.5 * np.sin(math.sqrt(GRAVITY) * DT * np.arange(STEPS))  # a push in time with small swings
    found = minimize(
        jit(value_and_grad(cost)), start, jac=True, method="L-BFGS-B", bounds=[(-LIMIT, LIMIT)] * STEPS,
        options={"maxiter": iterations}, callback=lambda intermediate_result: costs.append(intermediate_result.fun),
    )  # fmt: skip
    return found.x.tolist(), costs


def plot(torques, costs, file: Path) -> None:
    states = rollout(torques)
    times, colors = [DT * n for n in range(STEPS + 1)], colormaps["viridis"]([n / STEPS for n in range(STEPS + 1)])
    figure = Figure(figsize=(11, 5), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 1.1])
    arm, angle, torque, progress = [figure.add_subplot(grid[x]) for x in (np.s_[:, 0], (0, 1), (1, 1), (2, 1))]
    for (a, _), color in zip(states, colors, strict=True):
        arm.plot([0, math.sin(a)], [0, -math.cos(a)], color=color, lw=1.1, alpha=0.35)
        arm.plot(math.sin(a), -math.cos(a), "o", color=color, ms=8, mec="white", mew=0.6)
    arm.plot(0, 0, "o", color="black", ms=6, zorder=5)
    arm.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.15, 1.15), title="every 50 ms, dark to bright")
    arm.axis("off")
    degrees = [math.degrees(a) for a, _ in states]
    angle.scatter(times, degrees, c=colors, s=12)
    angle.axhline(math.copysign(180, degrees[-1]), color="grey", lw=0.8, ls="--")
    angle.set(ylabel="angle [°]", xlim=(0, times[-1]), xticklabels=[])
    torque.fill_between(times, -LIMIT, LIMIT, color="0.94")
    torque.step(times[:-1], torques, where="post", color="0.3", lw=1.5)
    torque.set(ylabel="torque [N m]", xlabel="seconds", xlim=(0, times[-1]))
    progress.semilogy(range(1, len(costs) + 1), costs, color="0.3", lw=1.5)
    progress.set(ylabel="cost", xlabel="iteration of L-BFGS-B")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=200, help="of L-BFGS-B, at most")
    parser.add_argument("--plot", type=Path, default=Path("out/pendulum.png"))
    options = parser.parse_args()
    torques, costs = swing_up(options.iterations)
    angle, speed = np.abs(rollout(torques)[-1])
    print(f"cost {costs[0]:.2f} -> {costs[-1]:.3f} in {len(costs)} iterations")
    print(f"after {DT * STEPS:.0f} s the pendulum stands at {np.degrees(angle):.1f} degrees, at {speed:.3f} rad/s")
    plot(torques, costs, options.plot)
    print(f"the swing is drawn in {options.plot}")


if __name__ == "__main__":
    main()
