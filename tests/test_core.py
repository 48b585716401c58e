"""The engine in C gives the bits of the engine in Python, leaks no memory, and no input crashes it."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import inf, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_lite
from autograd_lite import Value, jit
from autograd_lite import primitives as p
from autograd_lite.calls import Call
from autograd_lite.compiler.rewrite import RULES, Rule
from autograd_lite.compiler.trace import Symbol, Trace, TraceError
from autograd_lite.extension import core
from autograd_lite.graph import dependents
from autograd_lite.recording import recording_with
from autograd_lite.value import sweep_by_flows

ROOT = Path(__file__).parents[1]
SANITIZED = os.environ.get("AUTOGRAD_LITE_TESTED_CORE")  # set where test_under_sanitizers runs this file
needs_core = pytest.mark.skipif(core is None, reason="the extension is not built, or AUTOGRAD_LITE_PURE is set")


# ---- Both engines side by side


@cache
def pure_engine() -> ModuleType:
    """A second copy of the package, on the engine in Python."""

    def ours() -> list[str]:
        return [name for name in sys.modules if name.split(".")[0] == "autograd_lite"]

    used = {name: sys.modules.pop(name) for name in ours()}
    before = os.environ.get("AUTOGRAD_LITE_PURE")
    os.environ["AUTOGRAD_LITE_PURE"] = "1"
    try:
        pure = importlib.import_module("autograd_lite")
        pure.dependents = importlib.import_module("autograd_lite.graph").dependents  # type: ignore[attr-defined]
        pure.table = importlib.import_module("autograd_lite.primitives")  # type: ignore[attr-defined]
        assert importlib.import_module("autograd_lite.extension").core is None
    finally:
        if before is None:
            del os.environ["AUTOGRAD_LITE_PURE"]
        else:
            os.environ["AUTOGRAD_LITE_PURE"] = before
        for name in ours():
            del sys.modules[name]
        sys.modules.update(used)
    assert isinstance(pure, ModuleType)
    return pure


def bits(x: float) -> bytes:
    """The bits of a float; every nan gives the same."""
    return b"nan" if x != x else struct.pack("d", x)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-200, -1e-300, 1e200, 710.0, -1000.0, inf, -inf, nan, 5e-324]
NUMBERS = st.sampled_from(SPECIAL) | st.floats(-4.0, 4.0) | st.floats()
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "x+y": lambda x, y: x + y,
    "x-y": lambda x, y: x - y,
    "x*y": lambda x, y: x * y,
    "x/y": lambda x, y: x / y,
    "x**y": lambda x, y: x**y,
    "x%y": lambda x, y: x % y,
    "x//y": lambda x, y: x // y,
}
ROWS = sorted(name for name, op in p.PRIMITIVES.items() if vars(p).get(name, vars(p).get(name + "_")) is op)


Program = tuple[list[float], list[tuple[str, list[Any]]]]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Leaves, and steps (operation, operands); an operand is the int of an earlier result, or a number."""
    leaves = draw(st.lists(NUMBERS, min_size=1, max_size=4))
    steps: list[tuple[str, list[Any]]] = []
    for _ in range(draw(st.integers(1, 12))):
        name = draw(st.sampled_from([*OPERATORS, *OPERATORS, *ROWS, "user"]))
        arity: Any = 2 if name in OPERATORS else 1 if name == "user" else p.PRIMITIVES[name].arity
        if arity is None:
            arity = 2 * draw(st.integers(1, 6))
        any_of = st.integers(0, len(leaves) + len(steps) - 1)
        args: list[Any] = [draw(any_of | any_of | NUMBERS) for _ in range(arity)]
        if all(type(x) is float for x in args):
            args[draw(st.integers(0, arity - 1))] = draw(any_of)
        steps.append((name, args))
    return leaves, steps


def build(engine: ModuleType, program: Program) -> list[Any]:
    """The leaves of a program, and the results of its steps."""
    return follow(engine, program, [engine.Value(x) for x in program[0]])


