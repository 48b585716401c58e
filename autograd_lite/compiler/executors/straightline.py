"""The straight-line executor: writes a program as Python source, one line per number. Needs no dependency."""

from __future__ import annotations

import keyword
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from math import copysign, inf, nan
from typing import Any
from unicodedata import normalize

from autograd_lite import primitives as p
from autograd_lite.compiler.arguments import floats, joined
from autograd_lite.compiler.pipeline import LoopPlan, Pipeline
from autograd_lite.compiler.program import Instruction, Program
from autograd_lite.primitives import Primitive

Names = Sequence[str]
LINE = 12  # terms of a sum on a line
OWN = re.compile(r"[stv]\d+|run|n|rows|captured|results|i|range|inf|nan")  # names that the source itself uses
# Operations written as operators; any other is written as a call of its function.
WRITTEN = {
    p.add: "{} + {}",
    p.sub: "{} - {}",
    p.mul: "{} * {}",
    p.neg: "-{}",
    p.where: "{1} if {0} else {2}",
    p.detach: "{}",
}


def executor(program: Program) -> Callable[..., tuple[list[float], list[float]]]:
    """The function that runs `program`: see `Executor`."""
    namespace: dict[str, Any] = {"inf": inf, "nan": nan}
    namespace |= {name: op.compute for op, name in _functions(program, set()).items()}
    exec(compile(source(program), "<autograd_lite program>", "exec"), namespace)
    run = namespace["run"]
    return lambda n, rows, captured: run(n, joined(n, rows), captured)


def writer(program: Program) -> Callable[..., None]:
    """The function that runs `program` and fills buffers: see `Executor`."""
    run, count = executor(program), len(program.results)

    def write(n: int, rows: Any, captured: Any, results: Any, sums: Any) -> None:
        found, totals = run(n, rows, captured)
        memoryview(sums)[:] = array("d", totals)
        at = 0
        for table in results if type(results) is tuple else (results,):
            width = len(table) // n
            for column in range(width):
                memoryview(table)[column::width] = array("d", found[at::count])
                at += 1

    return write


