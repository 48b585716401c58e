"""Prices of 100,000 options, and how they move: all the first derivatives and gamma, from the formula of the price.

    python demos/options.py --plot out/options.png

The price of a European call is Black's and Scholes's (1973). The derivatives are not written here: `value_and_grad`
gives delta, theta, rho and vega, and differentiating delta again gives gamma.
"""

import argparse
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np

from autograd_lite import erf, exp, grad, jit, log, sqrt, value_and_grad

mpl.use("Agg")
import matplotlib.pyplot as plt

STRIKE = 100.0


def price(spot, years, rate, volatility):
    spread = volatility * sqrt(years)
    d1 = (log(spot / STRIKE) + (rate + 0.5 * volatility**2) * years) / spread
    return spot * normal(d1) - STRIKE * exp(-rate * years) * normal(d1 - spread)


def normal(x):
    """The distribution function of the normal distribution."""
    return 0.5 * (1 + erf(x * math.sqrt(0.5)))


@jit
def greeks(spot, years, rate, volatility):
    value, (delta, theta, rho, vega) = value_and_grad(price, argnums=(0, 1, 2, 3))(spot, years, rate, volatility)
    gamma = grad(grad(price))(spot, years, rate, volatility)
    return value, delta, gamma, vega, -theta, rho


def by_hand(spot, years, rate, volatility):
    """The textbook's formulas for the same, in NumPy."""
    spread = volatility * np.sqrt(years)
    d1 = (np.log(spot / STRIKE) + (rate + 0.5 * volatility**2) * years) / spread
    N, n = np.vectorize(lambda x: 0.5 * math.erfc(-x * math.sqrt(0.5))), np.exp(-0.5 * d1**2) / math.sqrt(2 * math.pi)
    later = STRIKE * np.exp(-rate * years) * N(d1 - spread)
    theta = -spot * n * volatility / (2 * np.sqrt(years)) - rate * later
    return (spot * N(d1) - later, N(d1), n / (spot * spread), spot * n * np.sqrt(years), theta, years * later)


def plot(side, spot, years, found, file: Path) -> None:
    names = ["price", "delta: by the spot", "gamma: delta by the spot", "vega: by the volatility",
             "theta: by the passing of time", "rho: by the interest rate"]  # fmt: skip
    figure, grid = plt.subplots(2, 3, figsize=(12, 6.6), sharex=True, sharey=True, layout="constrained")
    for axes, name, values in zip(grid.flat, names, found, strict=True):
        values = values.reshape(side, side)
        low, high = np.quantile(values, [0.002, 0.998])
        levels = np.linspace(low, high, 25)
        filled = axes.contourf(spot, years, values, levels, cmap="magma", extend="both")
        axes.contour(spot, years, values, levels[::3], colors="white", linewidths=0.4, alpha=0.6)
        axes.axvline(STRIKE, color="white", lw=0.8, ls=":")
        axes.set_title(name, fontsize=11)
        figure.colorbar(filled, ax=axes, shrink=0.9, format="%g", ticks=plt.MaxNLocator(5))
    for axes in grid[1]:
        axes.set_xlabel("spot")
    for axes in grid[:, 0]:
        axes.set_ylabel("years to expiry")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=317, help="options along each side of the picture")
    parser.add_argument("--plot", type=Path, default=Path("out/options.png"))
    options = parser.parse_args()
    side = options.side
    spot, years = np.meshgrid(np.linspace(60, 140, side), np.linspace(0.05, 2, side))
    columns = [x.reshape(-1) for x in (spot, years, np.full_like(spot, 0.03), np.full_like(spot, 0.25))]
    found = np.array(greeks.map(*columns))
    errors = [np.max(np.abs(x - y)) / np.max(np.abs(y)) for x, y in zip(found, by_hand(*columns), strict=True)]
    print(f"{side * side:,} options, {len(found)} numbers each; largest error against the textbook {max(errors):.1e}")
    plot(side, spot, years, found, options.plot)
    print(f"the sheet of greeks is drawn in {options.plot}")


if __name__ == "__main__":
    main()
