"""Exported source files, compiled and run: they give the numbers that the engine gives, to the last digits."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from examples import rosenbrock

import nn
from autograd_lite import (
    Value,
    cond,
    exp,
    fori_loop,
    grad,
    hvp,
    jacobian,
    jit,
    log,
    primitive,
    root,
    scan,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
    while_loop,
)
from autograd_lite import sum as add_up
from autograd_lite.primitives import PRIMITIVES

CC, NODE = shutil.which("cc"), shutil.which("node")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
TOOLS = {".c": CC, ".py": sys.executable, ".js": NODE}
LANGUAGES = [
    pytest.param(suffix, marks=pytest.mark.skipif(tool is None, reason=f"no tool for {suffix} here"))
    for suffix, tool in TOOLS.items()
]
pytestmark = pytest.mark.filterwarnings("error")


def run(*command: str | Path) -> str:
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passes_self_test(path: Path) -> None:
    """Assert that the self-test of an exported file finds no difference."""
    assert re.fullmatch(r"\w+: 0 of \d+ numbers differ\n", self_test(path))


def self_test(path: Path) -> str:
    """What the self-test of an exported file prints."""
    if path.suffix == ".c":
        program = path.with_suffix(".exe")
        run(CC or "", *FLAGS, f"-D{path.stem.upper()}_TEST", path, "-o", program, "-lm")
        run(CC or "", *FLAGS, "-c", path, "-o", path.with_suffix(".o"))  # without the test, as a library
        return run(program)
    return run(TOOLS[path.suffix] or "", path)


def call(path: Path, calls: list[tuple[str, list[Any], list[int | None]]]) -> list[list[float]]:
    """The results, flat, of calls of an exported file: the function, its arguments, and the size of each result."""
    if path.suffix == ".c":
        lines = ["#include <stdio.h>", f'#include "{path.name}"', "int main(void) {"]
        for function, group in groupby(calls, lambda each: each[0]):
            cases = list(group)
            if len(cases) > 9 and cases[0][2] == [None]:  # many calls on scalars: a table of the arguments, and a loop
                width = len(cases[0][1])
                table = ", ".join([c_number(x) for _, args, _ in cases for x in args])
                given = [f"table[{width} * n + {i}]" for i in range(width)]
                lines.append(f"    {{ const double table[] = {{{table}}};")
                lines.append(f"    for (int n = 0; n < {len(cases)}; n++)")
                lines.append(f'        printf("%.17g\\n", {function}({", ".join(given)})); }}')
            else:
                lines += [line for each in cases for line in c_call(*each)]
        main = path.with_name("main.c")
        main.write_text("\n".join([*lines, "    return 0;", "}"]))
        program = path.with_suffix(".exe")
        run(CC or "", *FLAGS, "-O0", main, "-o", program, "-lm")
        return [[float(x) for x in line.split()] for line in run(program).splitlines()]
    if path.suffix == ".js":
        text = f"const m = require({json.dumps(str(path))});\n"
        for function, args, _ in calls:
            shown = "flat(2).map(x => Object.is(x, -0) ? '-0' : x).join(' ')"
            text += f"console.log([m.{function}(...{js_text(args)})].{shown});\n"
        main = path.with_name("main.js")
        main.write_text(text)
        out = run(NODE or "", main)
        return [[float(x.replace("Infinity", "inf")) for x in line.split()] for line in out.splitlines()]
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return [flat(namespace[function](*args)) for function, args, _ in calls]


def c_call(function: str, args: list[Any], sizes: list[int | None]) -> list[str]:
    """A call, and a line with the numbers that it gives."""
    total, first = sum(size or 1 for size in sizes), sizes[0] is None
    given = [f"(const double[]){{{', '.join(map(c_number, x))}}}" if isinstance(x, list) else c_number(x) for x in args]
    at = 0
    for n, size in enumerate(sizes):
        given += [] if first and n == 0 else [f"got + {at}"]
        at += size or 1
    return [
        f"    {{ double got[{total}];",
        f"    {'got[0] = ' * first}{function}({', '.join(given)});",
        f'    for (int n = 0; n < {total}; n++) printf("%.17g ", got[n]);',
        '    printf("\\n"); }',
    ]


def c_number(x: float) -> str:
    return {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}.get(repr(x), repr(x))


def js_text(args: list[Any]) -> str:
    return repr(args).replace("inf", "Infinity").replace("nan", "NaN")


def flat(x: Any) -> list[float]:
    if isinstance(x, list | tuple):
        return [number for item in x for number in flat(item)]
    return [x]


def assert_close(got: list[float], expected: list[float], tolerance: float = 1e-13) -> None:
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        same = g == e or (g != g and e != e) or abs(g - e) <= tolerance * abs(e)
        assert same, f"{got} against {expected}"


# --- The numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", LANGUAGES)
@pytest.mark.parametrize("n", [3, 40])  # straight lines, and loops
def test_value_gradient_and_hessian_vector_product_have_the_numbers_of_the_engine(
    suffix: str, n: int, tmp_path: Path
) -> None:
    random_numbers = random.Random(n)
    x, v = ([random_numbers.uniform(-1.5, 1.5) for _ in range(n)] for _ in range(2))
    path = jit(rosenbrock).export(tmp_path / f"valley{suffix}", x, hvp=True)
    passes_self_test(path)
    found = call(path, [("rosenbrock", [x], [None]), ("rosenbrock_gradient", [x], [None, n]),
                        ("rosenbrock_hvp", [x, v], [n])])  # fmt: skip
    value = rosenbrock(x)
    assert_close(found[0], [value])
    assert_close(found[1], [value, *grad(rosenbrock)(x)])
    assert_close(found[2], hvp(rosenbrock, (x,), (v,)), 1e-12)
    functions = re.split("#ifdef|def test|function test", path.read_text())[0]
    assert ("for " in functions) == (n == 40)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_several_results_have_a_jacobian_and_structures_are_flat(suffix: str, tmp_path: Path) -> None:
    def forces(x: Any, p: Any, lambda_: Any) -> Any:
        return {"a": -p["k"] * x / p["m"][0] + sin(lambda_), "b": [softplus(x), p["m"][1]]}

    def unlabelled(x: Any, p: Any, y: Any) -> Any:
        result = forces(x, p, y)
        return [result["a"], *result["b"]]

    p = {"k": 2.0, "m": [0.5, 3.0]}
    path = jit(forces).export(tmp_path / f"forces{suffix}", 0.25, p, -1.0)
    passes_self_test(path)
    args = [0.25, [2.0, 0.5, 3.0], -1.0]
    (found,) = call(path, [("forces_jacobian", args, [3, 3, 9, 3])])
    values = unlabelled(0.25, p, -1.0)
    by_x, by_p, by_y = (flat([[*flat(list(row.values()) if isinstance(row, dict) else row)] for row in rows])
                        for rows in (jacobian(unlabelled, i)(0.25, p, -1.0) for i in range(3)))  # fmt: skip
    by_p = [number for row in jacobian(unlabelled, 1)(0.25, p, -1.0) for number in (row["k"], *row["m"])]
    assert_close(found, [*values, *by_x, *by_p, *by_y])


EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, 1e-200, 1e5, -1e5, 1000.0, -1000.0,
         math.inf, -math.inf, math.nan]  # fmt: skip


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_every_primitive_has_the_results_of_ieee_754(suffix: str, tmp_path: Path) -> None:
    exact = {"floor", "ceil", "round", "mod", "floordiv", "sign", "step", "share", "maximum", "minimum", "where", "abs"}
    calls, expected, names = [], [], []
    table = {name: op for name, op in PRIMITIVES.items() if op.compute.__module__ != __name__}
    for name, op in table.items():
        count = 2 if op.arity is None else op.arity
        if name == "pow_const":
            continue
        if count == 1:
            cases = [(x,) for x in EDGES]
        elif count == 2:
            cases = [(x, y) for x in EDGES for y in EDGES]
        else:
            cases = [(x, y, z) for x in EDGES for y in (2.0, math.inf, -0.0) for z in (math.nan, -3.0)]

        def one(*args: Any, op: Any = op) -> Any:
            return op(*args)

        one.__name__ = f"call_{name}"
        path = jit(one).export(tmp_path / f"f_{name}{suffix}", *cases[0], gradient=False)
        calls.append((path, [(f"call_{name}", list(case), [None]) for case in cases]))
        expected += [op.compute(*case) for case in cases]
        names += [(name, case) for case in cases]
    found = [numbers[0] for numbers in call_all(calls, suffix, tmp_path)]
    for (name, case), g, e in zip(names, found, expected, strict=True):
        same = (g == e and (e or math.copysign(1, g) == math.copysign(1, e))) or (g != g and e != e)
        if name not in exact:
            same = same or abs(g - e) <= 4e-15 * abs(e)
        if name in ("sin", "cos", "tan") and abs(case[0]) > 999:
            same = same or abs(g - e) <= 1e-12
        assert same, f"{name}{case} is {g}, expected {e}"


def call_all(calls: list[tuple[Path, list[Any]]], suffix: str, folder: Path) -> list[list[float]]:
    """`call` for many files at once: in C by one compilation of all of them."""
    if suffix == ".py":
        return [x for path, each in calls for x in call(path, each)]
    together = folder / f"together{suffix}"
    if suffix == ".c":
        parts = [path.read_text() for path, _ in calls]
        seen, text = set(), "#include <math.h>\n"
        for part in parts:  # the definitions that several files have in common, once
            body = part.partition("#include <math.h>")[2].partition("#ifdef")[0]
            for block in re.split(r"\n\n(?=static|/\*)", body):
                text += "" if block.strip() in seen else block + "\n\n"
                seen.add(block.strip())
        together.write_text(text)
    else:
        names = [each[0][0] for _, each in calls]
        lines = [
            f"exports.{name} = require({json.dumps(str(path))}).{name};"
            for name, (path, _) in zip(names, calls, strict=True)
        ]
        together.write_text("\n".join(lines))
    return call(together, [x for _, each in calls for x in each])


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_constant_exponents_have_the_numbers_of_the_engine(suffix: str, tmp_path: Path) -> None:
    powers = [-1.0, -0.5, 0.0, 0.5, 2.0, 3.0, 4.0, math.inf]

    def raised(x: Any) -> Any:
        return [x**n for n in powers]

    path = jit(raised).export(tmp_path / f"raised{suffix}", 0.5, gradient=False)
    found = call(path, [("raised", [x], [len(powers)]) for x in EDGES])
    for x, got in zip(EDGES, found, strict=True):
        assert_close(got, [PRIMITIVES["pow"].compute(x, n) for n in powers])


# --- Captured values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_captured_values_are_constants_or_arguments(suffix: str, tmp_path: Path) -> None:
    k, long = Value(0.5, label="stiffness"), Value(3.0, label="for")

    def spring(x: Any) -> Any:
        return k * x * x + exp(k) * long

    jitted = jit(spring)
    jitted(2.0)
    path = jitted.export(tmp_path / f"spring{suffix}")
    assert "stiffness = 0.5" in path.read_text()
    value = 0.5 * 4 + math.exp(0.5) * 3
    (found,) = call(path, [("spring_gradient", [2.0], [None, None])])
    assert_close(found, [value, 2.0])
    path = jitted.export(tmp_path / f"spring{suffix}", captured="arguments")
    passes_self_test(path)
    (found,) = call(path, [("spring_gradient", [2.0, 0.5, 3.0], [None] * 4)])
    assert_close(found, [value, 2.0, 4 + math.exp(0.5) * 3, math.exp(0.5)])


def trained_network() -> tuple[nn.MLP, list[list[float]]]:
    """A network that was trained for two epochs, and its rows."""
    model = nn.MLP(3, [16, 12, 2], activation="tanh", seed=4)
    X = [[random.Random(i).gauss(0, 1) for _ in range(3)] for i in range(20)]
    nn.fit(
        model, X, [[x[0] * x[1], x[2]] for x in X], nn.mse, nn.SGD(model.parameters(), lr=0.1), epochs=2, verbose=False
    )
    return model, X


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_network_has_the_numbers_of_the_engine(suffix: str, tmp_path: Path) -> None:
    model, X = trained_network()
    path = jit(model).export(tmp_path / f"network{suffix}", X[0])
    passes_self_test(path)
    found = call(path, [("MLP_jacobian", [x], [2, 6]) for x in X])
    for x, got in zip(X, found, strict=True):
        expected = flat([model([Value(a) for a in x]), jacobian(model)(x)])
        assert_close(got, [y.data if isinstance(y, Value) else y for y in expected], 1e-12)
    text = path.read_text()
    assert text.partition("#ifdef")[0].count("\n") < 400
    assert "layers.0.neurons.0.w" in text


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_the_parameters_of_a_network_can_be_arguments(suffix: str, tmp_path: Path) -> None:
    model, X = trained_network()
    passes_self_test(jit(model).export(tmp_path / f"network{suffix}", X[0], captured="arguments"))


@pytest.mark.parametrize("captured", ["constants", "arguments"])
def test_a_network_in_c_is_loops_without_allocation(captured: str, tmp_path: Path) -> None:
    model, X = trained_network()
    text = jit(model).export(tmp_path / "network.c", X[0], captured=captured).read_text()
    assert "malloc" not in text
    assert len(re.findall(r"for \(int", text)) > 8


@pytest.mark.skipif(CC is None, reason="no C compiler here")
def test_a_network_in_32_bits_fits_a_microcontroller(tmp_path: Path) -> None:
    model = nn.MLP(2, [16, 16, 1], seed=1)
    path = jit(model).export(tmp_path / "small.c", [0.5, -0.25], precision="float")
    passes_self_test(path)
    text = path.read_text().partition("#ifdef")[0]
    assert "double" not in text
    assert sum(map(int, re.findall(r"float t\[(\d+)\];", text))) < 400  # the only memory beside the constants
    assembly = run(CC or "", *FLAGS, "-S", path, "-o", "-")
    assert not re.search(r"cvtss2sd|fcvt\s+d", assembly)  # nothing is computed in double on the way


# --- Loops ----------------------------------------------------------------------------------------------------------


def pendulum(start: Any, torques: Any, length: Any = 1.5) -> Any:
    """The cost of a rollout: the energy at each step, and the last angle."""

    def step(state: Any, torque: Any) -> Any:
        angle, speed = state
        speed = speed + 0.05 * (torque - 9.81 / length * sin(angle))
        angle = angle + 0.05 * speed
        return (angle, speed), 0.5 * speed * speed + 0.01 * torque * torque

    (angle, _), costs = scan(step, (start[0], start[1]), torques)
    return add_up(costs) + 10.0 * angle * angle


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_rollout_with_scan_has_the_numbers_of_the_engine(suffix: str, tmp_path: Path) -> None:
    n = 40
    start, torques = [0.4, -0.1], [0.3 * math.sin(k) for k in range(n)]
    path = jit(pendulum).export(tmp_path / f"rollout{suffix}", start, torques, hvp=True)
    passes_self_test(path)
    assert f"scan of step: {n} steps" in path.read_text()
    v = [[1.0, -2.0], [math.cos(k) for k in range(n)]]
    found = call(path, [("pendulum", [start, torques], [None]), ("pendulum_gradient", [start, torques], [None, 2, n]),
                        ("pendulum_hvp", [start, torques, *v], [2, n])])  # fmt: skip
    value, gradients = pendulum(start, torques), [grad(pendulum, i)(start, torques) for i in range(2)]
    assert_close(found[0], [value])
    assert_close(found[1], [value, *flat(gradients)], 1e-11)
    assert_close(found[2], flat(hvp(pendulum, (start, torques), tuple(v))), 1e-11)


@pytest.mark.parametrize("captured", ["constants", "arguments"])
@pytest.mark.parametrize("suffix", LANGUAGES)
def test_loops_in_loops_captured_values_and_derivatives_of_loops(suffix: str, captured: str, tmp_path: Path) -> None:
    k = Value(0.7, label="stiffness")

    def inner(x: Any) -> Any:
        return fori_loop(0, 3, lambda i, y: tanh(k * y + 0.1 * i), x)

    def f(x: Any) -> Any:
        last, history = scan(lambda s, y: (s * 0.9 + inner(y) * s, s * s), x[0], x, reverse=True)
        return last + add_up([h * y for h, y in zip(history, x, strict=True)])

    def slope(x: Any) -> Any:
        return add_up([g * g for g in grad(f)(x)])

    x = [0.5, -0.75, 1.25]
    for function in (f, slope):
        path = jit(function).export(tmp_path / f"nested{suffix}", x, captured=captured)
        passes_self_test(path)
        given = [x] if captured == "constants" else [x, 0.7]
        sizes: list[int | None] = [None, 3] if captured == "constants" else [None, 3, None]
        (found,) = call(path, [(f"{function.__name__}_gradient", given, sizes)])
        compiled = jit(function)(x)
        assert_close(found[:4], [compiled.data, *flat(jit(grad(function))(x))], 1e-12)


def test_no_steps_and_a_state_that_stays(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        last, _ = scan(lambda s, y: ((s[0], 2.0), None), (x, 3.0), [1.0, 2.0])
        return fori_loop(0, 0, lambda _, y: y * y, last[0] * last[1])

    path = jit(f).export(tmp_path / "f.py", 1.5)
    assert call(path, [("f_gradient", [4.0], [None, None])]) == [[8.0, 2.0]]


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_pendulum_of_200_steps_is_two_loops(suffix: str, tmp_path: Path) -> None:
    n = 200
    start, torques = [0.4, -0.1], [0.3 * math.sin(k) for k in range(n)]
    path = jit(pendulum).export(tmp_path / f"pendulum{suffix}", start, torques)
    passes_self_test(path)
    (found,) = call(path, [("pendulum_gradient", [start, torques], [None, 2, n])])
    value, by_start, by_torques = pendulum(start, torques), *[grad(pendulum, k)(start, torques) for k in range(2)]
    assert_close(found, [value, *by_start, *by_torques], 1e-11)
    functions = functions_of(path)
    assert functions.count("scan of step: 200 steps\n") + functions.count("scan of step: 200 steps */\n") == 2
    assert functions.count("scan of step: 200 steps, from the last to the first") == 1
    assert {"angle", "speed", "d_angle", "cos_angle_at"} <= set(re.findall(r"\w+", functions))
    assert functions.count("\n") < 90


@pytest.mark.parametrize("suffix", LANGUAGES)
@pytest.mark.parametrize("n", [12, 13])
def test_checkpoints_are_loops_in_loops_with_less_memory(suffix: str, n: int, tmp_path: Path) -> None:
    def rollout(x: Any, forces: Any, checkpoint: int | None = 4) -> Any:
        def step(state: Any, force: Any) -> Any:
            position, speed = state
            speed = speed + 0.1 * (force - sin(position))
            return (position + 0.1 * speed, speed), exp(-position * position)

        (position, speed), costs = scan(step, (x, 0.0), forces, checkpoint=checkpoint)
        return position * speed + add_up(costs)

    forces = [math.cos(k) for k in range(n)]
    path = jit(rollout).export(tmp_path / f"rollout{suffix}", 0.3, forces, hvp=True)
    passes_self_test(path)
    v = [0.5, [math.sin(k) for k in range(n)]]
    found = call(path, [("rollout_gradient", [0.3, forces], [None, None, n]),
                        ("rollout_hvp", [0.3, forces, *v], [None, n])])  # fmt: skip
    gradients = [grad(rollout, k)(0.3, forces) for k in range(2)]
    assert_close(found[0], [value_of(rollout(0.3, forces)), *flat(gradients)], 1e-12)
    assert_close(found[1], flat(hvp(lambda x, y: rollout(x, y, None), (0.3, forces), tuple(v))), 1e-12)
    assert "scan of step: 4 steps" in path.read_text()


def value_of(x: Any) -> float:
    return x.data if isinstance(x, Value) else x


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_100_000_steps_are_a_short_file(suffix: str, tmp_path: Path) -> None:
    n = 100_000

    def decay(x: Any, rate: Any) -> Any:
        return fori_loop(0, n, lambda i, y: y - 1e-5 * rate * sin(y) * exp(-1e-5 * i), x)

    path = jit(decay).export(tmp_path / f"decay{suffix}", 1.5, 0.7)
    passes_self_test(path)
    assert len(path.read_text()) < 5000
    (found,) = call(path, [("decay_gradient", [1.5, 0.7], [None, None, None])])
    compiled = jit(lambda x, rate: [decay(x, rate), *grad(decay, (0, 1))(x, rate)])
    assert_close(found, [value_of(x) for x in compiled(1.5, 0.7)], 1e-11)
    if suffix == ".c":  # the saved states are not on the stack, and nothing is allocated
        assert "static double cos_y_at[100000];" in path.read_text()
        assert "malloc" not in path.read_text()


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_recurrent_network_has_loop_nests_in_its_loop(suffix: str, tmp_path: Path) -> None:
    draw = random.Random(0)
    W = [[Value(draw.gauss(0, 0.3)) for _ in range(15)] for _ in range(12)]

    def rnn(xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = [tanh(add_up([w * y for w, y in zip(row, [*h, *x], strict=True)])) for row in W]
            return h, h[0]

        h, ys = scan(step, [0.0] * 12, xs)
        return add_up([y * y for y in h]) + add_up(ys)

    xs = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(10)]
    path = jit(rnn).export(tmp_path / f"rnn{suffix}", xs)
    passes_self_test(path)
    (found,) = call(path, [("rnn_gradient", [flat(xs)], [None, 30])])
    with_numbers = [value_of(rnn(xs)), *[value_of(x) for x in flat(grad(rnn)(xs))]]
    assert_close(found, with_numbers, 1e-11)
    assert functions_of(path).count("\n") < 190
    path = jit(rnn).export(tmp_path / f"rnn{suffix}", xs, captured="arguments")
    passes_self_test(path)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_all_states_of_a_loop_are_updated_together(suffix: str, tmp_path: Path) -> None:
    def fibonacci(x: Any, y: Any) -> Any:
        last, _ = scan(lambda s, _: ((s[1], 0.5 * s[0] + s[1]), None), (x, y), length=7)
        return fori_loop(0, 3, lambda _, s: (s[1], s[0]), last)[0] * last[1]

    def shifted(x: Any) -> Any:
        def shift(s: Any, y: Any) -> Any:
            return [*s[1:], s[0] * y], s[2]

        s, ys = scan(shift, [x * (k + 1.0) for k in range(9)], [1.0, 0.5, 2.0, -1.0])
        return add_up([k * y for k, y in enumerate(s)]) + add_up(ys)

    def read_by_a_cycle(x: Any, y: Any) -> Any:
        return add_up(fori_loop(0, 5, lambda _, s: (0.5 * s[0] + 1, s[0] + s[2], s[1]), (x, y, x * y)))

    path = jit(read_by_a_cycle).export(tmp_path / f"cycle{suffix}", 1.0, 2.0)
    passes_self_test(path)
    (found,) = call(path, [("read_by_a_cycle_gradient", [1.5, -2.0], [None] * 3)])
    assert_close(found, [read_by_a_cycle(1.5, -2.0), *grad(read_by_a_cycle, (0, 1))(1.5, -2.0)], 1e-13)
    path = jit(fibonacci).export(tmp_path / f"fibonacci{suffix}", 1.0, 2.0)
    passes_self_test(path)
    (found,) = call(path, [("fibonacci_gradient", [1.5, -2.0], [None] * 3)])
    assert_close(found, [fibonacci(1.5, -2.0), *grad(fibonacci, (0, 1))(1.5, -2.0)], 1e-13)
    path = jit(shifted).export(tmp_path / f"shifted{suffix}", 1.0)
    passes_self_test(path)
    (found,) = call(path, [("shifted_gradient", [1.5], [None] * 2)])
    assert_close(found, [shifted(1.5), grad(shifted)(1.5)], 1e-13)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_while_loops_and_equations_have_the_numbers_of_the_engine(suffix: str, tmp_path: Path) -> None:
    def collatz(x: Any, y: Any) -> Any:
        x, steps = while_loop(lambda s: (s[0] > 1.0) & (s[1] < 50.0), lambda s: (s[0] * 0.5 + y, s[1] + 1.0), (x, 0.0))
        return x + 0.25 * steps

    path = jit(collatz).export(tmp_path / f"collatz{suffix}", 9.0, 0.125, gradient=False)
    passes_self_test(path)
    cases = [(9.0, 0.125), (0.5, 0.1), (3.0, 2.0)]
    found = call(path, [("collatz", list(case), [None]) for case in cases])
    assert found == [[collatz(*case)] for case in cases]

    def kepler(mean: Any, eccentricity: Any) -> Any:
        return root(lambda angle: angle - eccentricity * sin(angle) - mean, mean)

    path = jit(kepler).export(tmp_path / f"kepler{suffix}", 0.8, 0.3)
    passes_self_test(path)
    (found,) = call(path, [("kepler_gradient", [1.1, 0.6], [None] * 3)])
    assert_close(found, [kepler(1.1, 0.6), *grad(kepler, (0, 1))(1.1, 0.6)], 1e-12)
    refused(TypeError, "while_loop has no reverse mode", tmp_path / f"f{suffix}", 9.0, 0.125, f=collatz)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_branch_in_a_loop_and_a_loop_in_a_branch(suffix: str, tmp_path: Path) -> None:
    def bounce(height: Any, drop: Any) -> Any:
        def step(state: Any, gust: Any) -> Any:
            y, v = state
            v = v - drop + gust
            y = y + 0.1 * v
            return cond(y < 0.0, lambda y, v: (-0.9 * y, -0.9 * v), lambda y, v: (y, v), y, v), y

        (y, v), path = scan(step, (height, 0.0), [0.01 * k for k in range(25)])
        rest = cond(v > 0.0, lambda: fori_loop(0, 5, lambda i, y: y + 0.1 * i * v, y), lambda: y * y)
        return rest + 0.1 * add_up(path)

    path = jit(bounce).export(tmp_path / f"bounce{suffix}", 1.0, 0.3)
    passes_self_test(path)
    skipped = re.findall(r"if .* == 0(?:\.0)?\)?(?: {|:)\n +for ", path.read_text(encoding="utf-8"))
    assert len(skipped) == 3  # the fori_loop of the function, and those of its gradient
    cases = [(1.0, 0.3), (2.0, 0.25), (0.1, 0.5)]
    found = call(path, [("bounce_gradient", list(case), [None] * 3) for case in cases])
    for case, got in zip(cases, found, strict=True):
        assert_close(got, [bounce(*case), *grad(bounce, (0, 1))(*case)], 1e-11)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_a_costly_side_of_a_condition_is_a_block_that_is_skipped(suffix: str, tmp_path: Path) -> None:
    def costly(x: Any, y: Any) -> Any:
        for k in range(7):
            x = tanh(x + k * y) + 0.5 * sin(x * y)
        return x, x * y

    def choice(x: Any, y: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            a, b = state
            return cond(a < b, lambda: costly(a, b), lambda: (0.7 * a, exp(-b * b) + a)), a * b

        (a, b), products = scan(step, (x, y), length=6)
        return add_up(cond(a < 0.5, lambda: costly(b, a), lambda: costly(a, b)[::-1])) + add_up(products)

    path = jit(choice).export(tmp_path / f"choice{suffix}", 0.3, 0.8)
    passes_self_test(path)
    head = r"if v\d+ [!=]= 0.0:" if suffix == ".py" else r"if \(v\d+ [!=]=+ 0(.0)?\) {"
    assert len(re.findall(head, functions_of(path))) >= 3
    cases = [(0.3, 0.8), (0.8, 0.3), (-1.0, 2.0), (2.0, -0.4)]
    found = call(path, [("choice_gradient", list(case), [None] * 3) for case in cases])
    for case, got in zip(cases, found, strict=True):
        assert_close(got, [choice(*case), *grad(choice, (0, 1))(*case)], 1e-11)


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_loops_that_no_argument_changes_are_constants(suffix: str, tmp_path: Path) -> None:
    k = Value(0.3, label="k")

    def f(x: Any) -> Any:
        last, table = scan(lambda s, y: (s * k + y, s), 1.0, [0.5, -1.0, 0.25, 2.0, 1.0, 0.0])
        _, weighted = scan(lambda s, y: (s, s * y), x, table)
        return last * add_up(weighted)

    path = jit(f).export(tmp_path / f"f{suffix}", 1.5)
    passes_self_test(path)
    (found,) = call(path, [("f_gradient", [2.0], [None] * 2)])
    assert_close(found, [value_of(f(2.0)), value_of(grad(f)(2.0))], 1e-13)
    assert functions_of(path).count("scan") == 2  # one in each function


@pytest.mark.parametrize("suffix", LANGUAGES)
@pytest.mark.parametrize("n", [7, 40])
def test_a_jacobian_of_a_loop_is_swept_by_a_loop(suffix: str, n: int, tmp_path: Path) -> None:
    k = Value(0.3, label="k")

    def path_of(x: Any, rate: Any, forces: Any) -> Any:
        def step(state: Any, force: Any) -> Any:
            a, b = state
            a = a + 0.1 * sin(b * rate) + k * force
            return (a, b + 0.1 * a), a * b

        (a, b), ys = scan(step, (x[0], x[1]), forces)
        return [*ys, a, b] if n == 40 else [a * ys[2], b]

    x, forces = [0.3, -0.2], [math.cos(k) for k in range(n)]
    m = n + 2 if n == 40 else 2
    path = jit(path_of).export(tmp_path / f"path{suffix}", x, 1.1, forces)
    passes_self_test(path)
    (found,) = call(path, [("path_of_jacobian", [x, 1.1, forces], [m, 2 * m, m, n * m])])
    values = [value_of(y) for y in path_of(x, 1.1, forces)]
    rows = [flat(jacobian(path_of, n)(x, 1.1, forces)) for n in range(3)]
    assert_close(found, [value_of(y) for y in (*values, *flat(rows))], 1e-11)
    functions = functions_of(path)
    assert functions.count("\n") < 200
    assert ("d_forces: column by column" if n == 40 else "d_x, d_forces: row by row") in functions
    path = jit(path_of).export(tmp_path / f"path{suffix}", x, 1.1, forces, captured="arguments")
    passes_self_test(path)


def test_an_onnx_model_has_no_loops(tmp_path: Path) -> None:
    pytest.importorskip("onnx")

    def many(x: Any) -> Any:
        return fori_loop(0, 2000, lambda _, y: y + 0.1 * sin(y), x)

    refused(ValueError, "an .onnx model has no loops, and .* uses fori_loop", tmp_path / "f.onnx", 1.0, f=many)


def functions_of(path: Path) -> str:
    """The source without the self-test."""
    return re.split("#ifdef|def test|function test", path.read_text())[0]


# --- What a reader sees ---------------------------------------------------------------------------------------------


def test_the_c_source_is_readable(tmp_path: Path) -> None:
    damping = Value(0.1, label="damping")

    def energy(position: Any, velocity: Any) -> Any:
        return position**2 / 2.0 + damping * velocity**2

    text = jit(energy).export(tmp_path / "energy.c", 1.0, 2.0).read_text()
    assert text.partition("#ifdef")[0] == (
        """/* energy, exported by autograd-lite.
 *
 * Self-test: cc -std=c99 -DENERGY_TEST energy.c -lm && ./a.out
 */