def follow(engine: ModuleType, program: Program, leaves: Sequence[Any]) -> list[Any]:
    """`leaves`, and the results of the steps of a program on them."""
    table = p if engine is autograd_lite else engine.table
    user = table.Primitive("user", lambda x: 3.0 * x, lambda z, x: (3.0 if x > 0.0 else z,))
    nodes = [*leaves]
    for name, args in program[1]:
        values = [nodes[x] if type(x) is int else x for x in args]
        f = OPERATORS.get(name) or (user if name == "user" else table.PRIMITIVES[name])
        nodes.append(f(*values))
    return nodes


def run(engine: ModuleType, program: Program) -> Any:
    """All that a program gives: numbers, the order of the nodes, gradients, and those after a second backward."""
    nodes = build(engine, program)
    index = {node: i for i, node in enumerate(nodes)}
    order = [index[node] for node in engine.topological_order(nodes[-1])]
    seen = [order, [bits(node.data) for node in nodes]]
    shapes = [
        (str(node.op), [index[x] if isinstance(x, engine.Value) else bits(x) for x in node.args]) for node in nodes
    ]
    for _ in range(2):
        nodes[-1].backward()
        seen.append([bits(node.grad) for node in nodes])
    made_from_first = (dependents if engine is autograd_lite else engine.dependents)(
        engine.topological_order(*nodes), nodes[:1]
    )
    return seen, shapes, sorted(index[node] for node in made_from_first)


@needs_core
@settings(max_examples=60 if SANITIZED else 300, deadline=None)
@given(programs())
def test_both_engines_agree_to_the_last_bit(program: Program) -> None:
    assert run(autograd_lite, program) == run(pure_engine(), program)


@settings(max_examples=60 if SANITIZED else 200, deadline=None)
@given(programs())
def test_backward_is_the_chain_rule_as_flows_states_it(program: Program) -> None:
    y = build(autograd_lite, program)[-1]
    order = autograd_lite.topological_order(y)
    y.backward()
    fast = [bits(node.grad) for node in order]
    for node in order:
        node.grad = 0.0
    y.grad = 1.0
    sweep_by_flows(order)
    assert [bits(node.grad) for node in order] == fast


@needs_core
@settings(max_examples=60 if SANITIZED else 300, deadline=None)
@given(st.sampled_from(ROWS), st.lists(NUMBERS, min_size=4, max_size=4))
def test_every_row_has_the_same_numbers_and_partials_in_both(name: str, numbers: list[float]) -> None:
    arity = p.PRIMITIVES[name].arity or 4
    program = [*numbers[:arity]], [(name, [*range(arity)])]
    assert run(autograd_lite, program) == run(pure_engine(), program)


BAD: dict[str, Callable[[ModuleType, Any], Any]] = {
    "a str": lambda engine, v: v * "x",
    "a str on the left": lambda engine, v: "x" * v,
    "None": lambda engine, v: None + v,
    "a complex number": lambda engine, v: 1j * v,
    "float": lambda engine, v: float(v),
    "bool": lambda engine, v: bool(v),
    "an arity": lambda engine, v: engine.tanh(v, v),
    "another arity": lambda engine, v: engine.where(v, 1.0),
    "no argument": lambda engine, v: engine.sin(),
    "a str among numbers": lambda engine, v: engine.atan2(v, "1"),
    "a str alone": lambda engine, v: engine.sin("1"),
    "None alone": lambda engine, v: engine.sin(None),
    "a leaf of a str": lambda engine, v: engine.Value("1"),
    "a leaf of a Value": lambda engine, v: engine.Value(v),
    "an order of floats": lambda engine, v: engine.topological_order(1.0),
    "an order of a list": lambda engine, v: engine.topological_order([v]),
    "a comparison": lambda engine, v: v < "1",
    "dot": lambda engine, v: engine.dot([v], [v, v]),
    "sum": lambda engine, v: engine.sum(v),
    "a row too short": lambda engine, v: engine.matvec([[v]], [v, v]),
    "too few biases": lambda engine, v: engine.matvec([[v, v]], [v, v], [v, v]),
    "a method with an argument": lambda engine, v: v.tanh(1.0),
    "args": lambda engine, v: setattr(v, "args", ()),
    "an unknown attribute": lambda engine, v: setattr(v, "unknown", 1.0),
}


