"""Sparse derivatives: the pattern from the graph, few sweeps by colouring, and the same numbers as dense ones."""

import itertools
import math
import random
from typing import Any

import pytest
from examples import rosenbrock
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_lite as ag
from autograd_lite import Value, calculus, hessian, jacobian, jit, sparsity
from autograd_lite.sparsity import color_columns, dependencies, members, star_colors, transposed

np = pytest.importorskip("numpy")
sparse = pytest.importorskip("scipy.sparse")


def arrow(x: Any) -> Any:
    return ag.sum([ag.sin(x[0] * a) for a in x[1:]]) + x[0] ** 3


def stencil(x: Any) -> list[Any]:
    return [a * ag.exp(b) - c for a, b, c in zip(x, x[1:], x[2:], strict=False)]


def point(n: int, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.uniform(-1.0, 1.0) for _ in range(n)]


# --- Patterns and colourings ----------------------------------------------------------------------------------------


def test_dependencies_leave_out_arguments_without_a_derivative() -> None:
    x, y, z = xs = [Value(0.5), Value(2.0), Value(3.0)]
    ys = [x * y, z.detach() * x, ag.where(x, y, z), ag.step(x) + z, 1.0, z, x.floor()]
    assert dependencies(ys, xs) == [0b011, 0b001, 0b110, 0b100, 0, 0b100, 0]


def test_sets_that_are_dropped_after_their_last_use_give_the_same_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = [Value(x) for x in point(40)]
    ys = [*stencil(xs), arrow(xs), xs[3], 1.0, rosenbrock(xs), xs[3].detach()]
    kept = dependencies(ys, xs)
    monkeypatch.setattr(sparsity, "MANY", -1)
    assert dependencies(ys, xs) == kept
    assert kept[:2] == [0b111, 0b1110]


@st.composite
def patterns(draw: st.DrawFn) -> tuple[list[int], int]:
    columns = draw(st.integers(1, 12))
    return draw(st.lists(st.integers(0, 2**columns - 1), max_size=12)), columns


