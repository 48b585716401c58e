"""Newton's method, which knows the curvature, against gradient descent, which does not, in Rosenbrock's valley.

    python demos/curvature.py --plot out/curvature.png

Gradient descent takes about the largest steps that are stable on the valley's walls, and then crawls along its floor.
Newton's method solves H step = -gradient, with the Hessian H, and halves the step while it would go uphill.
"""

import argparse
import math
from pathlib import Path

import matplotlib as mpl

from autograd_lite import grad, hessian

mpl.use("Agg")
import matplotlib.pyplot as plt

Point = list[float]


def rosenbrock(point):
    x, y = point
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


slope, curvature = grad(rosenbrock), hessian(rosenbrock)


def gradient_descent(start: Point, steps: int, rate: float = 1e-3) -> list[Point]:
    """The points on the way from `start`, each a small step down the slope from the one before."""
    path = [start]
    for _ in range(steps):
        path.append([x - rate * g for x, g in zip(path[-1], slope(path[-1]), strict=True)])
    return path


def newton(start: Point, steps: int) -> list[Point]:
    """The points on the way from `start`, until the slope vanishes."""
    path = [start]
    while len(path) <= steps and math.hypot(*slope(path[-1])) > 1e-8:
        point = path[-1]
        (a, b), (_, d) = curvature(point)
        g, h = slope(point)
        det = a * d - b * b
        way = [-(d * g - b * h) / det, -(a * h - b * g) / det]  # -H^-1 g, by Cramer's rule
        size = 1.0
        while rosenbrock(new := [x + size * w for x, w in zip(point, way, strict=True)]) > rosenbrock(point):
            size /= 2
        path.append(new)
    return path


def plot(paths: dict[str, list[Point]], file: Path) -> None:
    xs, ys = [-1.7 + 0.02 * i for i in range(176)], [-0.7 + 0.02 * i for i in range(126)]
    heights = [[math.log10(1e-3 + rosenbrock([x, y])) for x in xs] for y in ys]
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    filled = axes.contourf(xs, ys, heights, levels=24, cmap="Greys_r")
    figure.colorbar(filled, label="log10 f(x, y)")
    for (name, path), style in zip(paths.items(), ("o-", "s-"), strict=True):
        axes.plot(*zip(*path, strict=True), style, ms=3.5, lw=1.3, label=f"{name}: {len(path) - 1} steps")
    axes.plot(1, 1, "*", color="gold", mec="black", ms=16, label="minimum")
    axes.set(title="Rosenbrock's valley, with and without curvature", xlabel="x", ylabel="y")
    axes.legend(loc="lower right")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="the most that either method takes")
    parser.add_argument("--plot", type=Path, default=Path("out/curvature.png"))
    options = parser.parse_args()
    start = [-1.2, 1.0]
    paths = {
        "gradient descent": gradient_descent(start, options.steps),
        "Newton's method": newton(start, options.steps),
    }
    for name, path in paths.items():
        x, y = path[-1]
        print(f"{name}: {len(path) - 1} steps to ({x:.6f}, {y:.6f}), f = {rosenbrock(path[-1]):.3e}")
    plot(paths, options.plot)
    print(f"both paths are drawn in {options.plot}")


if __name__ == "__main__":
    main()