@needs_core
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_both_engines_raise_the_same_error(bad: Callable[[ModuleType, Any], Any]) -> None:
    errors = []
    for engine in (autograd_lite, pure_engine()):
        with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
            bad(engine, engine.Value(2.0))
        message = str(caught.value)
        if isinstance(caught.value, AttributeError):  # Python has another message for each kind of attribute
            message = ""
        errors.append((caught.type, message.replace("_method.<locals>.", "Value.")))
    assert errors[0] == errors[1]


@needs_core
def test_methods_and_docstrings_are_those_of_the_python_class() -> None:
    pure = pure_engine()
    names = {name for name in dir(pure.Value) if not name.startswith("_Value")}
    of_class_statements = {"__slots__", "__module__", "__static_attributes__", "__firstlineno__"} | {
        name for name in names if name.startswith("__annot")
    }
    assert names - {"_x", "_y", "__getstate__"} - of_class_statements <= set(dir(Value))
    assert Value.tanh.__name__ == pure.Value.tanh.__name__ == "tanh"
    assert Value.tanh.__doc__ == pure.Value.tanh.__doc__
    assert Value.__doc__ == pure.Value.__doc__
    assert Value.__module__ == pure.Value.__module__ == "autograd_lite.value"
    assert autograd_lite.tanh.__doc__ == pure.tanh.__doc__
    doc = " ".join(pure.topological_order.__doc__.split())
    assert " ".join(autograd_lite.topological_order.__doc__.split()) == doc


@needs_core
def test_the_partials_of_the_table_are_traced_and_not_called() -> None:
    """The rule of each primitive is traced into instructions once, that of pow_const once for each exponent."""
    from autograd_lite.rules import traced

    untraced = {op.name for op in map(p.PRIMITIVES.__getitem__, ROWS) if op.arity and not traced(op, op.arity, None)}
    assert untraced == {"pow_const"}  # `if n` asks for the exponent, which each trace of it has
    assert traced(p.pow_const, 2, 3.0) == [([(p.pow_const, 1, 2.0), (p.mul, 3.0, 3)], 4), None]
    assert traced(p.pow_const, 2, 0.0) == [None, None]
    assert traced(p.tanh, 1, None) == [([(p.mul, 0, 0), (p.sub, 1.0, 2)], 3)]
    assert traced(p.dot, 4, None) == [([], 3), ([], 4), ([], 1), ([], 2)]


def test_a_changed_rule_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Value(0.5)
    x.tanh().backward()
    right, x.grad = x.grad, 0.0
    monkeypatch.setattr(p.tanh, "partials", lambda z, x: (7.0,))
    x.tanh().backward()
    assert x.grad == 7.0
    monkeypatch.undo()
    x.grad = 0.0
    x.tanh().backward()
    assert x.grad == right


# ---- What is assigned


@needs_core
def test_data_and_grad_take_real_numbers_only() -> None:
    v = Value(1.0)
    v.data, v.grad = 2, True
    assert (v.data, v.grad, type(v.data), type(v.grad)) == (2.0, 1.0, float, float)
    for name in ("data", "grad"):
        for wrong in ("1", None, v, [1.0]):
            with pytest.raises(TypeError, match=rf"Value\.{name} takes real numbers, got {type(wrong).__name__}"):
                setattr(v, name, wrong)
        with pytest.raises(TypeError, match="cannot be deleted"):
            delattr(v, name)
    with pytest.raises(TypeError, match=r"Value\.label takes a str, got int"):
        v.label = 3  # type: ignore[assignment]
    assert (v.data, v.grad, v.label) == (2.0, 1.0, "")