@settings(deadline=None)
@given(patterns())
def test_columns_of_one_color_share_no_row(drawn: tuple[list[int], int]) -> None:
    pattern, columns = drawn
    colors = color_columns(pattern, columns)
    for mask in pattern:
        row = [colors[j] for j in members(mask)]
        assert len(set(row)) == len(row)
    assert transposed(transposed(pattern, columns), len(pattern)) == pattern


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_a_star_colouring_has_no_path_of_four_in_two_colors(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    n, pairs = drawn
    edges = {(i, j) for a, b in pairs for i, j in ((a, b), (b, a)) if a != b}
    colors = star_colors([sum({1 << j for a, j in edges if a == i} | {1 << i}) for i in range(n)])
    assert all(colors[i] != colors[j] for i, j in edges)
    for a, b, c, d in itertools.permutations(range(n), 4):
        if (a, b) in edges and (b, c) in edges and (c, d) in edges:
            assert (colors[a], colors[b]) != (colors[c], colors[d])


def test_the_number_of_sweeps_is_the_number_of_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = {"reverse": 0, "forward": 0}
    pull_back, push_directions = calculus.pull_back, calculus.push_directions

    def counted_pull_back(*args: Any) -> Any:
        sweeps["reverse"] += 1
        return pull_back(*args)

    def counted_push_directions(ys: Any, directions: Any) -> Any:
        sweeps["forward"] += len(directions)
        return push_directions(ys, directions)

    monkeypatch.setattr(calculus, "pull_back", counted_pull_back)
    monkeypatch.setattr(calculus, "push_directions", counted_push_directions)

    def count(run: Any) -> tuple[int, int]:
        sweeps.update(reverse=0, forward=0)
        run()
        return sweeps["reverse"], sweeps["forward"]

    assert count(lambda: hessian(rosenbrock)(point(50))) == (1, 3)
    assert count(lambda: hessian(arrow)(point(50))) == (1, 2)
    assert count(lambda: jacobian(stencil)(point(50))) == (3, 0)
    assert count(lambda: jacobian(lambda x: [x[0], x[0] * x[0], ag.sin(x[0])])(point(1))) == (0, 1)
    assert count(lambda: jacobian(rosenbrock)(point(50))) == (1, 0)


# --- The numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [rosenbrock, arrow])
@pytest.mark.parametrize("n", [6])
def test_hessians_are_those_of_jax(f: Any, n: int) -> None:
    jax = pytest.importorskip("jax")
    jnp, x = jax.numpy, np.array(point(n))

    def same(x: Any) -> Any:
        if f is rosenbrock:
            return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
        return jnp.sum(jnp.sin(x[0] * x[1:])) + x[0] ** 3

    want = jax.hessian(same)(x)
    for got in (hessian(f)(x), jit(hessian(f))(x), hessian(jit(f))(x), hessian(jit(f), sparse=True)(x).toarray()):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
        assert (np.asarray(got) == np.asarray(got).T).all()


@pytest.mark.parametrize("backend", ["auto", "numpy", "python"])
def test_sparse_matrices_have_the_dense_numbers(backend: str) -> None:
    for n in (2, 5, 30):
        for derivative, f in ((hessian, rosenbrock), (hessian, arrow), (jacobian, stencil)):
            g, h = derivative(f, sparse=True), derivative(jit(f, backend=backend), sparse=True)
            again = jit(derivative(f, sparse=True), backend=backend)
            for seed in range(2):
                x = point(n, seed)
                want = np.array(derivative(f)(x)).reshape(-1, n)
                for got in (g(x), h(x), again(x), h(np.array(x))):
                    assert isinstance(got, sparse.csr_array)
                    assert got.has_canonical_format
                    np.testing.assert_allclose(got.toarray(), want, rtol=1e-13, atol=1e-13)
            assert h(x).nnz == g(x).nnz < 3 * n + 2 * n


def test_a_large_hessian_is_tridiagonal() -> None:
    n = 1000
    matrix = hessian(jit(rosenbrock), sparse=True)(np.array(point(n)))
    assert matrix.shape == (n, n)
    assert matrix.nnz == 3 * n - 2
    x = point(n)
    tangent = point(n, 1)
    np.testing.assert_allclose(matrix @ tangent, ag.hvp(rosenbrock, (x,), (tangent,)), rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_random_functions_have_the_derivatives_of_their_rows(seed: int) -> None:
    """Each row of the matrix against a reverse sweep of its own, and the Hessian of the sum against its rows."""
    rng = random.Random(seed)
    n = rng.randint(1, 7)

    def f(x: Any) -> list[Any]:
        draw, nodes = random.Random(seed), list(x)
        for _ in range(12):
            a, b = draw.choice(nodes), draw.choice(nodes)
            nodes.append(draw.choice([a * b, ag.sin(a), a + b, a - 2.0, ag.dot([a, b], [b, 0.5]), a.detach() * b]))
        return draw.sample(nodes, 5)

    x = point(n, seed)
    by_rows = [ag.grad(lambda x, i=i: f(x)[i])(x) for i in range(5)]
    for got in (jacobian(f)(x), jacobian(f, sparse=True)(x).toarray(), jacobian(jit(f, backend="python"))(x)):
        np.testing.assert_allclose(got, by_rows, rtol=1e-11, atol=1e-11)
    total = lambda x: ag.sum([y * y for y in f(x)])  # noqa: E731
    columns = [[ag.hvp(total, (x,), ([float(i == j) for i in range(n)],))[i] for j in range(n)] for i in range(n)]
    for second in (hessian(total)(x), hessian(total, sparse=True)(x).toarray(), jacobian(ag.grad(total))(x)):
        np.testing.assert_allclose(second, columns, rtol=1e-9, atol=1e-9)


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_a_sparse_matrix_of_values_is_refused() -> None:
    w = Value(2.0)
    with pytest.raises(TypeError, match=r"hessian of .* with sparse=True gives numbers, .* call it with numbers"):
        hessian(lambda x: w * x[0] * x[1] * x[0], sparse=True)([1.0, 2.0])


def test_infinities_stay_in_their_columns() -> None:
    f = lambda x: [ag.sqrt(x[0]), ag.sqrt(x[1]) + x[2], x[2] * x[3]]  # noqa: E731
    got = jacobian(f)([0.0, 1.0, 2.0, 3.0])
    assert got == [[math.inf, 0.0, 0.0, 0.0], [0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 3.0, 2.0]]


def test_a_dense_pattern_has_a_colour_for_each_vertex() -> None:
    assert sorted(star_colors([(1 << 200) - 1] * 200)) == list(range(200))
    n = 60
    assert hessian(lambda x: ag.sum(x) ** 3)([0.5] * n) == [[6 * 0.5 * n] * n] * n


def test_a_sparse_result_may_be_changed_in_place() -> None:
    pytest.importorskip("scipy")
    f = jit(jacobian(lambda x: [x[0] * x[1], x[0] * x[0], x[1]], sparse=True))
    f([0.0, 2.0]).eliminate_zeros()
    assert f([1.0, 2.0]).toarray().tolist() == [[2.0, 1.0], [2.0, 0.0], [0.0, 1.0]]