def looper(plan: LoopPlan, executor: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
    """The function that runs the loop of `plan`, row by row: see `Executor`."""
    run, fixed, (width, others_width) = executor(plan.body), plan.states + plan.constants, plan.widths
    steps, none = range(plan.n)[::-1] if plan.reverse else range(plan.n), array("d")

    def loop(n: int, arguments: Any, tables: Sequence[Any]) -> tuple[array[float], array[float]]:
        numbers, results, others = floats(arguments), [0.0] * (n * width), [0.0] * (n * others_width)
        columns = [numbers if source.table < 0 else floats(tables[source.table]) for source in plan.columns]
        for row in range(n):
            own, end = row * (len(numbers) // n), (row + 1) * (len(numbers) // n)
            if plan.guarded and not numbers[end - 1]:
                continue
            states, constants = numbers[own : own + plan.states], numbers[own + plan.states : own + fixed]
            starts = [(0 if x.shared else row) * x.width + x.start for x in plan.columns]
            # Where each stored column begins: in `results` those that are kept, in `others` the rest.
            places = [(results, row * width + plan.states + k * plan.n) for k in range(plan.kept)]
            places += [(others, row * others_width + k * plan.n) for k in range(plan.stored - plan.kept)]
            while plan.conditional:
                found = floats(run(1, array("d", [*states, *constants]), none)[0])
                if not found[plan.states]:
                    break
                states = found[: plan.states]
            for i in steps:
                read = [column[start + i] for column, start in zip(columns, starts, strict=True)]
                found = floats(run(1, array("d", [*states, *constants, *read]), none)[0])
                states = found[: plan.states]
                for (buffer, place), x in zip(places, found[plan.states :], strict=True):
                    buffer[place + i] = x
            results[row * width : row * width + plan.states] = states
        return array("d", results), array("d", others)

    return loop


def source(program: Program | Pipeline, captured: Names = (), inputs: Names = ()) -> str:
    """The source of a function `run(n, rows, captured)` that does what the program does.

    `captured` and `inputs` suggest variable names; labels become valid and unique names. The source calls functions
    such as `exp` under the names of their primitives. For a Pipeline the source has one such function for each program.
    """
    if isinstance(program, Pipeline):
        return _sources(program, captured, inputs)
    taken: set[str] = set()
    functions = _functions(program, taken)
    names = [repr(x) if copysign(1.0, x) > 0 or x != x else f"({x!r})" for x in program.constants]
    names += [_identifier(label, taken) for label in captured or [f"c{n}" for n in range(program.captured)]]
    names += [f"s{n}" for n in range(program.shared - len(names))]
    names += [_identifier(label, taken) for label in inputs or [f"x{n}" for n in range(program.inputs)]]
    names += [f"v{n}" for n in range(program.rows - len(names))]
    names += [f"t{n}" for n in range(program.size - len(names))]
    given = names[len(program.constants) :][: program.captured]
    row = names[program.shared :][: program.inputs]
    lines = ["def run(n, rows, captured):"]
    if given:
        lines.append(f"    {', '.join(given)}, = captured")
    lines += [f"    {line}" for line in _guarded(program, 0, len(program.once), names, functions)]
    lines += [f"    {total} = 0.0" for total in names[program.rows :]]
    lines += [
        "    results = []",
        f"    for i in range(0, n * {len(row)}, {len(row)}):" if row else "    for _ in range(n):",
    ]
    body = [f"{', '.join(row)}, = rows[i : i + {len(row)}]"] if row else []
    first = len(program.once)
    body += _guarded(program, first, first + len(program.each), names, functions)
    for instruction in program.total:
        body += _lines(instruction, names, functions, "+=")
    if program.results:
        body.append(f"results += [{', '.join([names[address] for address in program.results])}]")
    lines += [f"        {line}" for line in body or ["pass"]]
    lines.append(f"    return results, [{', '.join([names[address] for address in program.sums])}]")
    return "\n".join(lines) + "\n"


def _sources(pipeline: Pipeline, captured: Names, inputs: Names) -> str:
    """The functions of the programs of `pipeline`, in the order in which they run."""

    def segment(program: Program) -> str:
        more = [f"result{n}" for n in range(program.captured + program.inputs)]
        names = [*captured, *more][: program.captured], [*inputs, *more][: program.inputs]
        return source(program, *names)

    parts = []
    for stage in pipeline.stages:
        plan = stage.plan
        parts.append(f"# what the loop {plan.name} begins with\n{segment(stage.program)}")
        parts.append(f"# one of its steps\n{source(plan.body)}")
    return "\n".join([*parts, f"# after the last loop\n{segment(pipeline.last)}"])


def _functions(program: Program, taken: set[str]) -> dict[Primitive, str]:
    """A unique name for the function of each operation, not among `taken`."""
    return {op: _identifier(op.name, taken) for op in dict.fromkeys(i.op for i in program.instructions)}


def _identifier(label: str, taken: set[str]) -> str:
    """A Python name like `label` that is free, which is then added to `taken`."""
    # Python compares names in the form NFKC.
    letters = [x if f"_{x}".isidentifier() else " " for x in normalize("NFKC", label)]
    name = re.sub("[ _]+", "_", "".join(letters)).strip("_") or "x"
    if not name.isidentifier() or keyword.iskeyword(name) or OWN.fullmatch(name):
        name = "_" + name
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _guarded(program: Program, begin: int, end: int, names: Names, functions: dict[Primitive, str]) -> Iterator[str]:
    """The assignments of the instructions from `begin` to `end` - 1, with an `if` for each guard."""
    ends: list[int] = []  # of the guards around an instruction
    guards = [guard for guard in reversed(program.guards) if begin <= guard.begin < end]
    for n, instruction in enumerate(program.instructions[begin:end], begin):
        while ends and ends[-1] == n:
            ends.pop()
        while guards and guards[-1].begin == n:
            guard = guards.pop()
            yield f"{'    ' * len(ends)}if {'' if guard.taken else 'not '}{names[guard.condition]}:"
            ends.append(guard.end)
        for line in _lines(instruction, names, functions, "="):
            yield f"{'    ' * len(ends)}{line}"


def _lines(instruction: Instruction, names: Names, functions: dict[Primitive, str], assign: str) -> Iterator[str]:
    """The assignments of one instruction."""
    op = instruction.op
    operands = [[names[address] for address in instruction.addresses(n)] for n in range(len(instruction.operands))]
    length = instruction.shape[2]
    for n in range(instruction.width):
        z = names[instruction.dst + n]
        if op.factors:
            factors = zip(*[operand[n * length : (n + 1) * length] for operand in operands[1:]], strict=True)
            terms = [" * ".join(factor) for factor in factors]
            if operands[0][n] != "(-0.0)":
                terms.insert(0, operands[0][n])
            for begin in range(0, len(terms), LINE):
                rest = " + ".join(terms[begin : begin + LINE])
                yield f"{z} {assign} {rest}" if begin == 0 or assign == "+=" else f"{z} = {z} + {rest}"
        else:
            args = [operand[n] for operand in operands]
            text = WRITTEN[op].format(*args) if op in WRITTEN else f"{functions[op]}({', '.join(args)})"
            yield f"{z} {assign} {text}"