def test_a_subclass_may_have_properties_for_data_and_grad() -> None:
    class Counted(Value):
        __slots__ = ("_data", "reads")

        @property
        def data(self) -> float:  # type: ignore[override]
            self.reads = getattr(self, "reads", 0) + 1
            return self._data

        @data.setter
        def data(self, number: float) -> None:
            self._data = number

    x = Counted(3.0)
    y = x * x + x
    assert y.data == 12.0
    y.backward()
    assert x.grad == 7.0
    assert x.reads > 3


# ---- Memory


def blocks(work: Callable[[], object], times: int) -> int:
    """How many blocks of memory are in use after `times` calls that were not before; the first calls do not count."""
    for _ in range(3):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        work()
    gc.collect()  # the tracebacks of errors
    return sys.getallocatedblocks() - before


def test_a_million_operations_leak_no_memory() -> None:
    x, w, b = Value(0.3, label="x"), Value(-1.5), Value(0.25)
    row = [x, w, 2.0, b]
    op = (x * w).op
    while gc.collect():  # graphs of other tests
        pass
    references = [sys.getrefcount(thing) for thing in (x, w, b, op)]

    def work() -> None:
        y = x
        for _ in range(40):
            y = (y * w + b - 0.5 * x).tanh() / 1.5 + y**2
        y = y + autograd_lite.dot(row, [b, 1.0, w, y]) + autograd_lite.sum([y, 1.0, x, y])
        y = y + sum(autograd_lite.matvec([row, row], [x, 1.0, y, b], [b, w], autograd_lite.relu))
        y = autograd_lite.where(y > 0, y, autograd_lite.maximum(x, y))
        y.backward()
        with autograd_lite.no_grad():
            assert (y * x).args == ()
        assert y.args
        assert len(autograd_lite.topological_order(y)) > 300
        for wrong in (lambda: y * "x", lambda: autograd_lite.sin(y, y), lambda: autograd_lite.sum([y, "x", y])):
            with pytest.raises(TypeError):
                wrong()

    times = 100 if SANITIZED else 3_000 if core is not None else 300
    assert blocks(work, times) < 200
    assert [sys.getrefcount(thing) for thing in (x, w, b, op)] == references


def test_long_and_wide_graphs_of_a_subclass_are_freed() -> None:
    class Placed(Value):
        __slots__ = ("__weakref__", "site")

    from autograd_lite.value import node_of

    def work() -> None:
        y: Value = Placed(1.0)
        for _ in range(20_000):
            y = node_of(p.neg, (y,), 1.0, Placed)
        z = node_of(p.sum_, (y, 1.0, y, *[Value(1.0) for _ in range(1000)]), 1.0, Placed)
        z.backward()

    assert blocks(work, 3) < 200


@needs_core
def test_a_node_takes_88_bytes_at_most() -> None:
    x, n = Value(1.0), 20_000
    nodes: list[Any] = [None] * n
    before = sys.getsizeof(x)
    for i in range(n):
        nodes[i] = x * 2.0
    assert before == sys.getsizeof(nodes[-1]) <= 88
    assert type(nodes[0].args[1]) is float


# ---- Threads, interruptions, and rules that do as they like


