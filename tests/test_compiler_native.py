"""The kernel gives the table's numbers in every lane, runs any program as its docstring says, and never crashes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import itertools
import math
import os
import random
import shutil
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autograd_lite import primitives as p
from autograd_lite.compiler.program import Indexed, Instruction, Program, Strided
from autograd_lite.primitives import PRIMITIVES, Primitive

ROOT = Path(__file__).parents[1]
BUILT = os.environ.get("AUTOGRAD_LITE_KERNEL")  # a kernel to test in place of the installed one
if BUILT:
    spec = importlib.util.spec_from_file_location("autograd_lite.compiler._kernel", BUILT)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])

native = pytest.importorskip("autograd_lite.compiler.executors.kernel")
KINDS = native.KINDS
EXAMPLES = 40 if BUILT else 150


# --- What a program means ----------------------------------------------------------------------------------------


def interpret(
    program: Program, n: int, rows: Sequence[float], captured: Sequence[float]
) -> tuple[list[float], list[float]]:
    """The results and sums of a program, computed one number at a time as the docstrings of `Program` say."""
    shared = [*program.constants, *captured]
    for instruction in program.once:
        shared += run_one(instruction, shared)
    results: list[float] = []
    totals = [0.0] * (program.size - program.rows)
    for row in range(n):
        numbers = shared + list(rows[row * program.inputs : (row + 1) * program.inputs])
        for instruction in program.each:
            numbers += run_one(instruction, numbers)
        terms = [z for instruction in program.total for z in run_one(instruction, numbers)]
        totals = [total + term for total, term in zip(totals, terms, strict=True)]
        results += [numbers[address] for address in program.results]
    return results, [totals[address - program.rows] for address in program.sums]


def run_one(instruction: Instruction, numbers: list[float]) -> list[float]:
    compute, K = instruction.op.compute, instruction.shape[2]
    columns = [[numbers[a] for a in instruction.addresses(n)] for n in range(len(instruction.operands))]
    if not instruction.op.factors:
        return [compute(*xs) for xs in zip(*columns, strict=True)]
    init, *reduced = columns
    terms = [p.mul.compute(*xs) for xs in zip(*reduced, strict=True)] if len(reduced) == 2 else reduced[0]
    return [sum(terms[z * K : (z + 1) * K], start=init[z]) for z in range(instruction.width)]


def same(x: float, y: float) -> bool:
    """The same nan, infinity or signed zero; or the same to 1e-12, or to the spacing of the subnormal numbers."""
    if x == y:
        return math.copysign(1.0, x) == math.copysign(1.0, y)
    return (x != x and y != y) or abs(x - y) <= max(1e-12 * abs(y), 1e-323) < inf


def expect_same(found: Sequence[float], wanted: Sequence[float], what: Callable[[int], object] = lambda n: n) -> None:
    assert len(found) == len(wanted)
    for n, (x, y) in enumerate(zip(found, wanted, strict=True)):
        assert same(x, y), f"{what(n)}: {x!r} is not {y!r}"


def row_program(each: list[Instruction], inputs: int, captured: int = 0, total: bool = False) -> Program:
    """A program of instructions over rows, given with dst 0. Its last instruction gives the results, or sums."""
    constants = (-0.0,)
    dst, placed = len(constants) + captured + inputs, []
    for instruction in each:
        placed.append(instruction._replace(dst=dst))
        dst += instruction.width
    last = array("i", range(dst - placed[-1].width, dst))
    none = array("i")
    if total:
        return Program(constants, captured, inputs, (), tuple(placed[:-1]), (placed[-1],), none, last)
    return Program(constants, captured, inputs, (), tuple(placed), (), last, none)


# --- The table ---------------------------------------------------------------------------------------------------

POINTS = [
    *[0.0, 5e-324, 3e-310, 2.2250738585072014e-308, 1e-200, 1e-160, 1e-20, 1e-16, 1e-9, 1e-8, 1e-4, 0.1, 0.3466, 0.35],
    *[0.5, math.sqrt(0.5), 0.75, math.nextafter(1.0, 0.0), 1.0, math.nextafter(1.0, 2.0), 1.4, math.sqrt(2), 1.5, 2.0],
    *[math.e, 3.0, math.pi, 10.0, 19.0, 22.0, 36.7, 40.0, 100.0, 355.0, 700.0, 708.4, 709.7, 709.79, 710.0, 710.5],
    *[744.4, 745.2, 746.0, 1000.0, 1e5, 2.0**31, 2.0**52 + 1, 2.0**53, 1e17, 1e160, 1e200, 1.7e308, inf],
]
POINTS += [-x for x in POINTS] + [nan]
FEW = [0.0, 5e-324, 1e-200, 0.5, 1.0, 2.0, 3.0, 37.5, 1e5, 1e200, inf]
FEW += [-x for x in FEW] + [nan]
EXPONENTS = [0.0, 1.0, 2.0, 3.0, 4.0, 7.0, 32.0, 33.0, 0.5, 1.5, 2.5, 0.25, 1 / 3, 400.0, 1e9, inf]
EXPONENTS += [-x for x in EXPONENTS] + [nan]
TABLE = [op for name, op in PRIMITIVES.items() if op in native.OPCODES and not op.factors]


@cache
def points(op: Primitive) -> list[tuple[float, ...]]:
    """Arguments of `op`: hostile ones, then ordinary ones. Their count is 7 modulo 8: the last block is ragged."""
    rng = random.Random(op.name)
    if op.arity == 1:
        spread = [rng.uniform(-9, 9) for _ in range(60)] + [rng.uniform(-800, 800) for _ in range(60)]
        found = [(x,) for x in POINTS + spread + [rng.choice([1, -1]) * 10 ** rng.uniform(-20, 20) for _ in range(60)]]
    elif op.name == "where":
        found = list(itertools.product([0.0, -0.0, 1.0, 5e-324, -inf, nan], FEW[::3], FEW[::4]))
    else:
        found = list(itertools.product(POINTS if op in (p.pow_, p.pow_const) else FEW, EXPONENTS + FEW))
        found += [(x, x) for x in POINTS]
    return found[: len(found) // 8 * 8 - 1]


@cache
def wanted(op: Primitive) -> list[float]:
    return [op.compute(*xs) for xs in points(op)]


def test_every_primitive_is_in_the_kernel() -> None:
    assert [name for name in native._kernel.OPCODES.split() if name != "muladd"] == list(PRIMITIVES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", TABLE, ids=str)
def test_every_primitive_has_the_number_of_the_table(op: Primitive, kind: str) -> None:
    arity = op.arity
    xs = points(op)
    program = row_program([Instruction(op, 0, (1, 1, 1), tuple(Strided(1 + a) for a in range(arity)))], arity)
    run = native.executor(program, kind=kind)
    found, _ = run(len(xs), array("d", itertools.chain(*xs)), array("d"))
    expect_same(found, wanted(op), lambda n: f"{op}{xs[n]}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", TABLE, ids=str)
def test_every_primitive_has_the_number_of_the_table_of_shared_operands(op: Primitive, kind: str) -> None:
    arity, xs = op.arity, points(op)
    captured = array("d", itertools.chain(*xs))
    shape = (1, len(xs), 1)
    operands = [Strided(1 + a, inner=arity) for a in range(arity)]
    once = Program((-0.0,), len(captured), 0, (Instruction(op, 1 + len(captured), shape, tuple(operands)),), (), (),
                   array("i", range(1 + len(captured), 1 + len(captured) + len(xs))), array("i"))  # fmt: skip
    found, _ = native.executor(once, kind=kind)(2, array("d"), captured)
    expect_same(found, wanted(op) * 2, lambda n: f"once {op}{xs[n % len(xs)]}")
    for total in False, True:
        each = row_program([Instruction(op, 0, shape, tuple(operands))], 0, len(captured), total)
        results, sums = native.executor(each, kind=kind)(1, array("d"), captured)
        wanted_ = [z + 0.0 for z in wanted(op)] if total else wanted(op)  # a total starts from 0.0
        expect_same(sums if total else results, wanted_, lambda n: f"{op}{xs[n]}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", TABLE, ids=str)
def test_every_primitive_has_the_number_of_the_table_in_ragged_blocks(op: Primitive, kind: str) -> None:
    arity = op.arity
    operands = tuple(Strided(1 + a) for a in range(arity))
    program = row_program([Instruction(op, 0, (1, 1, 1), operands)], arity)
    total = row_program([Instruction(op, 0, (1, 1, 1), operands)], arity, total=True)
    run, add = native.executor(program, kind=kind), native.executor(total, kind=kind)
    finite = [(x, y) for x, y in zip(points(op), wanted(op), strict=True) if abs(y) < 1e100]
    for n in [*range(1, 18), 31, 33, 64, 65]:
        xs = points(op)[-n:]
        found, _ = run(n, array("d", itertools.chain(*xs)), array("d"))
        expect_same(found, wanted(op)[-n:], lambda k, xs=xs: f"{op}{xs[k]}")
        xs, ys = zip(*finite[-n:], strict=True)
        _, (found,) = add(n, array("d", itertools.chain(*xs)), array("d"))
        assert abs(found - math.fsum(ys)) <= 1e-12 * math.fsum(map(abs, ys))


# --- Programs ----------------------------------------------------------------------------------------------------

# Arithmetic on small integers is exact: the order of a sum does not matter, and every bit is compared.
EXACT = {op: op.arity for op in (p.add, p.sub, p.mul, p.neg, p.relu, p.step, p.sign, p.abs_, p.detach)}
EXACT |= {op: op.arity or 1 + op.factors for op in (p.maximum, p.minimum, p.share, p.where, p.sum_, p.dot)}
LENGTHS = st.one_of(st.integers(1, 4), st.sampled_from([5, 7, 8, 9, 12, 16, 17, 20]))
HOSTILE = [inf, -inf, nan, -0.0]


@st.composite
def operand(draw: st.DrawFn, low: int, high: int, points: tuple[int, ...]) -> Strided | Indexed:
    """An operand that reads addresses from low to high - 1."""
    if draw(st.integers(0, 3)) == 0:
        count = points[0] * points[1] * points[2]
        rng = random.Random(draw(st.integers(0, 99)))
        return Indexed(array("i", [rng.randrange(low, high) for _ in range(count)]))
    room, reach, strides = high - low - 1, [0, 0], []
    for length in points:
        most = (room - reach[0] - reach[1]) // max(length - 1, 1)
        common = [s for s in (0, 1, points[2], points[1] * points[2]) if s <= most]
        stride = draw(st.one_of(st.sampled_from(common), st.integers(0, min(most, 40)))) * draw(
            st.sampled_from([1, -1])
        )
        strides.append(stride)
        reach[stride > 0] += abs(stride) * (length - 1)
    return Strided(draw(st.integers(low + reach[0], high - 1 - reach[1])), *strides)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Correct programs of exact arithmetic."""
    constants = (-0.0, 0.0, 1.0, *draw(st.lists(st.sampled_from([-1.0, 2.0, -3.0]), max_size=4)))
    captured, inputs = draw(st.integers(0, 60)), draw(st.integers(0, 40))
    size = len(constants) + captured
    magnitude = [3.0] * size
    stages: list[list[Instruction]] = [[], [], []]
    shared = rows = -1
    for stage, instructions in enumerate(stages):
        if stage == 1:
            shared, size = size, size + inputs
            magnitude += [3.0] * inputs
        if stage == 2:
            rows = size
        for _ in range(draw(st.integers(0, (2, 5, 4)[stage]))):
            op = draw(st.sampled_from(list(EXACT)))
            reduces = op.factors
            shape = (draw(LENGTHS), draw(LENGTHS), draw(LENGTHS) if reduces else 1)
            end = rows if stage == 2 else size
            operands = []
            for n in range(EXACT[op]):
                in_rows = stage > 0 and end > shared and (n > 0 or draw(st.booleans())) and draw(st.integers(0, 3)) > 0
                bounds = (shared, end) if in_rows else (0, shared if stage else end)
                operands.append(draw(operand(*bounds, (*shape[:2], shape[2] if n else 1))))
            instruction = Instruction(op, size, shape, tuple(operands))
            biggest = [max(magnitude[a] for a in instruction.addresses(n)) for n in range(len(operands))]
            terms = biggest[1] * biggest[-1] if op is p.dot else max(biggest) if op is not p.mul else math.prod(biggest)
            bound = shape[2] * terms + sum(biggest)
            assume(bound < 2.0**44)
            magnitude += [bound] * instruction.width
            instructions.append(instruction)
            size += instruction.width
    results = draw(st.lists(st.integers(0, rows - 1), max_size=20))
    sums = list(range(rows, size)) if draw(st.booleans()) else [a for a in range(rows, size) if a % 3]
    once, each, total = map(tuple, stages)
    return Program(constants, captured, inputs, once, each, total, array("i", results), array("i", sums))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    programs(),
    st.one_of(st.integers(1, 35), st.sampled_from([64, 67, 131])),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
)
def test_programs_give_the_numbers_of_the_interpreter(
    program: Program, n: int, hostile: int, rng: random.Random, threads: int
) -> None:
    def numbers(count: int) -> array[float]:
        found = array("d", [float(rng.randint(-3, 3)) for _ in range(count)])
        for _ in range(hostile if count else 0):
            found[rng.randrange(count)] = rng.choice(HOSTILE)
        return found

    rows, captured = numbers(n * program.inputs), numbers(program.captured)
    wanted, wanted_sums = interpret(program, n, rows, captured)
    for kind in KINDS:
        results, sums = native.executor(program, threads, kind)(n, rows, captured)
        expect_exactly(results, wanted)
        expect_exactly(sums, wanted_sums)


