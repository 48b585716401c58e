"""Bundle adjustment: where six cameras stood and 120 points lie, from where the points appear in the pictures.

    python demos/bundle.py --plot out/bundle.png

An observation depends on one camera and one point, so a row of the Jacobian has 9 numbers. They are compiled for one
observation and mapped over all; SciPy's `least_squares` takes them as a sparse matrix.
"""

import argparse
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import csr_array

from autograd_lite import cos, jacobian, jit, sin, sqrt

mpl.use("Agg")
import matplotlib.pyplot as plt

FOCAL, NOISE, CAMERAS = 800.0, 0.5, 6  # in pixels


def project(camera, point):
    """Where a point appears: turned by the rotation vector (Rodrigues' formula), moved, and divided by its distance."""
    r, t = camera[:3], camera[3:]
    angle = sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2 + 1e-12)
    k = [x / angle for x in r]
    cross = [k[1] * point[2] - k[2] * point[1], k[2] * point[0] - k[0] * point[2], k[0] * point[1] - k[1] * point[0]]
    along = (k[0] * point[0] + k[1] * point[1] + k[2] * point[2]) * (1 - cos(angle))
    x, y, z = [p * cos(angle) + c * sin(angle) + a * along + b for p, c, a, b in zip(point, cross, k, t, strict=True)]
    return [FOCAL * x / z, FOCAL * y / z]


@jit
def observation(camera, point):
    """Where it appears, and the derivatives of that: two rows of six by the camera, two rows of three by the point."""
    return project(camera, point), jacobian(project, 0)(camera, point), jacobian(project, 1)(camera, point)


def scene():
    """The true cameras, around the points and turned to them, and the points, on a knot."""
    t = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    points = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], 1) / 2
    turns, zero = np.linspace(-1.0, 1.0, CAMERAS), np.zeros(CAMERAS)
    return np.stack([0.3 * np.sin(3 * turns), turns, zero, zero, zero, zero + 6], 1), points


def mapped(x):
    """What `observation` gives for each camera and each point: arrays with a row for each pair."""
    cameras, points = x[: 6 * CAMERAS].reshape(-1, 6), x[6 * CAMERAS :].reshape(-1, 3)
    rows = observation.map(np.repeat(cameras, len(points), 0), np.tile(points, (CAMERAS, 1)))
    return [part.reshape(len(part), -1) for part in rows]


def adjust(seen, start):
    n = (len(start) - 6 * CAMERAS) // 3
    camera, point = np.repeat(np.arange(CAMERAS), n), np.tile(np.arange(n), CAMERAS)
    columns = np.hstack([6 * camera[:, None] + np.arange(6), 6 * CAMERAS + 3 * point[:, None] + np.arange(3)])
    columns = np.repeat(columns, 2, 0)

    def sparse_jacobian(x):
        _, by_camera, by_point = mapped(x)
        values = np.hstack([by_camera.reshape(-1, 6), by_point.reshape(-1, 3)])
        return csr_array((values.ravel(), columns.ravel(), np.arange(0, values.size + 1, 9)), (len(values), len(x)))

    found = least_squares(lambda x: (mapped(x)[0] - seen).ravel(), start, sparse_jacobian, x_scale="jac", max_nfev=50)
    return found.x, sparse_jacobian(found.x)


def plot(points, before, after, jac, file: Path) -> None:
    figure = plt.figure(figsize=(12, 4.2), layout="constrained")
    for n, (title, x) in enumerate({"before": before, "after": after}.items()):
        axes = figure.add_subplot(1, 3, n + 1, projection="3d", computed_zorder=False)
        axes.plot(*np.vstack([points, points[:1]]).T, color="0.75", lw=1.2)
        axes.scatter(*x.T, c=np.arange(len(x)), cmap="twilight_shifted", s=26, ec="white", lw=0.4, depthshade=False)
        axes.set(title=title, xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), zlim=(-1, 1))
        axes.set_box_aspect((1, 1, 0.65), zoom=1.35)
        axes.view_init(50, -60)
        axes.set_axis_off()
    axes = figure.add_subplot(1, 3, 3, xlabel="cameras, then points", ylabel="observations")
    axes.spy(jac, markersize=0.35, aspect="auto", color="#35508c")
    axes.set(title=f"Jacobian: {jac.nnz:,} of {jac.shape[0] * jac.shape[1]:,} entries", xticks=[], yticks=[])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=Path("out/bundle.png"))
    options = parser.parse_args()
    rng, (cameras, points) = np.random.default_rng(7), scene()
    seen = mapped(np.append(cameras, points))[0]
    seen = seen + rng.normal(0, NOISE, seen.shape)
    start = np.append(cameras + rng.normal(0, 0.03, cameras.shape), points + rng.normal(0, 0.15, points.shape))
    x, jac = adjust(seen, start)
    before, after = [np.sqrt(np.mean((mapped(v)[0] - seen) ** 2)) for v in (start, x)]
    print(f"{len(seen)} observations of {len(points)} points in {CAMERAS} cameras, {len(x)} unknowns")
    print(f"reprojection error {before:.1f} -> {after:.3f} pixels, where the noise is {NOISE}")
    a, b = [v - v.mean(0) for v in (x[6 * CAMERAS :].reshape(-1, 3), points)]
    u, s, v = np.linalg.svd(a.T @ b)  # pictures do not tell where the world is, nor its size: lay one on the other
    plot(
        points,
        start[6 * CAMERAS :].reshape(-1, 3),
        a @ u @ v * s.sum() / np.sum(a**2) + points.mean(0),
        jac,
        options.plot,
    )
    print(f"the points are drawn in {options.plot}")


if __name__ == "__main__":
    main()
