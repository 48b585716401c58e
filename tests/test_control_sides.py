"""Only the side of a condition that is taken is computed: which operations are skipped, and that all numbers agree."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracles import jax, jnp, lax

import autograd_lite as al
from autograd_lite import Value, cond, fori_loop, grad, hessian, jit, jvp, primitive, scan, while_loop
from autograd_lite import primitives as p
from autograd_lite.compiler.backends import find_backends
from autograd_lite.compiler.executors import straightline
from autograd_lite.compiler.program import Guard, Instruction, Program, Strided
from autograd_lite.compiler.trace import TraceError

BACKENDS = [backend.name for backend in find_backends("auto")]
kernel: Any = import_module("autograd_lite.compiler.executors.kernel") if "native" in BACKENDS else None
KINDS = kernel.KINDS if kernel else ()
needs_kernel = pytest.mark.skipif(kernel is None, reason="the C kernel was not built")
none = array("d")


def close(ours: Any, theirs: Any, tolerance: float = 1e-11) -> None:
    found = [x.data if isinstance(x, Value) else x for x in al.trees.tree_leaves(ours)]
    expected = [float(x) for leaf in jax.tree.leaves(theirs) for x in jnp.ravel(leaf)]
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


# ---- counting what is computed

computed: list[float] = []


@primitive(partials=lambda z, x: (slope(x),))
def counted(x: float) -> float:
    """A function that notes each of its calls."""
    computed.append(x)
    return 0.5 * x * x


@primitive(partials=lambda z, x: (1.0,))
def slope(x: float) -> float:
    """Its derivative, which notes its calls, too."""
    computed.append(x)
    return x


@contextmanager
def evaluations(count: int) -> Iterator[None]:
    """Assert that `counted` and `slope` are computed `count` times meanwhile."""
    computed.clear()
    yield
    assert len(computed) == count


def costly(x: Any, steps: int = 10) -> Any:
    for _ in range(steps):
        x = counted(x) + 0.1
    return x


def one_side(x: Any) -> Any:
    return cond(x > 0.0, costly, lambda x: 3.0 * x * x, x)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_only_the_side_that_is_taken_is_computed(order: int) -> None:
    f = functools.reduce(lambda f, _: grad(f), range(order), one_side)
    compiled = jit(f, backend="python")
    compiled(0.5)
    with evaluations(0):
        assert compiled(-0.5) == [0.75, -3.0, 6.0][order]
    computed.clear()
    assert compiled(0.5) == pytest.approx(f(0.5), rel=1e-12)
    assert computed


@pytest.mark.parametrize("shape", ["tree", "nested", "closure", "captured", "scan", "where"])
def test_a_side_is_skipped_wherever_it_stands(shape: str) -> None:
    weight = Value(1.5)

    def f(x: Any, y: Any) -> Any:
        if shape == "tree":
            found = cond(x > 0.0, lambda t: {"a": [costly(t["x"]), t["y"]]}, lambda t: {"a": [t["y"], t["x"]]},
                         {"x": x, "y": y})  # fmt: skip
            return found["a"][0] * found["a"][1]
        if shape == "nested":
            return cond(y > -9.0, lambda a, b: cond(a > 0.0, lambda a: costly(a) * b, lambda a: a * b, a),
                        lambda a, b: costly(b) * a, x, y)  # fmt: skip
        if shape == "closure":
            return cond(x > 0.0, lambda: costly(x * y), lambda: x * y)
        if shape == "captured":
            return cond(x > 0.0, lambda a: costly(a * weight), lambda a: a * weight, x) * y
        if shape == "scan":
            return fori_loop(0, 3, lambda i, a: cond(a > 0.0, lambda a: costly(a) * y, lambda a: a * y, a), x)
        return al.where(x > 0.0, costly(x), x) * y

    derivatives = [f, grad(f, argnums=(0, 1))] if shape != "where" else [f]
    for g in derivatives:
        compiled = jit(g, backend="python")
        expected = g(-0.5, 0.7)
        compiled(0.5, 0.7)
        with evaluations(0):
            found = compiled(-0.5, 0.7)
        assert [float(getattr(x, "data", x)) for x in al.trees.tree_leaves(found)] == pytest.approx(
            [float(getattr(x, "data", x)) for x in al.trees.tree_leaves(expected)], rel=1e-12
        )


def test_the_second_derivative_of_nested_sides_in_a_loop() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, a: Any) -> Any:
            return cond(
                a > 0.0, lambda a: cond(a > 5.0, costly, lambda a: costly(a) + a, a), lambda a: 1.1 * a * a - 1.0, a
            )

        return fori_loop(0, 2, step, x)

    compiled = jit(grad(grad(f)), backend="python")
    compiled(0.5)
    with evaluations(0):
        found = compiled(-0.5)
    assert found == pytest.approx(grad(grad(f))(-0.5), rel=1e-12)


def test_rows_skip_a_side_for_themselves() -> None:
    compiled, xs = jit(one_side, backend="python"), [-1.0, 0.5, -2.0, 0.25]
    compiled(0.5)
    with evaluations(20):
        found = compiled.map(xs)
    assert found == pytest.approx([one_side(x) for x in xs], rel=1e-12)


def test_one_row_computes_the_gradient_of_captured_values_on_one_side() -> None:
    weight = Value(1.5)
    compiled = jit(lambda x: cond(x > 0.0, lambda: costly(x * weight), lambda: x * weight), backend="python")
    compiled(0.5).backward()
    weight.grad = 0.0
    with evaluations(0):
        compiled(-0.5).backward()
    assert weight.grad == -0.5


def test_a_while_loop_takes_no_step_on_the_other_side() -> None:
    """It would never end there: twice 0 is 0."""

    def f(x: Any) -> Any:
        return cond(x > 0.0, lambda x: while_loop(lambda y: y < 100.0, lambda y: 2.0 * y, x), lambda x: x, x)

    for backend in BACKENDS:
        assert [jit(f, backend=backend)(x) for x in (3.0, 0.0, -1.0)] == [192.0, 0.0, -1.0]


def doubled(y: Any, end: Any = 100.0) -> Any:
    """The first y * 2^n that is not less than `end`; no number is, if y is 0."""
    return while_loop(lambda y: y < end, lambda y: 2.0 * y, y)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_condition_between_equal_sides_may_depend_on_a_weight(backend: str) -> None:
    """No result depends on the condition, and so on v; the graph of the derivatives still does."""
    v, w = Value(3.0), Value(2.0)
    f = jit(lambda x: cond(v * x > 0.1, lambda: w * x, lambda: w * x), backend=backend)
    for y, gradient in ((f(0.5), 0.5), (f.mean([0.5, 1.0]), 0.75)):
        v.grad = w.grad = 0.0
        y.backward()
        assert (v.grad, w.grad) == (0.0, gradient)


def number(x: Any) -> float:
    """The number of a Value or a number."""
    return float(getattr(x, "data", x))


captured = Value(0.0)
ENDLESS: dict[str, Callable[[Any], Any]] = {
    "a constant": lambda x: doubled(0.0),
    "a constant, and what reads the result": lambda x: al.sqrt(doubled(0.0) * 2.0) * x,
    "a captured Value": lambda x: doubled(captured),
    "a captured Value, and what reads the result": lambda x: al.sin(doubled(captured) * 2.0) * captured + x,
    "the end": lambda x: doubled(0.0, captured + 1.0),
    "in steps": lambda x: fori_loop(0, 3, lambda i, y: doubled(y) + i, x),
    "in steps, of a captured Value": lambda x: fori_loop(0, 3, lambda i, y: doubled(captured) + y, x),
    "in steps with results": lambda x: sum(scan(lambda y, z: (doubled(y * z), y * y), x, [0.0, 1.0])[1]),
    "in steps that were differentiated": grad(
        lambda x: fori_loop(0, 3, lambda i, y: al.sin(y * x) + doubled(captured), x)
    ),
    "in the condition": lambda x: while_loop(lambda y: doubled(captured) < y, lambda y: y - 1.0, x),
    "in a while_loop": lambda x: while_loop(lambda y: y < 1.0, lambda y: doubled(0.0 * y), x),
}


@pytest.mark.parametrize("case", ENDLESS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_endless_loop_on_the_other_side_takes_no_step(backend: str, case: str) -> None:
    """Whatever the loop depends on, and also if it is the body of another loop."""

    def f(x: Any) -> Any:
        return cond(x > 0.0, ENDLESS[case], lambda x: x * x + captured, x)

    def along(x: Any) -> Any:
        return jvp(f, (x,), (1.0,))[1]

    compiled = jit(f, backend=backend)
    assert [number(compiled(x)) for x in (-3.0, 0.0)] == [9.0, 0.0]
    assert [number(y) for y in compiled.map([-1.0, -2.0, 0.0])] == [1.0, 4.0, 0.0]
    assert number(jit(along, backend=backend)(-3.0)) == -6.0
    assert number(jvp(compiled, (-3.0,), (1.0,))[1]) == -6.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_reverse_mode_passes_a_loop_whose_numbers_are_constant(backend: str) -> None:
    """The loop depends on the condition, which decides only how many steps it takes."""
    weight = Value(3.0)

    def f(x: Any) -> Any:
        return cond(x > 0.0, lambda x: doubled(3.0, 5.0 + x) * x * weight, lambda x: x * x, x)

    def in_steps(x: Any) -> Any:
        return cond(x > 0.0, lambda x: fori_loop(0, 2, lambda i, y: y * doubled(3.0) * weight, x), lambda x: x * x, x)

    for g in (f, in_steps):
        for x in (2.0, -2.0):
            slope = number(grad(g)(x))
            assert number(jit(grad(g), backend=backend)(x)) == number(grad(jit(g, backend=backend))(x)) == slope
            weight.grad = 0.0
            g(x).backward() if x > 0.0 else None
            expected, weight.grad = weight.grad, 0.0
            jit(g, backend=backend)(x).backward()
            assert weight.grad == expected

    with pytest.raises(TraceError, match="while_loop has no reverse mode"):
        jit(grad(lambda x: cond(x > 0.0, doubled, lambda x: x, x)), backend=backend)(1.0)


def rollout(x: Any, y: Any) -> Any:
    """A loop on each side of a condition, and one after them that reads what the first stored."""
    left = lambda: scan(lambda a, w: (counted(a) * w, a * a), x, [0.5, y, 2.0])  # noqa: E731
    last, ys = cond(y > 0.0, left, lambda: (x, [x, y, x]))
    return fori_loop(0, 2, lambda i, a: 0.5 * a + i, last) + ys[1] * x


@pytest.mark.parametrize("backend", ["python", "numpy"])
def test_a_loop_on_the_other_side_is_skipped(backend: str) -> None:
    """And so are the loops of its derivatives; where rows disagree, all run or each decides for itself."""
    second = grad(lambda x, y: grad(rollout, argnums=(0, 1))(x, y)[0], argnums=(0, 1))
    for f in (rollout, grad(rollout, argnums=(0, 1)), second):
        compiled = jit(f, backend=backend)
        compiled(0.5, 0.7)
        with evaluations(0):
            found = compiled(0.5, -0.7)
            rows = compiled.map([0.5, 0.25], [-0.7, -1.0])
        close([found, *rows], [f(0.5, -0.7), f(0.5, -0.7), f(0.25, -1.0)])
        close(compiled(0.3, 0.9), f(0.3, 0.9))
        close(compiled.map([0.3, 0.5, -0.2], [0.9, -0.7, 1.1]), [f(0.3, 0.9), f(0.5, -0.7), f(-0.2, 1.1)])
    compiled = jit(rollout, backend=backend)
    compiled(0.5, 0.7)
    with evaluations(6 if backend == "python" else 9):
        compiled.map([0.3, 0.5, -0.2], [0.9, -0.7, 1.1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_is_not_needed_leaves_zeros(backend: str) -> None:
    """What the loop of a pipeline gives, with a last program that shows it: for one row and for rows, also in C."""
    f = jit(lambda x: cond(x > 0.0, lambda: fori_loop(0, 4, lambda i, a: a + x, 1.0), lambda: x), backend=backend)
    f(1.0)
    pipeline = f._compiled.latest.forward_program
    assert "4 steps, if they are needed" in str(pipeline)
    (stage,) = pipeline.stages
    assert stage.plan.guarded
    width = stage.plan.widths[0]
    copies = Program((), 0, 1 + width, (), (), (), array("i", range(1 + width)), array("i"))
    shown = pipeline._replace(last=copies, reads=(0,))
    assert type(shown) is type(pipeline)
    run = shown.executor(f._compiled.latest.backends[0])
    expected = {x: [x] + ([1.0 + 4.0 * x] if x > 0.0 else [0.0]) for x in (2.0, -1.0)}
    for x, wanted in expected.items():
        results = [*run(1, array("d", [x]), none)[0]]
        assert results[0] == x
        assert wanted[1] in results[1:]
        assert x > 0.0 or set(results[1:]) == {0.0}
        if backend == "native":
            entry = kernel.pipeline_entry(shown, None, (float,), [float] * (1 + width), None, None)  # type: ignore[arg-type]
            assert entry((x,)) == results
    assert set([*run(2, array("d", [-1.0, -2.0]), none)[0]][1 : width + 1]) == {0.0}
    rows = [*run(2, array("d", [-1.0, 2.0]), none)[0]]
    assert 9.0 in rows[width + 2 :]


@needs_kernel
def test_the_kernel_refuses_a_guarded_loop_without_the_argument() -> None:
    body = kernel.load(Program((), 0, 1, (), (), (), array("i", [0]), array("i")))
    results = array("d", [1.0])
    body.loop(1, array("i", [3, 0, 1, 0, 0, 0, 1]), array("d", [5.0, 1.0]), (), results, none)
    assert [*results] == [5.0]
    body.loop(1, array("i", [3, 0, 1, 0, 0, 0, 1]), array("d", [5.0, 0.0]), (), results, none)
    assert [*results] == [0.0]
    with pytest.raises(ValueError, match="too few arguments"):
        body.loop(1, array("i", [3, 0, 1, 0, 0, 0, 1]), array("d", [5.0]), (), results, none)
    with pytest.raises(ValueError, match="loop: n is from 1 to"):
        body.loop(2**61, array("i", [3, 0, 1, 0, 0, 0, 1]), array("d", [5.0, 1.0]), (), results, none)


def test_a_condition_that_a_later_loop_gives_does_not_guard_an_earlier_one() -> None:
    def f(x: Any) -> Any:
        first = fori_loop(0, 3, lambda i, a: a * x + 0.5, x)
        second = fori_loop(0, 3, lambda i, a: 0.5 * a + x, first * 0.25)
        inner = fori_loop(0, 2, lambda i, a: al.sin(a * second), first)
        return cond(second > 0.0, lambda: cond(inner > 0.1, lambda: first * inner, lambda: inner), lambda: second)

    for backend in BACKENDS:
        for g in (f, grad(f), grad(grad(f))):
            compiled = jit(g, backend=backend)
            for x in (0.8, -0.8, 0.05):
                assert number(compiled(x)) == pytest.approx(number(g(x)), rel=1e-12)


# ---- the kernel: numbers of instructions that are skipped stay as they were


def guarded(taken: bool) -> Program:
    """The sine of x and its square, guarded by c, and 2 x. The results are all three, which shows what was skipped."""
    sine = Instruction(p.sin, 3, (1, 1, 1), (Strided(2),))
    square = Instruction(p.mul, 4, (1, 1, 1), (Strided(3), Strided(3)))
    after = Instruction(p.add, 5, (1, 1, 1), (Strided(2), Strided(2)))
    results, guard = array("i", [3, 4, 5]), Guard(0, 2, 1, taken)
    return Program((-0.0,), 0, 2, (), (sine, square, after), (), results, array("i"), (guard,))


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("n", [1, 3, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_skips_what_no_row_needs(taken: bool, n: int, kind: str) -> None:
    run = kernel.executor(guarded(taken), kind=kind)
    needed, not_needed = (2.0, 0.0) if taken else (0.0, float("nan"))

    def rows(condition: float, x: float) -> Any:
        return array("d", [condition, x] * n)

    first = run(n, rows(needed, 0.5), none)[0]
    second = run(n, rows(not_needed, 0.25), none)[0]
    third = run(n, rows(needed, 0.25), none)[0]
    sine, square, _ = first[:3]
    assert first[:3] * n == first
    assert second == array("d", [sine, square, 0.5] * n)  # not those of 0.25
    assert third[0] == pytest.approx(al.sin(0.25))
    assert third[1] == pytest.approx(al.sin(0.25) ** 2)


@needs_kernel
def test_one_row_in_a_block_needs_a_side() -> None:
    rows = array("d", [x for n in range(50) for x in (float(n == 37), 0.1 * n)])
    found = kernel.executor(guarded(True))(50, rows, none)[0]
    assert found[3 * 37] == pytest.approx(al.sin(3.7), rel=1e-14)


@pytest.mark.parametrize(
    "guard",
    [(-1, 1, 1, 1), (0, 0, 1, 1), (1, 0, 1, 1), (0, 4, 1, 1), (0, 2, -1, 1), (0, 2, 3, 1), (0, 2, 1, 2), (3, 4, 1, 1),
     (0, 2**31 - 1, 1, 1), (0, 2, 2**31 - 1, 1)],
)  # fmt: skip
@needs_kernel
def test_the_kernel_refuses_a_malformed_guard(guard: tuple[int, ...]) -> None:
    encoded = kernel.encode(guarded(True))
    encoded.layout[9:] = array("i", guard)
    with pytest.raises(ValueError, match="malformed program"):
        kernel._kernel.Program(*encoded)
    encoded.layout.pop()
    with pytest.raises(ValueError, match="the length of the layout"):
        kernel._kernel.Program(*encoded)


@needs_kernel
def test_guards_out_of_order_are_refused() -> None:
    program = guarded(True)
    program = Program(
        *[getattr(program, name) for name in Program.__slots__[:-1]], (Guard(1, 2, 1, True), Guard(0, 2, 1, True))
    )
    with pytest.raises(ValueError, match="the guard of instruction"):
        kernel.load(program)


@needs_kernel
def test_a_guard_inside_another_and_one_on_what_all_rows_share() -> None:
    """Nested guards that begin together, and a guard of an instruction that runs once."""
    once = Instruction(p.exp, 2, (1, 1, 1), (Strided(0),))
    each = [
        Instruction(p.sin, 5, (1, 1, 1), (Strided(3),)),
        Instruction(p.cos, 6, (1, 1, 1), (Strided(3),)),
        Instruction(p.cos, 7, (1, 1, 1), (Strided(3),)),
    ]
    guards = (Guard(0, 1, 1, True), Guard(1, 3, 1, True), Guard(1, 2, 4, False))
    program = Program((0.5,), 1, 2, (once,), tuple(each), (), array("i", [2, 5, 6, 7]), array("i"), guards)
    for kind in KINDS:
        run = kernel.executor(program, kind=kind)
        for n in (1, 5):
            run(n, array("d", [0.25, 0.0] * n), array("d", [1.0]))
            skipped = run(n, array("d", [0.75, 0.0] * n), array("d", [0.0]))[0]
            assert skipped[:4] == pytest.approx([al.exp(0.5), al.sin(0.25), al.cos(0.25), al.cos(0.75)], rel=1e-14)
            inner = run(n, array("d", [0.75, 1.0] * n), array("d", [1.0]))[0]
            assert inner[:4] == pytest.approx([al.exp(0.5), al.sin(0.25), al.cos(0.75), al.cos(0.75)], rel=1e-14)
    lines = straightline.source(program).splitlines()
    assert [line.strip() for line in lines if "if " in line] == ["if c0:", "if c0:", "if not x1:"]


# ---- numbers and derivatives


def heavy(m: Any, x: Any, y: Any, steps: int = 7) -> Any:
    for _ in range(steps):
        x = m.sin(x * y) + 0.1 * x
    return x


def many_sides(m: Any, choose: Callable[..., Any], x: Any, y: Any) -> Any:
    """Nested and repeated conditions on the functions of `m`, with `choose` for cond."""
    inner = choose(y > 0.5, lambda a, b: choose(a > 0.0, lambda a, b: heavy(m, a, b), lambda a, b: a - b, a, b),
                   lambda a, b: heavy(m, b, a), x, y)  # fmt: skip
    again = choose(y > 0.5, lambda a, b: heavy(m, a, b) * m.exp(a), lambda a, b: a * b, inner, x)
    return choose(x > 0.2, lambda a: heavy(m, a, inner), lambda a: again * a, y) + again


POINTS = [(0.7, 0.9), (-0.4, 0.9), (0.7, 0.1), (-0.4, -0.3), (0.2, 0.5)]


@functools.cache
def jax_results() -> list[tuple[Any, Any, Any]]:
    """Value, gradient and Hessian at each of POINTS."""

    def theirs(z: Any) -> Any:
        return many_sides(jnp, lax.cond, *z)

    both = jax.jit(lambda z: (theirs(z), jax.grad(theirs)(z), jax.jacfwd(jax.grad(theirs))(z)))
    return [both(jnp.array(point)) for point in POINTS]


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_values_and_derivatives_are_those_of_jax(backend: str) -> None:
    def ours(z: Any) -> Any:
        return many_sides(al, cond, *z)

    def along(z: Any) -> Any:
        return jvp(ours, (z,), ([1.0, -2.0],))[1]

    fs = [f if backend == "eager" else jit(f, backend=backend) for f in (ours, grad(ours), hessian(ours), along)]
    for point, (value, gradient, second) in zip(POINTS, jax_results(), strict=True):
        for f, expected in zip(fs, (value, gradient, second, gradient @ jnp.array([1.0, -2.0])), strict=True):
            close(f([*point]), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_that_take_different_sides_have_the_eager_gradients(backend: str) -> None:
    """In blocks, some rows need a side and some do not."""
    xs = [-1.0 + 0.043 * n for n in range(50)]
    ys = [1.0 - 0.031 * n for n in range(50)]
    f = jit(grad(lambda z: many_sides(al, cond, *z)), backend=backend)
    expected = [grad(lambda z: many_sides(al, cond, *z))([x, y]) for x, y in zip(xs, ys, strict=True)]
    for found, row in zip(f.map([list(z) for z in zip(xs, ys, strict=True)]), expected, strict=True):
        assert found == pytest.approx(row, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_with_sides_is_differentiated(backend: str) -> None:
    """The reverse loop reads what the steps stored of the side that each of them took."""

    def ours(x: Any, ws: Any) -> Any:
        def step(a: Any, w: Any) -> Any:
            new = cond(a > 0.3, lambda a: heavy(al, a, w), lambda a: a + 0.5 * w, a)
            return new, al.exp(new)

        last, ys = scan(step, x, ws)
        return last * ys[1] + ys[0]

    def theirs(x: Any, ws: Any) -> Any:
        def step(a: Any, w: Any) -> Any:
            new = lax.cond(a > 0.3, lambda a: heavy(jnp, a, w), lambda a: a + 0.5 * w, a)
            return new, jnp.exp(new)

        last, ys = lax.scan(step, x, ws)
        return last * ys[1] + ys[0]

    ws = [0.9, -0.4, 1.1, 0.3, 1.7]
    second = jax.jit(jax.grad(jax.grad(theirs)))
    first = jax.jit(jax.value_and_grad(theirs, (0, 1)))
    fs = [jit(f, backend=backend) for f in (ours, grad(ours, argnums=(0, 1)), grad(grad(ours)))]
    for x in (0.8, -0.2):
        value, gradient = first(x, jnp.array(ws))
        for f, expected in zip(fs, (value, gradient, second(x, jnp.array(ws))), strict=True):
            close(f(x, ws), expected)


@jit
def called(a: Any, b: Any) -> list[Any]:
    """Three results, on two sides of a condition."""
    return [a * b, al.sin(a) + b, cond(a > b, lambda: a * a, lambda: b / 3.0)]


def programs(draw: Any, depth: int) -> Any:
    """A function of the list xs that returns a number: arithmetic, heavy chains, conditions, loops and calls."""
    kind = draw(
        st.sampled_from(
            ["x", "x", "add", "mul", "sin", "cond", "cond", "heavy", "loop", "call", "sqrt", "weight"]
            if depth
            else ["x", "weight"]
        )
    )
    n = draw(st.integers(0, 2))
    if kind == "x":
        return lambda xs, w: xs[n]
    if kind == "weight":
        return lambda xs, w: w[n] * xs[n]
    f, g, h = programs(draw, depth - 1), programs(draw, depth - 1), programs(draw, depth - 1)
    if kind == "add":
        return lambda xs, w: f(xs, w) + g(xs, w)
    if kind == "mul":
        return lambda xs, w: f(xs, w) * g(xs, w)
    if kind == "sin":
        return lambda xs, w: al.sin(f(xs, w))
    if kind == "sqrt":  # nan for some numbers, with an infinite derivative at 0
        return lambda xs, w: cond(xs[n] > 0.0, lambda: al.sqrt(xs[n]) * f(xs, w), lambda: g(xs, w))
    if kind == "heavy":
        return lambda xs, w: heavy(al, f(xs, w), xs[n])
    if kind == "call":  # in eager code one run for all of its results
        return lambda xs, w: called(f(xs, w), g(xs, w))[n] * called(g(xs, w), 0.5)[0]
    if kind == "loop":
        return lambda xs, w: fori_loop(0, 3, lambda i, a: al.sin(a * xs[n]) + 0.3 * a, f(xs, w))
    closure = draw(st.booleans())
    if closure:
        return lambda xs, w: cond(f(xs, w) > 0.1, lambda: g(xs, w), lambda: h(xs, w))
    return lambda xs, w: cond(f(xs, w) > 0.1, g, h, xs, w)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.data())
def test_any_graph_with_conditions_has_the_eager_derivatives(data: Any) -> None:
    """Values, gradients by arguments and by captured Values, and second derivatives are those of eager code."""
    f = programs(data.draw, 3)
    numbers = st.floats(-1.5, 1.5).filter(lambda x: x == 0.0 or abs(x) > 1e-3)
    weights = [Value(data.draw(numbers)) for _ in range(3)]
    rows = [[data.draw(numbers) for _ in range(3)] for _ in range(3)]

    def of(xs: Any) -> Any:
        return f(xs, weights) + 0.0 * weights[0] * xs[0]

    def numbers_of(tree: Any) -> list[float]:
        return [x.data if isinstance(x, Value) else x for x in al.trees.tree_leaves(tree)]

    def eager_weights(xs: Any) -> list[float]:
        for w in weights:
            w.grad = 0.0
        y = of([Value(x) for x in xs])
        y.backward()
        return [w.grad for w in weights]

    for backend in BACKENDS:
        compiled, gradient = jit(of, backend=backend), jit(grad(of), backend=backend)
        along = jit(lambda xs: jvp(grad(of), (xs,), ([1.0, 0.5, -1.0],))[1], backend=backend)
        mean = compiled.mean(rows)
        for w in weights:
            w.grad = 0.0
        mean.backward()
        sums = [w.grad * len(rows) for w in weights]
        expected = [eager_weights(xs) for xs in rows]
        assert sums == pytest.approx(
            [sum(column) for column in zip(*expected, strict=True)], rel=1e-9, abs=1e-9, nan_ok=True
        )
        for xs in rows:
            assert numbers_of(compiled(xs)) == pytest.approx(numbers_of(of(xs)), rel=1e-10, abs=1e-10, nan_ok=True)
            assert numbers_of(gradient(xs)) == pytest.approx(numbers_of(grad(of)(xs)), rel=1e-9, abs=1e-9, nan_ok=True)
            second = jvp(grad(of), (xs,), ([1.0, 0.5, -1.0],))[1]
            assert numbers_of(along(xs)) == pytest.approx(numbers_of(second), rel=1e-8, abs=1e-8, nan_ok=True)


def test_a_trainer_with_sides_trains_the_weights_of_both() -> None:
    """Layers of shared weights inside a condition stay products of matrices, and get the gradients of eager code."""
    from nn import MLP

    left, right = MLP(2, [8, 1]), MLP(2, [8, 1])

    def loss(x: Any, y: Any) -> Any:
        def error(net: Any) -> Any:
            found = net(x)
            return ((found[0] if isinstance(found, list) else found) - y) ** 2

        return cond(x[0] > 0.0, lambda: error(left), lambda: error(right))

    xs = [[0.1 * n - 1.0, 0.05 * n] for n in range(20)]
    ys = [0.3 * n - 2.0 for n in range(20)]
    parameters = [*left.parameters(), *right.parameters()]
    for q in parameters:
        q.grad = 0.0
    (sum(loss(x, y) for x, y in zip(xs, ys, strict=True)) / 20.0).backward()
    expected = [q.grad for q in parameters]
    for backend in BACKENDS:
        for q in parameters:
            q.grad = 0.0
        jit(loss, backend=backend).mean(xs, ys).backward()
        assert [q.grad for q in parameters] == pytest.approx(expected, rel=1e-11, abs=1e-12)