def expect_exactly(found: Sequence[float], wanted: Sequence[float]) -> None:
    """Equal, or both nan."""
    assert len(found) == len(wanted)
    different = [(x, y) for x, y in zip(found, wanted, strict=True) if x != y and not (x != x and y != y)]
    assert not different


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["each", "total"])
@pytest.mark.parametrize(("J", "I", "K"), [(1, 1, 2), (3, 1, 9), (9, 1, 2), (1, 8, 3), (5, 6, 2), (16, 17, 2)])
def test_a_fused_multiply_add_keeps_an_infinite_product(J: int, I: int, K: int, stage: str, kind: str) -> None:  # noqa: E741
    x, y = Strided(1, outer=K, depth=1), Strided(1 + J * K, inner=K, depth=1)
    dot = Instruction(p.dot, 0, (J, I, K), (Strided(0), x, y))
    program = row_program([dot], (J + I) * K, total=stage == "total")
    row = [1e200, -1e200] + [0.0] * (K - 2)
    rows = array("d", row * J + [1e200, 1e200] + [0.0] * (K - 2) + ([1.0] * K) * (I - 1))
    results, sums = native.executor(program, kind=kind)(1, rows, array("d"))
    expect_exactly(results or sums, interpret(program, 1, rows, array("d"))[stage == "total"])
    assert math.isnan((results or sums)[0])


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("length", range(1, 11))
def test_narrow_sums_and_dots(length: int, listed: bool) -> None:
    """Each form of a narrow reduction on the tape, strided and listed, between single operations that depend on it."""
    inputs = 3 + 2 * length

    def read(start: int, step: int) -> Strided | Indexed:
        if not listed:
            return Strided(start, depth=step)
        return Indexed(array("i", [start + step * k for k in range(length)]))

    x, y, end = read(4, 2), read(5, 2), 1 + inputs
    each = [
        Instruction(p.neg, 0, (1, 1, 1), (Strided(1),)),
        Instruction(p.dot, 0, (1, 1, length), (Strided(end), x, y)),
        Instruction(p.sum_, 0, (1, 1, length), (Strided(end + 1), y)),
        Instruction(p.where, 0, (1, 1, 1), (Strided(3), Strided(end + 2), Strided(end))),
    ]
    program, rng = row_program(each, inputs), random.Random(length)
    program = dataclasses.replace(program, results=array("i", range(end, end + 4)))
    rows = array("d", [float(rng.randint(-9, 9)) for _ in range(inputs * 70)])
    for n, kind in [(1, None), (5, None), *[(70, kind) for kind in KINDS]]:
        results, _ = native.executor(program, kind=kind)(n, rows[: n * inputs], array("d"))
        expect_exactly(results, interpret(program, n, rows, array("d"))[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("captured", [3, 254, 255, 256, 400])
def test_narrow_instructions_that_read_shared_numbers(captured: int, kind: str) -> None:
    """Few shared numbers are copied to all rows of a block, many are not."""
    last, row = captured, 1 + captured
    each = [
        Instruction(p.mul, 0, (1, 1, 1), (Strided(last), Strided(row))),
        Instruction(p.add, 0, (1, 3, 1), (Strided(1, inner=1), Strided(row + 1))),
        Instruction(p.dot, 0, (1, 1, 2), (Strided(row), Strided(1, depth=1), Strided(row, depth=1))),
        Instruction(p.maximum, 0, (1, 1, 1), (Strided(last), Strided(row + 2))),
        Instruction(p.sub, 0, (1, 9, 1), (Strided(last), Strided(row + 2))),
        Instruction(p.sum_, 0, (1, 1, 5), (Strided(row), Strided(row + 3, depth=1))),
    ]
    program, rng = row_program(each, 2, captured), random.Random(captured)
    program = dataclasses.replace(program, results=array("i", range(row, program.size)))
    shared, rows = [array("d", [float(rng.randint(-9, 9)) for _ in range(n)]) for n in (captured, 2 * 70)]
    results, _ = native.executor(program, kind=kind)(70, rows, shared)
    expect_exactly(results, interpret(program, 70, rows, shared)[0])


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_sines_and_cosines_side_by_side(kind: str | None) -> None:
    """A sine next to the cosine of the same number is computed with it; one next to that of another number is not."""
    order = [(p.sin, 1), (p.cos, 1), (p.cos, 2), (p.sin, 2), (p.sin, 1), (p.cos, 2), (p.cos, 1), (p.sin, 1), (p.cos, 1)]
    each = [Instruction(op, 0, (1, 1, 1), (Strided(address),)) for op, address in order]
    program = row_program(each, 2)
    program = dataclasses.replace(program, results=array("i", range(3, 3 + len(each))))
    run = native.executor(program, kind=kind)
    pairs = list(itertools.product([0.0, -0.0, 0.7, -3.0, 1e5, 1e200, inf, nan], repeat=2))
    wanted = [op.compute(pair[address - 1]) for pair in pairs for op, address in order]
    together, _ = run(len(pairs), array("d", itertools.chain(*pairs)), array("d"))
    expect_same(together, wanted)
    alone = [z for pair in pairs for z in run(1, array("d", pair), array("d"))[0]]
    expect_same(alone, wanted)


@pytest.mark.parametrize(("J", "I"), [(1, 1), (1, 3), (3, 1), (2, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("shared", ["x", "y", "neither"])
def test_narrow_matrix_products_of_one_row(J: int, I: int, shared: str) -> None:  # noqa: E741
    """Small products of rows with shared numbers on either side, in each order of the loop nest."""
    captured, inputs, K = 8, 16, 2
    row = 1 + captured
    x = Strided(1 if shared == "x" else row, outer=K, depth=1)
    y = Strided(1 if shared == "y" else row + 8, inner=K, depth=1)
    rng = random.Random(J * I)
    rows = array("d", [float(rng.randint(-9, 9)) for _ in range(inputs)])
    given = array("d", [float(rng.randint(-9, 9)) for _ in range(captured)])
    for operands in (
        (Strided(0), x, y),
        (Strided(row, outer=I, inner=1), y._replace(outer=K, inner=0), x._replace(outer=0, inner=K)),
    ):
        program = row_program([Instruction(p.dot, 0, (J, I, K), operands)], inputs, captured)
        results, _ = native.executor(program)(1, rows, given)
        expect_exactly(results, interpret(program, 1, rows, given)[0])


def test_programs_without_rows_or_instructions_and_programs_of_constants() -> None:
    none = array("d")
    total = row_program([Instruction(p.exp, 0, (1, 1, 1), (Strided(1),))], 1, total=True)
    assert native.executor(total)(0, none, none) == (none, array("d", [0.0]))
    empty = Program((3.0,), 1, 1, (), (), (), array("i", [2, 0, 1]), array("i"))
    results, sums = native.executor(empty)(2, array("d", [7.0, 8.0]), array("d", [5.0]))
    assert (list(results), list(sums)) == ([7.0, 3.0, 5.0, 8.0, 3.0, 5.0], [])
    assert native.executor(Program((), 0, 0, (), (), (), array("i"), array("i")))(5, none, none) == (none, none)


def layer(nin: int, nout: int) -> Program:
    """A layer of neurons, its gradient by hand, and their sums."""
    x, w, z = 1 + nin * nout, 1, 1 + nin * nout + nin
    each = [
        Instruction(p.dot, z, (nout, 1, nin), (Strided(0), Strided(w, outer=nin, depth=1), Strided(x, depth=1))),
        Instruction(p.tanh, z + nout, (1, nout, 1), (Strided(z, inner=1),)),
    ]
    end = z + 2 * nout
    total = [Instruction(p.mul, end, (nout, nin, 1), (Strided(z + nout, outer=1), Strided(x, inner=1)))]
    sums = array("i", range(end, end + nin * nout))
    return Program((-0.0,), nin * nout, nin, (), tuple(each), tuple(total), array("i", range(z, end)), sums)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", [(5,), (1, 4), (2, 0, 1, 2), (1, 1, 1, 1, 1)])
def test_rows_split_over_several_buffers(widths: tuple[int, ...], kind: str) -> None:
    program, rng = layer(5, 9), random.Random(2)
    kernel = native.load(program, kind=kind)
    captured = array("d", [rng.gauss(0, 1) for _ in range(45)])
    for n in 1, 3, 16, 64, 70:
        rows = [[rng.gauss(0, 1) for _ in range(5)] for _ in range(n)]
        wanted, wanted_sums = native.executor(program, kind=kind)(n, array("d", itertools.chain(*rows)), captured)
        ends = list(itertools.accumulate(widths))
        tables = tuple(
            array("d", [x for row in rows for x in row[e - w : e]]) for w, e in zip(widths, ends, strict=True)
        )
        results = tuple(array("d", bytes(8 * n * width)) for width in (1, 10, 7))
        sums = array("d", bytes(8 * 45))
        kernel.run_into(n, tables, captured, results, sums)
        assert sums == wanted_sums
        lines = [[*results[0][i : i + 1], *results[1][10 * i : 10 * i + 10], *results[2][7 * i : 7 * i + 7]]
                 for i in range(n)]  # fmt: skip
        assert list(itertools.chain(*lines)) == list(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_written_over_the_rows(kind: str) -> None:
    swap = row_program([Instruction(p.sub, 0, (1, 1, 1), (Strided(1), Strided(2)))], 2)
    kernel = native.load(dataclasses.replace(swap, results=array("i", [2, 3])), kind=kind)
    x, y = (array("d", [a * n for n in range(200)]) for a in (1.0, 10.0))
    kernel.run_into(200, (x, y), array("d"), (x, y), array("d"))
    assert list(x) == [10.0 * n for n in range(200)]
    assert list(y) == [-9.0 * n for n in range(200)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_matrix_products_in_blocks_of_one_row(kind: str, shared: bool) -> None:
    rng = random.Random(3)
    shapes = itertools.product([4, 7, 8, 9, 27, 64], [1, 2, 8], [1, 3, 8, 16, 27])
    for J, I, K in [*shapes, (9, 2, 300), (8, 2, 2000)]:  # noqa: E741
        for by_lines in True, False:
            x = Strided(1, outer=K, depth=1) if by_lines else Strided(1, outer=1, depth=J)
            start = 1 + J * K
            y = Strided(start, inner=K, depth=1) if rng.random() < 0.7 else Strided(start, inner=1, depth=I)
            init = rng.choice([Strided(0), Strided(start, outer=0, inner=1)] if not shared else [Strided(0)])
            dot = Instruction(p.dot, 0, (J, I, K), (init, x, y))
            program = row_program([dot], (I if shared else I + J) * K, J * K if shared else 0)
            numbers = array("d", [float(rng.randint(-9, 9)) for _ in range((I + J) * K)])
            captured, rows = (numbers[: J * K], numbers[J * K :]) if shared else (array("d"), numbers)
            found, _ = native.executor(program, kind=kind)(1, rows, captured)
            expect_exactly(found, interpret(program, 1, rows, captured)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("J", "I"), [(1, 1), (1, 3), (1, 9), (1, 37), (1, 200), (2, 7), (3, 32), (2, 45), (40, 3)])
def test_wide_instructions_on_one_row(J: int, I: int, kind: str) -> None:  # noqa: E741
    """Lanes along the points: operands side by side, the same at all points, the same in a line, apart, and listed."""
    rng, count = random.Random(J * I), J * I
    forms: list[Any] = [
        Strided(1, outer=I, inner=1),
        Strided(2),
        Strided(3, outer=1),
        Strided(4, inner=1),
        Strided(5, outer=2 * I, inner=2),
        Strided(2 * count + 5, outer=-I, inner=-1),
        Indexed(array("i", [rng.randint(1, 2 * count + 5) for _ in range(count)])),
    ]
    inputs = 2 * count + 6
    row = array("d", [rng.uniform(-9, 9) for _ in range(inputs)])
    for op, first in itertools.product([p.neg, p.sub, p.where, p.sin, p.detach], forms):
        operands = (first, *[rng.choice(forms) for _ in range(op.arity - 1)])
        for captured in (0, inputs):  # then the same numbers are shared
            program = row_program([Instruction(op, 0, (J, I, 1), operands)], inputs - captured, captured)
            rows, shared = (array("d"), row) if captured else (row, array("d"))
            found, _ = native.executor(program, kind=kind)(1, rows, shared)
            expect_same(found, interpret(program, 1, rows, shared)[0], lambda _, op=op, xs=operands: (op, xs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 2, 3, 9, 33, 100])
@pytest.mark.parametrize(("J", "I"), [(1, 1), (1, 2), (1, 5), (1, 38), (3, 3), (2, 16)])
def test_reductions_on_one_row(J: int, I: int, K: int, kind: str) -> None:  # noqa: E741
    """Lanes along the results or along the terms, from numbers that are one apart or the same."""
    rng, inputs = random.Random(K), J * I * K + J * I + K
    forms = [
        Strided(1, outer=I * K, inner=K, depth=1),
        Strided(2, outer=I, inner=1, depth=0),
        Strided(1, outer=I, inner=1, depth=J * I),
        Strided(1, outer=0, inner=0, depth=1),
        Strided(3),
        Strided(1, outer=1, inner=J, depth=J * I),
    ]
    row = array("d", [float(rng.randint(-9, 9)) for _ in range(inputs)])
    for x, y in itertools.product(forms, forms):
        for init in (Strided(0), Strided(1, outer=I, inner=1), Strided(1, outer=1, inner=J)):
            for op, operands in (p.dot, (init, x, y)), (p.sum_, (init, x)):
                program = row_program([Instruction(op, 0, (J, I, K), operands)], inputs)
                found, _ = native.executor(program, kind=kind)(1, row, array("d"))
                expect_exactly(found, interpret(program, 1, row, array("d"))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_totals_of_long_products(kind: str) -> None:
    rng = random.Random(4)
    for K, n in itertools.product([1, 7, 48, 100, 400], [1, 3, 8, 21, 64, 67]):
        J, I = rng.choice([(5, 6), (1, 4), (3, 17)])  # noqa: E741
        x = rng.choice([Strided(1, outer=K, depth=1), Strided(1, outer=1, depth=J)])
        y = rng.choice([Strided(1 + J * K, inner=K, depth=1), Strided(1 + J * K, inner=1, depth=I)])
        program = row_program([Instruction(p.dot, 0, (J, I, K), (Strided(0), x, y))], (J + I) * K, total=True)
        rows = array("d", [float(rng.randint(-9, 9)) for _ in range(n * (J + I) * K)])
        _, found = native.executor(program, kind=kind)(n, rows, array("d"))
        matrix = np.array(rows).reshape(n, -1)
        xs = matrix[:, : J * K].reshape((n, J, K) if x.depth == 1 else (n, K, J))
        ys = matrix[:, J * K :].reshape((n, I, K) if y.depth == 1 else (n, K, I))
        wanted = np.einsum(f"n{'jk' if x.depth == 1 else 'kj'},n{'ik' if y.depth == 1 else 'ki'}->ji", xs, ys)
        expect_exactly(found, wanted.reshape(-1).tolist())


def test_threads_share_the_rows() -> None:
    program, rng = layer(10, 12), random.Random(1)
    captured = array("d", [rng.gauss(0, 1) for _ in range(120)])
    for n in 1, 7, 8, 9, 100, 1000:
        rows = array("d", [rng.gauss(0, 1) for _ in range(10 * n)])
        results, sums = native.executor(program)(n, rows, captured)
        for threads in 2, 3, 8:
            run = native.executor(program, threads)
            found, found_sums = run(n, rows, captured)
            assert found == results
            assert all(abs(x - y) < 1e-10 for x, y in zip(found_sums, sums, strict=True))
            assert run(n, rows, captured) == (found, found_sums)


def test_calls_from_several_threads_are_independent() -> None:
    program = layer(6, 9)
    run = native.executor(program)
    wrong: list[int] = []

    def call(seed: int) -> None:
        rng = random.Random(seed)
        captured = array("d", [rng.gauss(0, 1) for _ in range(54)])
        rows = array("d", [rng.gauss(0, 1) for _ in range(6 * 400)])
        wanted = native.executor(program)(400, rows, captured)
        wrong.extend([seed for _ in range(100) if run(400, rows, captured) != wanted])

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_other_python_threads_run_while_the_kernel_computes() -> None:
    program = row_program([Instruction(p.atan, 0, (1000, 10, 1), (Strided(1),))], 1, total=True)
    run = native.executor(program, kind="plain")
    thread = threading.Thread(target=run, args=(1000, array("d", [0.5]) * 1000, array("d")))
    thread.start()
    steps = 0
    while thread.is_alive():
        steps += 1
    thread.join()
    assert steps > 1000


def test_a_program_outlives_its_buffers_and_many_are_freed() -> None:
    encoded = native.encode(layer(30, 30))
    for _ in range(300):
        kernel = native._kernel.Program(*[array(x.typecode, x) for x in encoded])
        results, sums = array("d", bytes(8 * 60 * 3)), array("d", bytes(8 * 900))
        kernel.run_into(3, array("d", [0.5] * 90), array("d", [0.1] * 900), results, sums)
        assert results[0] == pytest.approx(1.5)


# --- What bad input gets -----------------------------------------------------------------------------------------


def test_a_primitive_that_is_not_in_the_table() -> None:
    own = Primitive("exp", lambda x: x, lambda z, x: (1.0,))  # it has the name of another row
    cube = Primitive("cube", lambda x: x**3, lambda z, x: (3.0 * x * x,))
    for op in own, cube:
        with pytest.raises(ValueError, match=f"no primitive '{op.name}'"):
            native.executor(row_program([Instruction(op, 0, (1, 1, 1), (Strided(1),))], 1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({0: -1}, ValueError, "n: -1 rows"),
        ({0: 1.5}, TypeError, "'float' object cannot be interpreted as an integer"),
        ({0: 2**70}, OverflowError, "cannot fit"),
        ({0: 3}, ValueError, "rows has 4 numbers, and 3 times 2 are needed"),
        ({1: array("d", bytes(24))}, ValueError, "rows has 3 numbers"),
        ({1: array("f", bytes(16))}, ValueError, "rows: a buffer of float64 is needed, and this one is of format 'f'"),
        ({1: bytes(32)}, ValueError, "float64"),
        ({1: [1.0]}, TypeError, "bytes-like"),
        ({1: memoryview(array("d", bytes(64)))[::2]}, BufferError, "contiguous"),
        ({1: (array("d", bytes(16)),)}, ValueError, "rows has 2 numbers, and 2 times 2 are needed"),
        (
            {1: (array("d", bytes(8)), array("d", bytes(24)))},
            ValueError,
            "length of a buffer is not a multiple of 2 rows",
        ),
        ({1: (array("d", bytes(16)), 1.0)}, TypeError, "bytes-like"),
        ({2: (array("d", bytes(48)), array("d"))}, TypeError, "captured and sums are a buffer each"),
        ({3: ()}, ValueError, "results has 0 numbers"),
        ({2: array("d", bytes(8))}, ValueError, "captured has 1 numbers, and 1 times 6 are needed"),
        ({3: array("d", bytes(8))}, ValueError, "results has 1 numbers"),
        ({3: memoryview(bytes(96)).cast("d")}, BufferError, "writable"),
        ({4: array("d", bytes(8))}, ValueError, "sums has 1 numbers"),
        ({4: array("q", bytes(48))}, ValueError, "format 'q'"),
    ],
)
def test_a_wrong_call_is_refused(change: dict[int, Any], error: type[Exception], message: str) -> None:
    args: list[Any] = [2, *[array("d", bytes(8 * count)) for count in (4, 6, 12, 6)]]
    kernel = native.load(layer(2, 3))
    kernel.run_into(*args)
    with pytest.raises(error, match=message):
        kernel.run_into(*[change.get(n, x) for n, x in enumerate(args)])
    with pytest.raises(TypeError, match="n, rows, captured, results and sums, got 4"):
        kernel.run_into(*args[:4])


def pipeline_of(change: Callable[[list[Any]], None]) -> Any:
    """A running sum and its last states, as stages for `follow`: `change` is made to the parts of the second stage."""
    add = native.load(row_program([Instruction(p.add, 0, (1, 1, 1), (Strided(1), Strided(2)))], 2))
    both = row_program([Instruction(p.add, 0, (1, 1, 1), (Strided(1), Strided(2)))], 2)
    both = dataclasses.replace(both, results=array("i", [3, 3]))
    copy = native.load(native._copy_of(5))
    after = native.load(Program((-0.0,), 0, 6, (), (), (), array("i", [1, 6]), array("i")))
    first = [copy, array("i"), False, native.load(both), array("i", [4, 0, 1, 0, 1, 0, 0, -1, 1, 5, 0])]
    second = [after, array("i", [0]), False, add, array("i", [4, 1, 1, 0, 0, 0, 0, 1, 0, 4, 0])]
    change(second)
    last = native.load(Program((-0.0,), 0, 7, (), (), (), array("i", [6, 7]), array("i")))
    last.follow(5, (tuple(first), tuple(second)), array("i", [0, 2]))
    return last


def test_a_program_that_follows_loops() -> None:
    last = pipeline_of(lambda stage: None)
    sums = [1.0 + 2.0, 1.0 + 2.0 + 3.0, 1.0 + 2.0 + 3.0 + 4.0, 1.0 + 2.0 + 3.0 + 4.0 + 5.0]
    for _ in range(3):
        found = last.call([float] * 5, [float, float], None, None, [1.0, 2.0, 3.0, 4.0, 5.0])
        assert found == [sums[-1], 1.0 + math.fsum(sums)]
    with pytest.raises(ValueError, match="called once"):
        last.follow(5, (), array("i"))
    assert last.call([float] * 5, [float, float], None, None, [1.0] * 4) is NotImplemented


@pytest.mark.parametrize(
    ("part", "value", "error", "message"),
    [
        (0, "program", TypeError, "Program"),
        (0, native.load(native._copy_of(5)), ValueError, "numbers that the program reads, in stage 1"),
        (1, array("i", [2]), ValueError, "a table that is not there yet, in stage 1"),
        (1, array("i", [-1]), ValueError, "a table that is not there yet, in stage 1"),
        (1, array("d", [0.0]), ValueError, "reads"),
        (2, True, ValueError, "numbers that the program reads, in stage 1"),
        (3, native.load(native._copy_of(5)), ValueError, "layout does not fit"),
        (4, array("i", [4, 1, 1]), ValueError, "layout does not fit"),
        (4, array("i", [-4, 1, 1, 0, 0, 0, 0, 1, 0, 4, 0]), ValueError, "layout does not fit"),
        (4, array("i", [5, 1, 1, 0, 0, 0, 0, 1, 0, 4, 0]), ValueError, "a column outside its table, in stage 1"),
        (4, array("i", [4, 1, 1, 0, 0, 0, 0, 1, 1, 4, 0]), ValueError, "a column outside its table, in stage 1"),
        (4, array("i", [4, 1, 1, 0, 0, 0, 0, 2, 0, 4, 0]), ValueError, "a column outside its table, in stage 1"),
        (4, array("i", [4, 1, 1, 0, 0, 0, 0, 1, -1, 4, 0]), ValueError, "a column outside its table, in stage 1"),
    ],
)
def test_stages_that_do_not_fit(part: int, value: Any, error: type[Exception], message: str) -> None:
    def change(stage: list[Any]) -> None:
        stage[part] = value

    with pytest.raises(error, match=message):
        pipeline_of(change)


def test_any_layout_of_a_loop_is_an_error_or_runs() -> None:
    rng, ran = random.Random(4), 0
    for _ in range(2000):
        layout = [4, 1, 1, 0, 0, 0, 0, 1, 0, 4, 0]
        for _ in range(rng.randint(1, 3)):
            layout[rng.randrange(11)] = rng.choice([-1, 0, 1, 2, 3, 5, 1000, 2**31 - 1, -(2**31)])

        def change(stage: list[Any], layout: list[int] = layout) -> None:
            stage[4] = array("i", layout)

        try:
            last = pipeline_of(change)
        except (ValueError, MemoryError):
            continue
        last.call([float] * 5, [float, float], None, None, [1.0, 2.0, 3.0, 4.0, 5.0])
        ran += 1
    assert ran > 50


def test_invalid_thread_counts_and_kinds_are_refused() -> None:
    for threads in 0, -1, 1000:
        with pytest.raises(ValueError, match="threads: 1 to 256"):
            native.load(layer(2, 3), threads=threads)
    with pytest.raises(ValueError, match="kind: this machine has none called 'avx9'"):
        native.load(layer(2, 3), kind="avx9")


def example() -> Program:
    """A function that uses every form of instruction."""
    once = [Instruction(p.exp, 8, (1, 4, 1), (Strided(2, inner=1),))]
    each = [
        Instruction(p.dot, 16, (3, 2, 2), (Strided(0), Strided(2, outer=2, depth=1), Strided(12, inner=2, depth=1))),
        Instruction(p.relu, 22, (1, 6, 1), (Indexed(array("i", [16, 18, 20, 17, 19, 21])),)),
        Instruction(p.sum_, 28, (2, 1, 3), (Strided(2), Strided(22, outer=3, depth=1))),
        Instruction(p.where, 30, (1, 2, 1), (Strided(28, inner=1), Strided(8, inner=1), Strided(1))),
    ]
    total = [
        Instruction(p.mul, 32, (4, 6, 1), (Strided(12, outer=1), Strided(16, inner=1))),
        Instruction(p.detach, 56, (1, 2, 1), (Strided(28, inner=1),)),
    ]
    return Program(
        (-0.0, 1.0), 6, 4, tuple(once), tuple(each), tuple(total), array("i", [30, 0, 8]), array("i", [32, 57])
    )


def test_a_program_is_encoded_with_the_form_of_each_instruction() -> None:
    encoded = native.encode(example())
    records = [encoded.code[n : n + 21] for n in range(0, len(encoded.code), 21)]
    wanted = [native.POINTWISE, native.MATRIX_PRODUCT, native.POINTWISE, native.REDUCTION, native.POINTWISE]
    assert [record[1] for record in records] == [*wanted, native.OUTER, native.POINTWISE]
    assert list(records[5]) == [
        native.OPCODES[p.dot],
        native.OUTER,
        0,
        4,
        6,
        1,
        -1,
        0,
        0,
        0,
        0,
        -1,
        12,
        1,
        0,
        0,
        -1,
        16,
        0,
        1,
        0,
    ]
    assert list(encoded.tables) == [16, 18, 20, 17, 19, 21]
    assert list(encoded.sums) == [0, 1, 33, 1]  # the first of four lines of eight, and the second of two after them
    assert list(encoded.layout) == [2, 6, 4, 1, 4, 2, 12, 32, 58]


BUFFERS = ["layout", "code", "tables", "results", "sums", "constants"]


def record(n: int, field: int) -> int:
    return 21 * n + field


@pytest.mark.parametrize(
    ("buffer", "index", "number"),
    [
        *[("layout", n, x) for n in range(9) for x in (-1, 0, 3, 2**31 - 1)],
        *[("code", record(n, 0), x) for n in range(7) for x in (-1, len(native._kernel.OPCODES.split()), 2**31 - 1)],
        *[("code", record(n, 1), x) for n in range(7) for x in (-1, 4, 2**31 - 1)],
        *[("code", record(n, 1), x) for n, x in enumerate([1, 3, 1, 0, 1, 0, 3])],  # a form for other kinds of operands
        *[("code", record(n, 2), x) for n in range(7) for x in (-1, 2, 2**31 - 1)],
        *[("code", record(n, 2), 1) for n in (0, 2, 3, 4, 6)],  # only a product is transposed
        *[("code", record(n, 3 + axis), x) for n in range(7) for axis in range(3) for x in (0, -1)],
        *[("code", record(n, 3 + axis), 2**31 - 1) for n in range(7) for axis in range(2 if n == 5 else 3)],
        *[("code", record(n, 6), x) for n in range(7) for x in (-2, 5, 2**31 - 1, -(2**31))],
        *[("code", record(n, 7), x) for n in (0, 1, 3) for x in (-1, 60, 2**31 - 1, -(2**31))],
        *[("code", record(5, 12), x) for x in (-1, 60, 2**31 - 1, -(2**31))],
        *[("code", record(1, 13 + axis), x) for axis in (0, 2) for x in (99, 2**31 - 1, -(2**31))],
        ("code", record(0, 7), 5),  # reads an address that it writes
        ("code", record(0, 7), 12),  # runs once for all rows, and reads inputs of a row
        ("code", record(1, 14), 1),  # x of a product depends on i
        ("code", record(1, 18), 1),  # y of a product depends on j
        ("code", record(5, 14), 5),  # reads shared numbers and those of a row
        ("code", record(5, 12), 32),  # reads a total
        ("code", record(6, 11), 3),  # a second operand of `detach`
        ("code", record(2, 8), 1),  # a stride beside a table
        *[("tables", n, x) for n in (0, 5) for x in (-1, 22, 40, 2**31 - 1)],
        ("tables", 0, 3),
        *[("results", 2, x) for x in (-1, 32, 2**31 - 1)],
        *[("sums", 0, x) for x in (-1, 40, 2**31 - 1)],
        *[("sums", 1, x) for x in (-1, 0, 41, 2**31 - 1)],
    ],
)
def test_a_malformed_encoding_is_refused(buffer: str, index: int, number: int) -> None:
    encoded = dict(zip(BUFFERS, native.encode(example()), strict=True))
    native._kernel.Program(**encoded)
    encoded[buffer][index] = number
    with pytest.raises(ValueError, match="malformed program"):
        native._kernel.Program(**encoded)


@pytest.mark.parametrize("buffer", BUFFERS)
def test_an_encoding_of_the_wrong_size_or_kind_is_refused(buffer: str) -> None:
    encoded = dict(zip(BUFFERS, native.encode(example()), strict=True))
    for wrong in ([], encoded[buffer][:-1], array("h", bytes(8)), array("f", bytes(8)), bytes(8), None, 1):
        if buffer in ("results", "sums") and isinstance(wrong, array) and wrong.typecode == "i":
            continue
        with pytest.raises((ValueError, TypeError)):
            native._kernel.Program(**encoded | {buffer: wrong})


def work(code: Sequence[int]) -> int:
    return sum([math.prod(code[n + 3 : n + 6]) for n in range(0, len(code) - 5, 21)])


def mutations(count: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Encodings with some numbers changed."""
    programs = [native.encode(x) for x in (example(), layer(5, 9), layer(1, 1))]
    for _ in range(count):
        encoded = {name: array(x.typecode, x) for name, x in zip(BUFFERS, rng.choice(programs), strict=True)}
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            buffer = encoded[rng.choice(["layout", "code", "code", "code", "code", "tables", "results", "sums"])]
            if buffer:
                n = rng.randrange(len(buffer))
                near = [buffer[n] + rng.randint(-3, 3), rng.choice(buffer), rng.randint(-2, 60)]
                far = [2**31 - 1, -(2**31), 2**30, 65536]
                buffer[n] = max(-(2**31), min(2**31 - 1, rng.choice(near * 3 + far)))
        yield encoded


def test_any_encoding_is_an_error_or_runs() -> None:
    loaded, rng = 0, random.Random(7)
    for encoded in mutations(2000 if BUILT else 6000, rng):
        try:
            kernel = native._kernel.Program(**encoded, kind=rng.choice(KINDS))
        except ValueError:
            continue
        captured, inputs = encoded["layout"][1:3]
        if work(encoded["code"]) + captured + inputs < 10**5:
            sizes = 9 * inputs, captured, 9 * len(encoded["results"]), sum(encoded["sums"][1::2])
            kernel.run_into(9, *[array("d", bytes(8 * size)) for size in sizes])
            loaded += 1
    assert loaded > 100


# --- Building ----------------------------------------------------------------------------------------------------


def test_under_sanitizers(run_under_sanitizers: Callable[..., None]) -> None:
    """Every other test of this file, on a kernel that is built to stop at a wrong access or undefined behaviour."""
    if BUILT:
        pytest.skip("this is the sanitized build, and the test is for the plain one")
    options = "-fno-var-tracking -Wno-unused-parameter -fno-math-errno -fno-trapping-math -lm -lpthread".split()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    source = ROOT / "autograd_lite" / "compiler" / "kernel.c"
    run_under_sanitizers(source, options, "AUTOGRAD_LITE_KERNEL", lambda built: command)


def test_installation_without_a_compiler(tmp_path: Path) -> None:
    installed = {x.name: x.version for x in importlib.metadata.distributions()}
    if BUILT:
        pytest.skip("this is the sanitized build, and the test is for the plain one")
    if "pip" not in installed or int(installed.get("setuptools", "0").split(".")[0]) < 77:
        pytest.skip("no pip, or setuptools older than 77")
    source, target = tmp_path / "source", tmp_path / "target"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    for folder in "autograd_lite", "nn":
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for file in "pyproject.toml", "README.md", "LICENSE":
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    done = subprocess.run(
        [*pip, str(target), str(source)],
        env=os.environ | {"CC": "/bin/false"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "autograd_lite" / "compiler" / "executors" / "kernel.py").exists()
    assert not list(target.rglob("_kernel*.so"))
    code = "from autograd_lite import jit; f = jit(lambda x: x * x); print(f(3.0), f.backend)"
    used = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(target)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert used.stdout.startswith("9.0"), used.stderr
    assert used.stdout.split()[1] != "native"


@pytest.mark.parametrize("kind", KINDS)
def test_sines_of_any_size(kind: str) -> None:
    """Also near multiples of pi / 2, where most digits cancel, and above 16,384, where the library computes them."""
    near = [k * math.pi / 2 for k in range(-10_430, 10_430, 7)]
    xs = [
        *near,
        *[math.nextafter(x, 0.0) for x in near],
        *[x + 0.7 for x in near],
        *[10.0**-k for k in range(1, 320, 9)],
    ]
    xs += [0.0, -0.0, 5e-324, -5e-324, 16384.0, 16385.0, -1e22, 1e300, math.inf, -math.inf, math.nan]
    sine, cosine = [Instruction(op, dst, (1, 1, 1), (Strided(0),)) for op, dst in ((p.sin, 1), (p.cos, 2))]
    program = Program((), 0, 1, (), (sine, cosine), (), array("i", [1, 2]), array("i"))
    found, _ = native.executor(program, kind=kind)(len(xs), array("d", xs), array("d"))
    for x, s, c in zip(xs, found[::2], found[1::2], strict=True):
        for got, f in ((s, p.sin), (c, p.cos)):
            expected = f.compute(x)
            assert got == pytest.approx(expected, rel=4e-16, abs=0.0, nan_ok=True), (x, f.name)
            assert math.copysign(1.0, got) == math.copysign(1.0, expected) or got != got


@pytest.mark.parametrize("kind", KINDS)
def test_erf_of_any_size(kind: str) -> None:
    """Also between the multiples of 1 / 128, where the table of erf is, and beyond its end at 6."""
    xs = [n / 256 + shift for n in range(1600) for shift in (0.0, 1e-9, -1e-9, 1 / 1024)]
    xs += [10.0**-k for k in range(1, 324)] + [5e-324, 1e300, math.nextafter(6.0, 0.0), inf]
    xs += [-x for x in xs] + [nan]
    program = Program((), 0, 1, (), (Instruction(p.erf, 1, (1, 1, 1), (Strided(0),)),), (), array("i", [1]), array("i"))
    found, _ = native.executor(program, kind=kind)(len(xs), array("d", xs), array("d"))
    for x, z in zip(xs, found, strict=True):
        expected = math.erf(x)
        assert z == pytest.approx(expected, rel=5e-16, abs=0.0, nan_ok=True), x
        assert math.copysign(1.0, z) == math.copysign(1.0, expected) or z != z