def test_backward_in_two_threads_over_shared_leaves_loses_no_gradient() -> None:
    slow = p.Primitive("slow", lambda x: 2.0 * x, lambda z, x: (time.sleep(1e-6) or 2.0,))
    shared = [Value(1.0) for _ in range(20)]
    rounds, threads = 40, 2

    def work() -> None:
        for _ in range(rounds):
            y = autograd_lite.sum([slow(x) * 3.0 + x for x in shared])
            y.backward()

    runners = [threading.Thread(target=work) for _ in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert [x.grad for x in shared] == [7.0 * rounds * threads] * len(shared)


def test_a_rule_may_call_backward() -> None:
    a = Value(2.0)
    inside = Value(3.0)

    def rule(z: float, x: float) -> tuple[float]:
        (inside * inside * x).backward()
        autograd_lite.topological_order(inside * x)
        return (x,)

    nested = p.Primitive("nested", lambda x: x * x / 2.0, rule)
    y = nested(a * 1.0) * a + a
    y.backward()
    assert a.grad == 2.0 * 2.0 + 2.0 + 1.0
    assert inside.grad == 12.0


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
def test_an_interrupted_backward_leaves_the_leaves_as_they_were() -> None:
    x = Value(1.0)
    x.grad = 5.0
    y = x
    for _ in range(200_000 if core is None or SANITIZED else 600_000):
        y = y * 1.0 + x
    interrupted = 0
    for k in range(12):
        try:
            with interrupted_after(0.002 * (k + 1)):
                y.backward()
        except KeyboardInterrupt:
            interrupted += 1
            assert x.grad == 5.0
        x.grad = 5.0
    assert interrupted > 0


def test_an_error_in_a_rule_leaves_every_gradient_of_a_leaf() -> None:
    def rule(z: float, x: float) -> tuple[float]:
        raise ZeroDivisionError("rule")

    a, b = Value(1.0), Value(2.0)
    a.grad, b.grad = 3.0, 4.0
    y = p.Primitive("failing", lambda x: x, rule)(a) * b + a
    with pytest.raises(ZeroDivisionError, match="rule"):
        y.backward()
    assert (a.grad, b.grad) == (3.0, 4.0)


@pytest.mark.parametrize("given", [(1.0, 2.0), (), [1.0, 1.0]])
def test_a_rule_with_the_wrong_number_of_partials_is_an_error(given: Any) -> None:
    a = Value(1.0)
    y = p.Primitive("wrong", lambda x: x, lambda z, x: given)(a)
    with pytest.raises((TypeError, ValueError)):
        y.backward()
    assert a.grad == 0.0


@needs_core
def test_nodes_are_made_of_values_floats_and_primitives_only() -> None:
    from autograd_lite.value import node_of

    for op, args, number in (("mul", (1.0,), 1.0), (p.mul, ("x",), 1.0), (p.mul, [1.0], 1.0), (p.mul, (1,), 1.0)):
        with pytest.raises(TypeError):
            node_of(op, args, number)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        node_of(p.mul, (1.0,), 1.0, float)  # type: ignore[type-var]
    with pytest.raises(TypeError):
        Value.record(Value(1.0), p.mul, 3.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        p.Primitive(3, None, None)  # type: ignore[arg-type]


# ---- Building


def test_under_sanitizers(run_under_sanitizers: Callable[..., None]) -> None:
    """This file and test_value.py, on a core that is built to stop at a wrong access or undefined behaviour."""
    if SANITIZED or core is None:
        pytest.skip("there is no C core, or this is the run under the sanitizers")

    def command(built: str) -> list[str]:
        run_tests = (
            "import importlib.util, sys, pytest\n"
            f"spec = importlib.util.spec_from_file_location('autograd_lite._core', {built!r})\n"
            "sys.modules[spec.name] = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(sys.modules[spec.name])\n"
            "sys.exit(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', '-p', 'no:xdist', *sys.argv[1:]]))\n"
        )
        return [sys.executable, "-c", run_tests, __file__, str(ROOT / "tests" / "test_value.py")]

    options = ["-DMAX_FREE=0", "-fno-sanitize=float-divide-by-zero", "-lm"]
    run_under_sanitizers(ROOT / "autograd_lite" / "_core.c", options, "AUTOGRAD_LITE_TESTED_CORE", command)


def test_fields_are_copied_to_buffers_and_back() -> None:
    from array import array

    from autograd_lite.value import copy_fields

    class Clipped(Value):
        __slots__ = ("clip",)

    xs = [Value(1.5), Clipped(2.5), Value(3.5) * 1.0]
    for x in xs:
        x.grad = -x.data
    buffer = array("d", [0.0] * 3)
    copy_fields(xs, "data", buffer, False)
    assert buffer.tolist() == [1.5, 2.5, 3.5]
    copy_fields(tuple(xs), "grad", buffer, False)
    assert buffer.tolist() == [-1.5, -2.5, -3.5]
    copy_fields(xs, "data", buffer, True)
    copy_fields(xs, "grad", array("d", [7.0, 8.0, 9.0]), True)
    assert [(x.data, x.grad) for x in xs] == [(-1.5, 7.0), (-2.5, 8.0), (-3.5, 9.0)]
    with pytest.raises(ValueError, match="a buffer of as many doubles as there are Values"):
        copy_fields(xs, "data", array("d", [1.0]), True)
    with pytest.raises(AttributeError):
        copy_fields([1.0], "data", array("d", [1.0]), False)
    copy_fields([], "data", array("d"), False)


# ---- What the compiler makes of a graph


TRACEABLE = {"user": "sin", "pow_const": "pow"}  # in place of steps whose rules need numbers


def compiled_by(engine: ModuleType, program: Program, captured: int = 0) -> Any:
    """The program that `engine` compiles, in full: the results of `program`, and the gradient of their sum.

    The first `captured` leaves are Values that the function uses without being given them.
    """
    leaves, steps = program
    program = leaves, [(TRACEABLE.get(name, name), args) for name, args in steps]
    around = [engine.Value(x) for x in leaves[:captured]]

    def f(*xs: Any) -> list[Any]:
        results = follow(engine, program, [*around, *xs])
        total = engine.sum([x for x in results if isinstance(x, engine.Value)])
        return [total, *engine.gradients(total, [*around, *xs]), *results]

    compiled = engine.jit(f, backend="python").compiled((tuple(leaves[captured:]), {}), None)
    found = compiled.program(compiled.roots)
    instructions = [(i.op.name, i.dst, i.shape, [tuple(x) for x in i.operands]) for i in found.instructions]
    return [bits(x) for x in found.constants], found.captured, instructions, list(found.results)


@needs_core
@settings(max_examples=60 if SANITIZED else 300, deadline=None)
@given(programs(), st.integers(0, 2))
def test_both_engines_compile_the_same_program(program: Program, captured: int) -> None:
    assert compiled_by(autograd_lite, program, captured) == compiled_by(pure_engine(), program, captured)


@st.composite
def sums_of_products(draw: st.DrawFn) -> Program:
    """Additions and products of few numbers and of constants that cancel, double, overflow or are 0."""
    leaves = [1.0, 2.0, 3.0]
    steps: list[tuple[str, list[Any]]] = []
    constants = st.sampled_from([1.0, -1.0, 2.0, 3.0, 0.0, -0.0, 1e308, nan, inf])
    for _ in range(draw(st.integers(2, 14))):
        name = draw(st.sampled_from(["x+y", "x*y", "x-y", "neg", "sum", "dot", "detach", "x**y"]))
        arity = {"neg": 1, "detach": 1, "sum": draw(st.integers(1, 5)), "dot": 2 * draw(st.integers(1, 4))}.get(name, 2)
        any_of = st.integers(0, len(leaves) + len(steps) - 1)
        args: list[Any] = [draw(any_of | any_of | constants) for _ in range(arity)]
        args[0] = draw(any_of)
        if name == "x**y":
            args[1] = draw(st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, 0.5]))
        steps.append((name, args))
    return leaves, steps


