"""Levenberg-Marquardt on measured data, with error bars from the Jacobian: how onions grow.

    python demos/growth.py --plot out/growth.png

The data and the certified results are those of the problem Rat43 in the Statistical Reference Datasets of NIST
(https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml), which rates its difficulty as high.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autograd_lite import exp, grad, jacobian, jit

WEIGHTS = [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93, 699.56, 689.96, 637.56,
           717.41]  # fmt: skip
TIMES = [float(n) for n in range(1, 16)]
START = [100.0, 10.0, 1.0, 1.0]
CERTIFIED = [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00]
CERTIFIED_ERRORS = [1.6302297817e01, 2.0828735829e00, 1.9566123451e-01, 6.8761936385e-01]


def weight(b, t):
    return b[0] / (1 + exp(b[1] - b[2] * t)) ** (1 / b[3])


def residuals(b):
    return [weight(b, t) - y for t, y in zip(TIMES, WEIGHTS, strict=True)]


both = jit(lambda b: (residuals(b), jacobian(residuals)(b)))  # one compiled call for the residuals and all derivatives


def fit(b):
    """The parameters, the inverse of J^T J there, and the sum of squares after each iteration."""
    damping, history = 1e-2, []
    r, J = map(np.array, both(b))
    while len(history) < 200 and (not history or damping < 1e12):
        damped = np.vstack([J, math.sqrt(damping) * np.diag(np.linalg.norm(J, axis=0))])
        step = np.linalg.lstsq(damped, -np.append(r, np.zeros(len(b))), rcond=None)[0]
        trial = [x + dx for x, dx in zip(b, step, strict=True)]
        new_r, new_J = map(np.array, both(trial))
        if new_r @ new_r < r @ r:  # False for a nan
            b, r, J, damping = trial, new_r, new_J, damping / 5
        else:
            damping *= 4
        history.append(r @ r)
    return b, np.linalg.inv(J.T @ J), history


def plot(b, covariance, history, file: Path) -> None:
    times = np.linspace(0, 16, 200)
    curve = np.array([weight(b, t) for t in times])
    slopes = np.array([grad(weight)(b, t) for t in times])
    band = 2.20 * np.sqrt(np.einsum("ti,ij,tj->t", slopes, covariance, slopes))  # Student's t: 95 %, 11 degrees
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    left.fill_between(times, curve - band, curve + band, color="tab:green", alpha=0.18, lw=0, label="95 % of the fit")
    left.plot(times, curve, color="tab:green", lw=2.2, label="Levenberg-Marquardt")
    left.plot(times, [weight(START, t) for t in times], color="0.6", lw=1.2, ls="--", label="where it started")
    left.plot(TIMES, WEIGHTS, "o", color="black", ms=6, mec="white", label="measured")
    left.set(xlabel="time", ylabel="dry weight of bulbs and tops", xlim=(0, 16), ylim=(-20, 800))
    left.legend(loc="upper left", frameon=False)
    errors = np.sqrt(np.diag(covariance))
    for n, (x, error, true) in enumerate(zip(b, errors, CERTIFIED, strict=True)):
        right.errorbar(x / true, -n, xerr=error / true, fmt="o", color="tab:green", capsize=4, lw=2, ms=7)
        right.text(1.95, -n + 0.18, f"{x:.4g} ± {error:.2g}", ha="right", va="bottom", size=9)
    right.axvline(1, color="0.6", lw=0.9, ls="--")
    right.set(yticks=[0, -1, -2, -3], yticklabels=["$b_1$", "$b_2$", "$b_3$", "$b_4$"], xlim=(0.3, 2), ylim=(-3.6, 0.7))
    right.set(xlabel="estimate and standard error / certified value", title=f"{len(history)} iterations")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=Path("out/growth.png"))
    options = parser.parse_args()
    b, inverse, history = fit(START)
    covariance = inverse * history[-1] / (len(TIMES) - len(b))
    for n, (x, error) in enumerate(zip(b, np.sqrt(np.diag(covariance)), strict=True), 1):
        print(f"b{n} = {x:.8g} +- {error:.6g}   (certified {CERTIFIED[n - 1]:.8g} +- {CERTIFIED_ERRORS[n - 1]:.6g})")
    digits = min(-math.log10(abs(x / c - 1) + 1e-16) for x, c in zip(b, CERTIFIED, strict=True))
    print(f"sum of squares {history[-1]:.7f}, {digits:.1f} digits agree")
    plot(b, covariance, history, options.plot)
    print(f"the fit is drawn in {options.plot}")


if __name__ == "__main__":
    main()
