"""The programs that the compiler makes: few, wide, regular instructions; and the rewrites that it must not make."""

import builtins
import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

import autograd_lite as ag
from autograd_lite import Value, jit
from autograd_lite import primitives as p
from autograd_lite.compiler.program import Indexed, Program, Strided


def program_of(f: Any, *row: Any) -> Program:
    jitted = jit(f, backend="python")
    jitted.mean(*[[x] for x in row])
    return jitted.program


def layers(sizes: list[int]) -> list[list[tuple[list[Value], Value]]]:
    return [[([Value(0.1) for _ in range(n)], Value(0.2)) for _ in range(m)] for n, m in pairwise(sizes)]


@pytest.mark.parametrize(
    ("f", "row"),
    [
        (lambda x, y: 1.0 / -(x - y), (1.0, 1.0)),
        (lambda x, y, z: x - (y - z), (1.0, 1e20, 1e20)),
        (lambda x, y, z, w: (x - y) - (z - w), (1e16 + 2, 1e16, 1.0, 0.25)),
        (lambda x, y, z, w: x - y + z - w, (1e308, 1e308, 1e308, 1e308)),
        (lambda x, y: x - -y, (0.0, -0.0)),
    ],
)
def test_differences_are_not_reordered(f: Any, row: tuple[float, ...]) -> None:
    assert str(jit(f, backend="python")(*row)) == str(f(*map(Value, row)).data)


def test_a_sine_and_the_cosine_of_the_same_number_follow_one_another() -> None:
    program = program_of(lambda x, y: x.cos() * (x + y) * x.sin(), 1.0, 2.0)
    assert [instruction.op.name for instruction in program.each[:3]] == ["add", "sin", "cos"]


def test_small_expressions_keep_the_signs_of_zeros() -> None:
    rng = random.Random(1)

    def expression(depth: int) -> str:
        if not depth:
            return rng.choice("xyz")
        x, y, op = expression(depth - 1), expression(depth - 1), rng.choice("+-*n")
        return f"(-{x})" if op == "n" else f"({x} {op} {y})"

    for _ in range(200):
        text = expression(rng.choice([2, 3, 4]))
        f = eval(f"lambda x, y, z: {text}")
        compiled = jit(f, backend="python")
        for _ in range(12):
            row = [rng.choice([0.0, -0.0, 1.0, -1.0]) for _ in range(3)]
            assert str(compiled(*row)) == str(f(*map(Value, row)).data), (text, row)


@pytest.mark.parametrize(
    "neuron",
    [
        lambda w, b, x: builtins.sum((wi * xi for wi, xi in zip(w, x, strict=True)), b),
        lambda w, b, x: builtins.sum(wi * xi for wi, xi in zip(w, x, strict=True)) + b,
        lambda w, b, x: ag.sum([xi * wi for wi, xi in zip(w, x, strict=True)]) + b,
        lambda w, b, x: b - (-1.0) * ag.dot(x, w) * 1.0,
    ],
)
def test_a_neuron_by_hand_is_a_dot_product(neuron: Any) -> None:
    def loss(x: Any, neuron: Any, net: Any) -> Any:
        for layer in net:
            x = [neuron(w, b, x).tanh() for w, b in layer]
        return x[0] * x[0]

    programs = []
    for way in (neuron, lambda w, b, x: ag.dot(w, x) + b):
        net = layers([3, 16, 16, 1])
        programs.append(program_of(lambda x, way=way, net=net: loss(x, way, net), [1.0, 2.0, 3.0]))
    assert str(programs[0]) == str(programs[1])


def test_a_network_is_a_few_wide_regular_instructions() -> None:
    net = layers([2, 16, 16, 1])

    def loss(x: Any, y: Any) -> Any:
        for layer in net:
            x = [ag.dot(w, x) + b for w, b in layer]
            x = [z.relu() for z in x] if layer is not net[-1] else x
        return ag.relu(1 - y * x[0])

    program = program_of(loss, [0.1, 0.2], 1.0)
    assert len(program.instructions) < 26
    assert not any(isinstance(x, Indexed) for i in program.instructions if i.width > 1 for x in i.operands), str(
        program
    )
    assert {i.shape for i in program.each if i.op is p.dot} == {(1, 16, 2), (1, 16, 16), (1, 1, 16)}
    assert "total mul       16 x 16 x 1" in str(program)