@needs_core
@settings(max_examples=60 if SANITIZED else 300, deadline=None)
@given(sums_of_products(), st.integers(0, 3))
def test_both_engines_compile_the_same_sums(program: Program, captured: int) -> None:
    assert compiled_by(autograd_lite, program, captured) == compiled_by(pure_engine(), program, captured)


def looks_for(rule: Rule, args: tuple[Any, ...]) -> bool:
    """Whether `rule` says that it looks for one of `args`."""
    if rule.numbers is None or rule.primitives is None:
        return True
    return any(x in rule.numbers if type(x) is float else x.op in rule.primitives for x in args)


@pytest.mark.parametrize("op", RULES, ids=str)
def test_a_rule_is_called_for_everything_that_it_rewrites(op: p.Primitive) -> None:
    trace = Trace()
    leaves = [Symbol(trace, row=True), Symbol(trace, row=False)]
    with recording_with(trace):
        results = [q(*[leaves[n % 2] for n in range(q.arity)]) for q in p.PRIMITIVES.values() if q.arity]
    operands = [*leaves, *[x for x in results if type(x) is Symbol], *SPECIAL]
    for args in itertools.product(operands, repeat=op.arity):
        if any(type(x) is not float for x in args):
            assert looks_for(RULES[op], args) or RULES[op].rewrite(*args) is None, args


