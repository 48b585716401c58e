"""The kernel executor: encodes a program for the C extension (kernel.c), hands it over and allocates its buffers."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler import _kernel
from autograd_lite.compiler.arguments import floats
from autograd_lite.compiler.executors import straightline
from autograd_lite.compiler.pipeline import LoopPlan, Pipeline
from autograd_lite.compiler.program import (
    Indexed,
    Instruction,
    Operand,
    Program,
    Shape,
    Strided,
    UnknownPrimitiveError,
)
from autograd_lite.primitives import PRIMITIVES

Buffer: TypeAlias = Any  # an object with the buffer protocol
_ZERO = array("d", [0.0])
KINDS = tuple(_kernel.KINDS.split())  # the block kinds that this machine can run, largest last
_NAMES = _kernel.OPCODES.split()
OPCODES = {PRIMITIVES[name]: opcode for opcode, name in enumerate(_NAMES) if name in PRIMITIVES}
MULADD = _NAMES.index("muladd")  # x + y * z
POINTWISE, REDUCTION, MATRIX_PRODUCT, OUTER = range(4)  # the forms: see Form in kernel.c
_NO_OPERAND = (-1, 0, 0, 0, 0)


class Encoded(NamedTuple):
    """A program in buffers of int32 (`array("i")`) and float64 (`array("d")`).

    layout     [len(constants), captured, inputs, len(once), len(each), len(total), shared, rows, size], and for each
               guard [begin, end, condition, taken]
    code       21 int32 for each instruction, in the order once, each, total:
               [opcode, form, transposed, J, I, K] and for each of three operands [table, start, outer, inner, depth].
               Where `transposed` is 1, J and I are exchanged, and so are outer and inner of the second and third
               operand: the instruction writes at dst + i * J + j. A strided operand has table = -1. An indexed one has
               its J*I or J*I*K addresses in `tables`, from index `table` on, and zeros for the strides. An operand
               that the instruction lacks is [-1, 0, 0, 0, 0].
    tables     the addresses of all indexed operands, one after the other
    results    addresses
    sums       pairs [first, count]: runs of places in the workspace's sums. Each total has its sums there, in order,
               from a multiple of 8 on; in the form OUTER so do those of each j.
    constants  float64
    """

    layout: array[int]
    code: array[int]
    tables: array[int]
    results: array[int]
    sums: array[int]
    constants: array[float]


def encode(program: Program) -> Encoded:
    """The program as the kernel reads it, with the form of each instruction chosen.

    An UnknownPrimitiveError names an op that the kernel lacks.
    """
    code: list[int] = []
    tables = array("i")
    places = array("i")  # of each address of the total region
    size = 0  # of the workspace's sums
    operands: tuple[Operand | None, ...]
    first_total = len(program.once) + len(program.each)
    for number, instruction in enumerate(program.instructions):
        opcode = OPCODES.get(instruction.op)
        if opcode is None or len(instruction.operands) > 3:
            raise UnknownPrimitiveError("the kernel", instruction.op.name)
        total = number >= first_total
        if instruction.op.factors or (total and instruction.op is p.mul):
            form, transposed, shape, operands = _arrange(program, instruction, total)
            opcode = OPCODES[p.dot] if form == OUTER else opcode
        else:
            form, transposed, shape, operands = POINTWISE, False, instruction.shape, instruction.operands
        if form in (REDUCTION, MATRIX_PRODUCT) and shape[2] == 1 and 1 in shape[:2]:  # nothing to add up
            form, transposed, shape, operands = POINTWISE, False, instruction.shape, instruction.operands
            opcode = MULADD if instruction.op is p.dot else OPCODES[p.add]
        code += (opcode, form, transposed, *shape)
        for operand in operands:
            if isinstance(operand, Strided):
                code += (-1, *operand)
            elif operand is None:
                code += _NO_OPERAND
            else:
                code += (len(tables), 0, 0, 0, 0)
                tables.extend(operand.addresses)
        code += _NO_OPERAND * (3 - len(operands))
        if total and form == OUTER:
            J, I, _ = shape  # noqa: E741
            pitch = _in_eights(I)
            lines = [range(size + j * pitch, size + j * pitch + I) for j in range(J)]
            for line in zip(*lines, strict=True) if transposed else lines:
                places.extend(line)
            size += J * pitch
        elif total:
            places.extend(range(size, size + instruction.width))
            size += _in_eights(instruction.width)
    counts = [len(instructions) for instructions in (program.once, program.each, program.total)]
    ends = program.shared, program.rows, program.size
    layout = array("i", [len(program.constants), program.captured, program.inputs, *counts, *ends])
    layout.extend([number for guard in program.guards for number in guard])
    sums = _runs([places[address - program.rows] for address in program.sums])
    return Encoded(layout, array("i", code), tables, program.results, sums, array("d", program.constants))


def _arrange(
    program: Program, instruction: Instruction, total: bool
) -> tuple[int, bool, Shape, tuple[Operand | None, ...]]:
    """The form of a sum, a dot or a total of products, whether it is transposed, its loop nest and its operands."""
    op, _, (J, I, K), operands = instruction  # noqa: E741
    if op is p.sum_:
        return REDUCTION, False, (J, I, K), operands
    init, (x, y) = operands[0] if op is p.dot else None, operands[-2:]
    x_shared, y_shared = [_first(operand) < program.shared for operand in (x, y)]
    if isinstance(x, Strided) and isinstance(y, Strided):
        a, b = x, y
        if (x.inner and I > 1) or (y.outer and J > 1):
            a, b = y, x
        if not (a.inner and I > 1) and not (b.outer and J > 1):  # a depends on j and k only, b on i and k only
            a_shared, b_shared = (x_shared, y_shared) if a is x else (y_shared, x_shared)
            product = (J, I, K), a._replace(inner=0), b._replace(outer=0)
            if total and not a_shared and not b_shared and (init is None or _is_zero(program, init)):
                transposed = J * _in_eights(I) > I * _in_eights(J)
                if (J if transposed else I) >= 4:
                    shape, a, b = _transpose(*product) if transposed else product
                    return OUTER, transposed, shape, (None, a, b)
            if op is p.dot and not (a_shared and b_shared):
                transposed = b_shared or (not a_shared and J < I)
                shape, a, b = _transpose(*product) if transposed else product
                return MATRIX_PRODUCT, transposed, shape, (init, a, b)
    if op is not p.dot:
        return POINTWISE, False, (J, I, K), operands
    order = (2, 1) if y_shared and not x_shared else (1, 2)
    if isinstance(x, Indexed) or isinstance(y, Indexed):
        return REDUCTION, False, (J, I, K), (init, *[Indexed(array("i", instruction.addresses(n))) for n in order])
    return REDUCTION, False, (J, I, K), (init, *[operands[n] for n in order])


def _transpose(shape: Shape, x: Strided, y: Strided) -> tuple[Shape, Strided, Strided]:
    """The product with i in place of j, and y in place of x."""
    J, I, K = shape  # noqa: E741
    return (I, J, K), y._replace(outer=y.inner, inner=y.outer), x._replace(outer=x.inner, inner=x.outer)


def _first(operand: Operand) -> int:
    """An address of `operand`."""
    return operand.start if isinstance(operand, Strided) else operand.addresses[0]


def _is_zero(program: Program, init: Operand) -> bool:
    """True if `init` is one constant that is 0."""
    constants = program.constants
    return init == Strided(_first(init)) and _first(init) < len(constants) and constants[_first(init)] == 0


def _in_eights(n: int) -> int:
    return (n + 7) // 8 * 8


def _runs(places: list[int]) -> array[int]:
    """`places` as pairs of a first place and a number of places that follow one another."""
    bounds = [0, *[n for n in range(1, len(places)) if places[n] != places[n - 1] + 1], len(places)]
    pairs = [(places[begin], end - begin) for begin, end in pairwise(bounds) if begin < end]
    return array("i", [number for pair in pairs for number in pair])


def load(program: Program, threads: int = 1, kind: str | None = None) -> _kernel.Program:
    """The program in the kernel: see _kernel.pyi for its methods.

    `threads` threads share the rows of a batch; the order of additions, and so the last digits of the sums, depend on
    how many there are. `kind` is the largest of KINDS to use; None leaves the choice to the kernel, by the size of the
    program.
    """
    return _kernel.Program(*encode(program), threads=threads, kind=kind)


def executor(
    program: Program, threads: int = 1, kind: str | None = None
) -> Callable[[int, Buffer, Buffer], tuple[array[float], array[float]]]:
    """The function that runs `program`: see `Executor` and `load`."""
    write = writer(program, threads, kind)
    width, sums_width = len(program.results), len(program.sums)

    def run(n: int, rows: Buffer, captured: Buffer) -> tuple[array[float], array[float]]:
        results, sums = _ZERO * (n * width), _ZERO * sums_width
        write(n, rows, captured, results, sums)
        return results, sums

    return run


def entry(
    program: Program,
    arguments: Any,
    results: Any,
    array_type: type | None,
    finish: Callable[[bytearray], Any] | None,
    **options: Any,
) -> Callable[[tuple[Any, ...]], Any]:
    """The function from a tuple of arguments to results of a program without captured numbers and sums: one row.

    `arguments` and `results` are templates, in which `float` stands for a number: see kernel_call.h. The function
    returns NotImplemented for arguments of another structure, and finish(memory of the results) if there were arrays,
    unless `finish` is None.
    """
    return partial(load(program, **options).call, _counted(arguments), _counted(results), array_type, finish)


def _counted(template: Any) -> Any:
    """The template with a bytearray of length n in place of each list of n numbers."""
    if type(template) is list and all(x is float for x in template):
        return bytearray(len(template))
    if type(template) is dict:
        return {key: _counted(x) for key, x in template.items()}
    return type(template)(map(_counted, template)) if type(template) in (list, tuple) else template


def pipeline_entry(
    pipeline: Pipeline,
    executor: Callable[[Pipeline], Callable[..., tuple[Any, Any]]],
    arguments: Any,
    results: Any,
    array_type: type | None,
    finish: Callable[[bytearray], Any] | None,
    **options: Any,
) -> Callable[[tuple[Any, ...]], Any]:
    """`entry` for a pipeline.

    A loop with a condition and a body with loops inside need Python between their steps: then `executor` gives the
    function that runs the pipeline, and programs that only copy numbers read the arguments and build the results.
    """
    stages = [
        (
            load(stage.program, **options),
            array("i", stage.reads),
            stage.shared,
            load(stage.plan.body, **options),
            _loop_layout(stage.plan, {x.table: x.table for x in stage.plan.columns}),
        )
        for stage in pipeline.stages
        if isinstance(stage.plan.body, Program) and not stage.plan.conditional
    ]
    if len(stages) == len(pipeline.stages):
        last = load(pipeline.last, **options)
        last.follow(pipeline.inputs, tuple(stages), array("i", pipeline.reads))
        return partial(last.call, _counted(arguments), _counted(results), array_type, finish)
    inputs, outputs, run, none = pipeline.inputs, len(pipeline.results), executor(pipeline), array("d")
    read = entry(_copy_of(inputs), arguments, [float] * inputs, array_type, _same)
    make = entry(_copy_of(outputs), ([float] * outputs,), results, None, finish)

    def call(args: tuple[Any, ...]) -> Any:
        numbers = read(args)
        if numbers is NotImplemented:
            return numbers
        arrays = type(numbers) is bytearray
        found, _ = run(1, memoryview(numbers).cast("d") if arrays else array("d", numbers), none)
        return finish(found) if arrays and finish else make((floats(found),))

    return call


def _copy_of(count: int) -> Program:
    """The program whose results are its `count` inputs."""
    return Program((), 0, count, (), (), (), array("i", range(count)), array("i"))


def _same(numbers: bytearray) -> bytearray:
    return numbers


def writer(program: Program, threads: int = 1, kind: str | None = None) -> Callable[..., None]:
    """The function that runs `program` and fills buffers: see `Executor` and `load`."""
    write: Callable[..., None] = load(program, threads, kind).run_into
    return write


def looper(
    plan: LoopPlan, executor: Callable[[Any], Callable[..., Any]], threads: int = 1, kind: str | None = None
) -> Callable[..., Any]:
    """The function that runs the loop of `plan`: see `Executor`.

    A loop with a condition and a body with loops inside are run step by step from Python.
    """
    if plan.conditional or not isinstance(plan.body, Program):
        return straightline.looper(plan, executor)
    body, (width, others_width) = load(plan.body, threads, kind), plan.widths
    read = sorted({x.table for x in plan.columns if x.table >= 0})
    layout = _loop_layout(plan, {table: n for n, table in enumerate(read)})

    def loop(n: int, arguments: Buffer, tables: Sequence[Buffer]) -> tuple[array[float], array[float]]:
        results, others = _ZERO * (n * width), _ZERO * (n * others_width)
        body.loop(n, layout, arguments, tuple([tables[k] for k in read]), results, others)
        return results, others

    return loop


def _loop_layout(plan: LoopPlan, numbers: dict[int, int]) -> array[int]:
    """The layout of a loop for the kernel, with numbers[table] in place of each table that its columns are in."""
    head = plan.n, plan.reverse, plan.states, plan.constants, plan.stored, plan.kept, plan.guarded
    layout = array("i", head)
    for table, *rest in plan.columns:
        layout.extend([numbers[table] if table >= 0 else -1, *rest])
    return layout