def test_a_sum_that_stands_alone_reads_its_regular_terms_by_a_stride() -> None:
    def f(x: Any) -> Any:
        return ag.sum([ag.sin(v) for v in x[:9]] + [x[n] for n in (10, 13, 15, 17)])

    sums = [i for i in program_of(f, [1.0] * 20).instructions if i.op is p.sum_]
    assert [(i.shape[2], type(i.operands[1])) for i in sums] == [(8, Strided), (4, Indexed)]


def test_numbers_shared_by_all_rows_are_computed_once() -> None:
    w = [Value(1.0), Value(2.0)]
    program = program_of(lambda x: ag.dot(w, w).exp() * x + ag.dot(w, [x, x]), 1.0)
    assert [i.op.name for i in program.once].count("exp") == 1
    assert all(i.op is not p.exp for i in program.each + program.total)


@pytest.mark.parametrize(
    ("f", "instructions"),
    [
        (lambda x: x * 1.0 / 1.0 - 0.0 + -0.0, 0),
        (lambda x: x.__neg__().__neg__(), 0),
        (lambda x: x**1, 0),
        (lambda x: ag.where(1.0, x, x.exp()), 0),
        (lambda x: x.detach(), 0),
        (lambda x: x * 0.0, 1),  # nan at infinity
        (lambda x: x + 0.0, 1),  # 0.0 at -0.0
        (lambda x: x - x, 1),
        (lambda x: (x.exp() * x) + (x * x.exp()), 3),
        (lambda x: x**2, 1),
        (lambda x: -(3.0 * x), 1),
        (lambda x: -(0.0 * x), 1),
        (lambda x: x + -x.exp(), 2),
        (lambda x: -x.exp() + x, 2),
        (lambda x: 3.0 * -x, 1),
        (lambda x: -x * -x, 1),
        (lambda x: 3.0 / -x, 1),
        (lambda x: -x / 3.0, 1),
        (lambda x: -x / -x.exp(), 2),
        (lambda x: -x.sin() + x.sin(), 2),
        (lambda x: 3.0 * x + 3.0 * x, 1),
        (lambda x: 1e308 * x + 1e308 * x, 2),  # not inf * x, which is nan at 0
        (lambda x: 3.0 * (x + x), 1),
        (lambda x: 0.25 * (x + x), 2),  # x + x may be infinite
        (lambda x: ag.dot([3.0, 3.0], [x, x]), 1),
        (lambda x: ag.dot([1e308, 1e308], [x, x]), 1),  # not inf * x, which is nan at 0
        (lambda x: ag.dot([-0.0, 0.0], [x, x]), 1),  # not -0.0 * x
    ],
)
def test_identities_that_hold_for_every_number(f: Any, instructions: int) -> None:
    jitted = jit(f, backend="python")
    compiled = jitted.compiled(((1.0,), {}), None)
    assert len(compiled.program(compiled.roots).instructions) == instructions
    for x in (0.0, -0.0, 2.0, -3.0, 1.5e308, -1.5e308, math.inf, -math.inf, math.nan):
        want, got = f(Value(x)), jitted(Value(x)).data
        assert repr(got) == repr(want.data) or (math.isnan(got) and math.isnan(want.data))


def test_compile_time_is_linear(lines_run: Callable[[Callable[[], object]], int]) -> None:
    def lines(n: int) -> int:
        w = [Value(0.1) for _ in range(n)]
        return lines_run(lambda: program_of(lambda x: builtins.sum(wi * x.exp() for wi in w) ** 2, 1.0))

    lines(10)
    assert lines(4_000) < 11 * lines(400)


def test_a_deep_graph_compiles() -> None:
    def chain(x: Any) -> Any:
        for _ in range(30_000):
            x = x * 1.0001 + 0.5
        return x

    w = Value(1.0)
    compiled = jit(lambda x: chain(w * x), backend="numpy")
    assert len(compiled.compiled(((1.0,), {}), None).total_program.instructions) > 30_000