def test_a_trace_refuses_what_is_not_an_operand() -> None:
    trace = Trace()
    x = Symbol(trace, row=True)
    assert trace.make(p.mul, (x, 3.0)) is trace.make(p.mul, (3.0, x))
    assert trace.make(p.sum_, (x, nan)) is trace.make(p.sum_, (x, -nan))
    assert trace.make(p.sum_, (x, 0.0)) is not trace.make(p.sum_, (x, -0.0))
    if core is not None:
        for bad in (Value(1.0), 1, None, "x"):
            with pytest.raises(TypeError, match="operands in a trace are Symbols and floats"):
                trace.make(p.mul, (x, bad))
        with pytest.raises(TypeError, match="simplify takes Symbols and floats, got Value"):
            core.simplify(trace, [Value(1.0)])
        with pytest.raises(TypeError, match="connect_trace takes subclasses"):
            core.connect_trace(Value, Trace, Call, {})
        with pytest.raises(TypeError, match="primitive and the tuple"):
            trace.make(p.mul, 3.0)


@needs_core
def test_the_steps_of_a_sweep_refuse_what_they_cannot_read() -> None:
    x = Value(1.0)
    for call, error in [
        (lambda: core.sum_of_products([x]), TypeError),
        (lambda: core.sum_of_products((x, x)), TypeError),
        (lambda: core.sum_of_products([x, "y", x, x]), TypeError),
        (lambda: core.tangents_of((x,), (1.0, 1.0), {}, None), ValueError),
        (lambda: core.tangents_of((x,), (1.0,), {x: 1.0}, None), TypeError),
        (lambda: core.tangents_of((x,), (1.0,), {x: {0: 1.0}}, 3.0), TypeError),
        (lambda: core.tangents_of([x], (1.0,), {}, None), TypeError),
        (lambda: core.add_products({x: 1.0}, {x}, 1.0, (x,), (1.0,), None), TypeError),
        (lambda: core.add_products({}, [x], 1.0, (x,), (1.0,), None), TypeError),
        (lambda: core.add_products({}, {x}, 1.0, (x,)), TypeError),
    ]:
        with pytest.raises(error):
            call()
    y = Symbol(Trace(), row=True)
    with pytest.raises(TypeError, match="a rule gives"):
        rewritten_to((p.mul, (y, y), y))
    with pytest.raises(TypeError, match="a rule gives"):
        rewritten_to((1.0, (y, y)))
    with pytest.raises(ValueError, match="at most 8 operands"):
        rewritten_to((p.sum_, (y,) * 9))
    assert rewritten_to((p.mul, (y, (p.neg, (y,))))).op is p.mul


def rewritten_to(answer: Any) -> Any:
    """What a trace records for an operation whose rule gives `answer`."""
    rules = {p.atan2: Rule(lambda *_: answer)}
    try:
        core.connect_trace(Symbol, Trace, Call, rules)
        return Trace().make(p.atan2, (Symbol(Trace(), row=True), 3.0))
    finally:
        core.connect_trace(Symbol, Trace, Call, {p.atan2: Rule(lambda *_: None, (), ())})