#include <math.h>

static const double damping = 0.1;

/* The value of energy. */
double energy(double position, double velocity) {
    return 0.5 * (position * position) + damping * (velocity * velocity);
}

/* The value of energy, and the derivatives by each argument. */
double energy_gradient(double position, double velocity, double *d_position, double *d_velocity) {
    *d_position = position;
    *d_velocity = damping * velocity + damping * velocity;
    return 0.5 * (position * position) + damping * (velocity * velocity);
}

"""
    )


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_labels_become_valid_identifiers(suffix: str, tmp_path: Path) -> None:
    odd = [
        Value(float(i + 2), label=label)
        for i, label in enumerate(["x", "a b", "a-b", "1st", "double", "v0", "µ", "*/"])
    ]

    def f(x: Any, in_: Any, v: Any) -> Any:
        return log(x * in_ + v) + add_up([o * x for o in odd])

    path = jit(f).export(tmp_path / f"odd names{suffix}", 1.0, 2.0, 3.0, hvp=True)
    path = path.rename(path.with_name(f"odd_names{suffix}"))
    passes_self_test(path)


@pytest.mark.parametrize("suffix", LANGUAGES)
@pytest.mark.parametrize("name", "fabs fmax trunc fma remove puts reversed enumerate isinstance Array console".split())
def test_names_that_a_language_uses(name: str, suffix: str, tmp_path: Path) -> None:
    def f(x: Any, y: Any) -> Any:
        return sigmoid(abs(x)) * y

    f.__name__ = name
    path = jit(f).export(tmp_path / f"named{suffix}", -0.5, 2.0)
    passes_self_test(path)
    values = [Value(2.0, label=name)]
    path = jit(lambda x: abs(x) * values[0] + x).export(tmp_path / f"labelled{suffix}", -0.5)
    passes_self_test(path)


def test_the_self_test_fails_on_a_wrong_number(tmp_path: Path) -> None:
    path = jit(lambda x: sqrt(x)).export(tmp_path / "root.py", 2.0)
    path.write_text(path.read_text().replace("math.sqrt(x)", "1.0000001 * math.sqrt(x)"))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected 1.414" in done.stdout


# --- Bad input ------------------------------------------------------------------------------------------------------


@primitive(partials=lambda z, x: (3 * x**2,))
def cube_of(x: float) -> float:
    return x * x * x


def refused(
    error: type[Exception], words: str, path: Path, *args: Any, f: Callable[..., Any] = sin, **options: Any
) -> None:
    before = sorted(path.parent.iterdir()) if path.parent.exists() else None
    with pytest.raises(error, match=words) as found:
        jit(f).export(path, *args, **options)
    assert "\n" not in str(found.value)
    assert before is None or sorted(path.parent.iterdir()) == before


def test_bad_input_gives_one_line_and_no_file(tmp_path: Path) -> None:
    refused(ValueError, "writes .c, .py, .js, .onnx files, got 'f.rs'", tmp_path / "f.rs", 1.0)
    refused(ValueError, "got 'f'", tmp_path / "f", 1.0)
    for suffix, language in {".c": "C", ".py": "Python", ".js": "JavaScript"}.items():
        words = f"{language} has no primitive 'cube_of'"
        refused(ValueError, words, tmp_path / f"f{suffix}", 1.0, f=lambda x: cube_of(x))
    refused(FileNotFoundError, "cannot write .*missing", tmp_path / "missing" / "f.c", 1.0)
    (tmp_path / "folder.c").mkdir()
    refused(OSError, "cannot write .*folder.c .*directory", tmp_path / "folder.c", 1.0)
    refused(ValueError, "captured is 'constants' or 'arguments', got 'all'", tmp_path / "f.c", 1.0, captured="all")
    refused(ValueError, "precision is 'double' or 'float', got 'half'", tmp_path / "f.c", 1.0, precision="half")
    refused(ValueError, "doubles", tmp_path / "f.js", 1.0, precision="float")
    refused(
        TypeError, "hvp needs a function that gives one number", tmp_path / "f.c", 1.0, f=lambda x: [x, x], hvp=True
    )
    refused(TypeError, "gives numbers; .* gives None", tmp_path / "f.c", 1.0, f=lambda x: None)
    refused(RuntimeError, "call the function once", tmp_path / "f.c")
    refused(TypeError, "number of a traced Value", tmp_path / "f.c", 1.0, f=lambda x: x if x > 0 else -x)


def test_a_file_that_exists_stays_as_it_was_when_an_export_fails(tmp_path: Path) -> None:
    path = tmp_path / "f.c"
    path.write_text("mine")
    with pytest.raises(ValueError, match="cube_of"):
        jit(lambda x: cube_of(x)).export(path, 1.0)
    assert path.read_text() == "mine"
    jit(sin).export(path, 1.0)
    assert "sin(" in path.read_text()
    assert os.listdir(tmp_path) == ["f.c"]


def test_where_takes_a_branch_of_its_condition(tmp_path: Path) -> None:
    path = jit(lambda x: where(x, 1.0, 2.0)).export(tmp_path / "f.py", 0.5)
    assert call(path, [("f", [math.nan], [None]), ("f", [-0.0], [None])]) == [[1.0], [2.0]]


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_comparisons_are_those_of_python(suffix: str, tmp_path: Path) -> None:
    def ours(x: Any, y: Any) -> Any:
        return [x < y, x <= y, x > y, x >= y, where(x < y, 3.0, where(y <= 1.0, x, 2.0))]

    path = jit(ours).export(tmp_path / f"ours{suffix}", 0.5, 1.5)
    assert self_test(path)
    cases = [(x, y) for x in EDGES for y in EDGES]
    found = call(path, [("ours", list(case), [5]) for case in cases])
    for case, numbers in zip(cases, found, strict=True):
        assert numbers == pytest.approx([float(x) for x in ours(*case)], rel=0, abs=0, nan_ok=True), case


# --- ONNX -----------------------------------------------------------------------------------------------------------


def session(path: Path) -> Any:
    pytest.importorskip("onnx")
    return pytest.importorskip("onnxruntime").InferenceSession(str(path))


@pytest.mark.parametrize(("precision", "kind", "tolerance"), [("float", "f4", 1e-6), ("double", "f8", 1e-14)])
def test_a_network_in_onnx_has_the_numbers_of_the_engine(
    precision: str, kind: str, tolerance: float, tmp_path: Path
) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnx")
    model = nn.MLP(3, [16, 12, 2], activation="tanh", seed=4)
    f = jit(model)
    path = f.export(tmp_path / "network.onnx", [0.0, 0.0, 0.0], precision=precision)
    X = np.random.default_rng(0).normal(0, 1, (7, 3)).astype(kind)
    values, derivatives = session(path).run(["values", "d_x"], {"x": X})
    assert np.allclose(values, [[y.data for y in row] for row in f.map(X.astype(float))], rtol=0, atol=tolerance)
    expected = [[x.data for x in flat(jacobian(model)(row.tolist()))] for row in X.astype(float)]
    assert np.allclose(derivatives, expected, rtol=0, atol=10 * tolerance)
    layers = jit(model).export(tmp_path / "forward.onnx", [0.0, 0.0, 0.0], gradient=False)
    kinds = [node.op_type for node in pytest.importorskip("onnx").load(layers).graph.node]
    assert kinds == ["MatMul", "Add", "Tanh", "MatMul", "Add", "Tanh", "MatMul", "Add", "Identity"]


def test_every_primitive_in_onnx_has_the_numbers_of_the_engine(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnx")
    edges = [x if x != 1e-200 else 1e-30 for x in EDGES]
    for name, op in PRIMITIVES.items():
        if name == "pow_const" or op.compute.__module__ == __name__:
            continue
        count = op.arity or 2

        def one(*args: Any, op: Any = op) -> Any:
            return op(*args)

        inner = [(x, y) for x in edges for y in edges] if count > 1 else [(x,) for x in edges]
        cases = np.array([(*case, -3.0) if count == 3 else case for case in inner], "f4")
        path = jit(one).export(tmp_path / "one.onnx", *[0.5] * count, gradient=False)
        run = session(path)
        given = {x.name: cases[:, n : n + 1] for n, x in enumerate(run.get_inputs())}
        found = run.run(None, given)[0][:, 0].astype(float)
        with np.errstate(all="ignore"):
            expected = np.array([op.compute(*map(float, case)) for case in cases]).astype("f4").astype(float)
        for case, g, e in zip(cases, found, expected, strict=True):
            assert g == e or (g != g and e != e) or abs(g - e) <= 3e-6 * abs(e), (name, case, g, e)


def test_comparisons_in_onnx_have_the_numbers_of_the_engine(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnx")
    path = jit(lambda x, y: [x < y, x <= y, x > y, x >= y]).export(tmp_path / "f.onnx", 0.5, 1.5, precision="double")
    cases = np.array([(x, y) for x in EDGES for y in EDGES])
    values = session(path).run(["values"], {"x": cases[:, :1], "y": cases[:, 1:]})[0]
    x, y = cases.T
    assert np.array_equal(values.T, np.array([x < y, x <= y, x > y, x >= y]))


def test_constant_and_repeated_results_in_onnx(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnx")
    w = Value(3.0, label="w")
    path = jit(lambda x, y: [w, x[1], w * y, x[0], 2.0]).export(tmp_path / "f.onnx", [0.0, 1.0], 2.0)
    values, by_x, by_y = session(path).run(
        None, {"x": np.array([[1, 2], [3, 4]], "f4"), "y": np.array([[5], [6]], "f4")}
    )
    assert values.tolist() == [[3, 2, 15, 1, 2], [3, 4, 18, 3, 2]]
    assert by_x.tolist() == [[0, 0, 0, 1, 0, 0, 1, 0, 0, 0]] * 2
    assert by_y.tolist() == [[0, 0, 3, 0, 0]] * 2


def test_bad_input_of_onnx_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    path = tmp_path / "f.onnx"
    refused(ValueError, "ONNX has no primitive 'cube_of'", path, 1.0, f=lambda x: cube_of(x))
    refused(ValueError, "has no Hessian-vector product", path, 1.0, hvp=True)
    refused(ValueError, "export it with captured='constants'", path, 1.0, captured="arguments")
    refused(ValueError, "at least one number", path, [], f=lambda _: Value(1.0) * 2.0)


def test_onnx_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(ImportError, r"pip install 'autograd-lite\[onnx\]'", tmp_path / "f.onnx", 1.0)
