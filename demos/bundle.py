"""Bundle adjustment: where six cameras stood and 120 points lie, from where the points appear in the pictures.

    python demos/bundle.py --plot out/bundle.png

An observation depends on one camera and one point, so only 9 numbers in a row of the Jacobian are not 0. They are
compiled for one observation and mapped over all; SciPy's `least_squares` takes them as a sparse matrix.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares
from scipy.sparse import csr_array
from scipy.spatial import procrustes

from autograd_lite import cos, jacobian, jit, sin, sqrt

FOCAL, NOISE, CAMERAS = 800.0, 0.5, 6  # focal length and noise in pixels; how many cameras


def project(x):
    """A point in a camera's picture: rotated (Rodrigues' formula), moved, and divided by its depth."""
    r, t, point = x[:3], x[3:6], x[6:]
    angle = sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2 + 1e-12)
    k = [x / angle for x in r]
    cross = [k[1] * point[2] - k[2] * point[1], k[2] * point[0] - k[0] * point[2], k[0] * point[1] - k[1] * point[0]]
    along = (k[0] * point[0] + k[1] * point[1] + k[2] * point[2]) * (1 - cos(angle))
    x, y, z = [p * cos(angle) + c * sin(angle) + a * along + b for p, c, a, b in zip(point, cross, k, t, strict=True)]
    return [FOCAL * x / z, FOCAL * y / z]


@jit
def observation(x):
    """Where a point appears, and two rows of nine derivatives: by the camera's six numbers and by the point's three."""
    return project(x), jacobian(project)(x)


def observe(x):
    """`observation` of each pair of a camera and a point: arrays of shape (pairs, 2) and (pairs, 2, 9)."""
    cameras, points = x[: 6 * CAMERAS].reshape(-1, 6), x[6 * CAMERAS :].reshape(-1, 3)
    return observation.map(np.hstack([np.repeat(cameras, len(points), 0), np.tile(points, (CAMERAS, 1))]))


def adjust(seen, start):
    """The cameras and points that explain the pictures best, and the sparse Jacobian there."""
    n = (len(start) - 6 * CAMERAS) // 3
    camera, point = np.repeat(np.arange(CAMERAS), n), np.tile(np.arange(n), CAMERAS)
    columns = np.hstack([6 * camera[:, None] + np.arange(6), 6 * CAMERAS + 3 * point[:, None] + np.arange(3)])
    columns = np.repeat(columns, 2, 0).ravel()

    def sparse_jacobian(x):
        values = observe(x)[1].ravel()
        return csr_array((values, columns, np.arange(0, len(values) + 1, 9)), (seen.size, len(x)))

    found = least_squares(lambda x: (observe(x)[0] - seen).ravel(), start, sparse_jacobian, x_scale="jac", max_nfev=50)
    return found.x, sparse_jacobian(found.x)


def plot(points, before, after, jac, file: Path) -> None:
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for n, (title, x) in enumerate({"before": before, "after": after}.items()):
        axes = figure.add_subplot(1, 3, n + 1, projection="3d", computed_zorder=False, elev=50, azim=-60)
        axes.plot(*np.vstack([points, points[:1]]).T, color="0.75", lw=1.2)
        axes.scatter(*x.T, c=np.arange(len(x)), cmap="twilight_shifted", s=26, ec="white", lw=0.4, depthshade=False)
        axes.set(title=title, xlim=(-0.12, 0.12), ylim=(-0.12, 0.12), zlim=(-0.08, 0.08))
        axes.set_box_aspect((1, 1, 0.65), zoom=1.35)
        axes.set_axis_off()
    axes = figure.add_subplot(1, 3, 3, xlabel="cameras, then points", ylabel="observations")
    axes.spy(jac, markersize=0.35, aspect="auto", color="#35508c")
    axes.set(title=f"Jacobian: {jac.nnz:,} of {jac.shape[0] * jac.shape[1]:,} entries", xticks=[], yticks=[])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=Path("out/bundle.png"))
    options = parser.parse_args()
    rng, t, turn = np.random.default_rng(7), np.linspace(0, 2 * np.pi, 121)[1:], np.linspace(-1.0, 1.0, CAMERAS)
    points = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], 1) / 2  # a knot
    cameras = np.stack([0.3 * np.sin(3 * turn), turn, *np.zeros((3, CAMERAS)), np.full(CAMERAS, 6.0)], 1)  # around it
    seen = observe(np.append(cameras, points))[0]
    seen += rng.normal(0, NOISE, seen.shape)
    start = np.append(cameras + rng.normal(0, 0.03, cameras.shape), points + rng.normal(0, 0.15, points.shape))
    x, jac = adjust(seen, start)
    before, after = [np.sqrt(np.mean((observe(v)[0] - seen) ** 2)) for v in (start, x)]
    print(f"{len(seen)} observations of {len(points)} points in {CAMERAS} cameras, {len(x)} unknowns")
    print(f"reprojection error {before:.1f} -> {after:.3f} pixels, where the noise is {NOISE}")
    # Pictures determine the points only up to a motion and a scale: Procrustes' method aligns the two sets of points.
    begin, end = [procrustes(points, v[6 * CAMERAS :].reshape(-1, 3))[1] for v in (start, x)]
    plot(procrustes(points, points)[1], begin, end, jac, options.plot)
    print(f"the points are drawn in {options.plot}")


if __name__ == "__main__":
    main()