def test_operations_that_were_set_aside_come_back() -> None:
    trace = Trace()
    x = Symbol(trace, row=True)
    before = trace.make(p.exp, (x,))
    with trace.anew():
        other = trace.make(p.exp, (x,))
        assert other is not before
        with trace.anew():
            assert trace.make(p.exp, (x,)) not in (before, other)
        assert trace.make(p.exp, (x,)) is other
    assert trace.make(p.exp, (x,)) is before
    with pytest.raises(IndexError):
        trace.take_back()

    def work() -> None:
        trace = Trace()
        trace.make(p.exp, (Symbol(trace, row=True),))
        trace.set_aside()
        trace.make(p.exp, (Symbol(trace, row=True),))

    assert blocks(work, 100) < 20  # also those that were never taken back


def test_a_symbol_of_another_trace_is_an_error_in_both_engines() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 3.0)
        return kept[0] * x

    jit(f)(1.0)
    with pytest.raises(TraceError, match="was kept from another trace"):
        jit(lambda x: kept[0] * x + x)(2.0)


def test_compiling_leaves_nothing_behind() -> None:
    steps: list[tuple[str, list[Any]]] = [("x*y", [0, 1]), ("dot", [0, 2, 1.0, 1]), ("x+y", [3, 2]), ("x**y", [4, 2.0])]

    def work() -> None:
        compiled_by(autograd_lite, ([1.0, 2.0], [*steps, ("sum", [5, 3, 2, 0])]), 1)
        for wrong in (lambda x: x * "x", lambda x: autograd_lite.sum([x, "x", 1.0])):
            with pytest.raises(TypeError):
                jit(wrong)(1.0)

    assert blocks(work, 40) < 40


# ---- Misuse that must not crash the engine


@needs_core
def test_record_refuses_a_wrong_number_of_arguments() -> None:
    x = Value(3.0)
    with pytest.raises(TypeError, match="mul takes 2 arguments, got 1"):
        x.record(p.mul, (x,))
    with pytest.raises(TypeError, match="sin takes 1 argument, got 2"):
        x.record(p.sin, (x, x))


@needs_core
def test_a_primitive_without_its_init_raises_an_error() -> None:
    op, x = p.Primitive.__new__(p.Primitive), Value(1.0)
    node = autograd_lite.value.node_of(op, (x,), 1.0)
    half = p.Primitive.__new__(p.Primitive)
    half.arity = 2
    for use in (
        lambda: op(1.0),
        lambda: op(x=1.0),
        lambda: half(1.0),
        lambda: jit(lambda a, b: op(a, b))(1.0, 2.0),
        lambda: x.record(op, (x,)),
        node.backward,
    ):
        with pytest.raises(AttributeError, match="has not been initialised"):
            use()


@needs_core
def test_a_refused_arity_leaves_the_primitive_as_it_was() -> None:
    op = p.Primitive("refused", lambda x, y: x * y, lambda z, x, y: (y, x))
    with pytest.raises(TypeError):
        op.arity = "two"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="refused takes 2 arguments, got 1"):
        op(1.0)


@needs_core
def test_a_property_that_empties_the_list_being_read_raises_an_error() -> None:
    class Emptying(Value):
        @property
        def data(self) -> float:  # type: ignore[override]
            xs.clear()
            return 1.0

        @data.setter
        def data(self, x: float) -> None:
            pass

    xs: list[Value] = [Emptying(1.0), Emptying(2.0), Value(3.0)]
    with pytest.raises(RuntimeError, match="changed its size"):
        autograd_lite.value.numbers_of(xs)


@needs_core
def test_a_second_interpreter_of_the_process_uses_the_python_engine() -> None:
    """It shares no state with the first one, whose recorders go on working."""
    interpreters = next((m for m in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(m)), None)
    if interpreters is None:
        pytest.skip("this Python has no module to make interpreters with")
    script = f"""
import {interpreters} as interpreters
from autograd_lite import Value, no_grad
from autograd_lite.extension import core
assert core is not None
second = interpreters.create()
failed = interpreters.run_string(second, '''
from autograd_lite import Value
from autograd_lite.extension import core
x = Value(2.0)
(x * x).backward()
assert core is None and x.grad == 4.0
''')
assert failed is None, failed
x = Value(2.0)
with no_grad():
    assert (x * x).args == ()
(x * x).backward()
assert x.grad == 4.0
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
