"""Export to ONNX: one tensor operation for each wide instruction, over as many rows as the model is given."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.compiler.export.listing import identifier
from autograd_lite.compiler.export.traced import Exported
from autograd_lite.compiler.export.writing import shared_numbers
from autograd_lite.compiler.pipeline import Pipeline
from autograd_lite.compiler.program import Indexed, Instruction
from autograd_lite.primitives import Primitive

Tensor: TypeAlias = str  # the name of a tensor of shape (rows, width), or (1, width) where all rows share it
OPSET, IR_VERSION = 17, 8

# The primitives that ONNX has itself.
NATIVE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "pow": "Pow", "pow_const": "Pow",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf", "sigmoid": "Sigmoid", "softplus": "Softplus", "relu": "Relu",
    "abs": "Abs", "floor": "Floor", "ceil": "Ceil", "round": "Round", "detach": "Identity",
}  # fmt: skip


def model(exported: Exported, precision: str) -> bytes:
    """The ONNX model of the function and, if it is asked for, its gradient, as the content of a file.

    A parameter is an input of shape (rows, how many numbers it has); so are the outputs. An ImportError if the package
    onnx is not installed, a ValueError for loops, for `hvp` and for a function of no numbers.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("export to .onnx needs the package onnx: pip install 'autograd-lite[onnx]'") from None
    outputs = [*exported.outputs(), *(exported.gradients() if exported.gradient else [])]
    if exported.hvp:
        raise ValueError("export to .onnx has no Hessian-vector product: leave out hvp, or export to .c, .py or .js")
    if not exported.parameters:
        raise ValueError("export to .onnx needs a function of at least one number: the rows are its inputs")
    return _Writer(onnx, exported, precision).model(outputs)


class _Writer:
    """Writes a program as a graph.

    A block is a tensor with the numbers at consecutive addresses: a parameter, or the results of an instruction.
    """

    def __init__(self, onnx: Any, exported: Exported, precision: str) -> None:
        self.onnx, self.exported = onnx, exported
        self.type = onnx.TensorProto.FLOAT if precision == "float" else onnx.TensorProto.DOUBLE
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.numbers: dict[tuple[bytes, tuple[int, ...]], str] = {}  # the name of each constant tensor
        self.taken: set[str] = set()
        self.blocks: list[Tensor] = []
        self.starts: list[int] = []  # the address at which each block starts
        self.widths: list[int] = []

    def model(self, outputs: Sequence[Any]) -> bytes:
        """The model that computes `outputs`."""
        onnx, exported = self.onnx, self.exported
        program = exported.program(outputs)
        if isinstance(program, Pipeline):
            raise ValueError(
                f"export: an .onnx model has no loops, and the function uses {program.stages[0].plan.name}: write it "
                "with Python's for, or export it to .c, .py or .js"
            )
        self.program, self.shared = program, shared_numbers(program, exported.numbers)
        at, inputs = program.shared, []
        for parameter in exported.parameters:
            name = identifier(parameter.name, self.taken)
            width = len(parameter.symbols)
            inputs.append(onnx.helper.make_tensor_value_info(name, self.type, ["rows", width]))
            self.append(name, at, width)
            at += width
        self.first_input = self.blocks[0]
        names = [identifier(output.name, self.taken) for output in outputs]
        for instruction in program.each:
            self.append(self.instruction(instruction), instruction.dst, instruction.width)
        place, found = 0, []
        for name, output in zip(names, outputs, strict=True):
            addresses = list(program.results[place : place + len(output.roots)])
            place += len(output.roots)
            self.emit("Identity", self.in_rows(addresses), name=name)
            found.append(onnx.helper.make_tensor_value_info(name, self.type, ["rows", len(addresses)]))
        graph = onnx.helper.make_graph(self.nodes, exported.label, inputs, found, list(self.initializers.values()))
        made = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="autograd-lite",
        )
        onnx.checker.check_model(made, full_check=True)
        content: bytes = made.SerializeToString()
        return content

    # --- Tensors ----------------------------------------------------------------------------------------------------

    def append(self, block: Tensor, start: int, width: int) -> None:
        """Add `block`, which has the numbers at the addresses from `start` on."""
        self.blocks.append(block)
        self.starts.append(start)
        self.widths.append(width)

    def emit(self, kind: str, *inputs: Tensor, name: str = "", **attributes: Any) -> Tensor:
        """Add a node to the graph; return the name of its result."""
        name = name or identifier(f"{kind.lower()}_{len(self.nodes)}", self.taken)
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Sequence[float], shape: tuple[int, ...], label: str = "constant") -> Tensor:
        """A tensor of numbers that the model contains."""
        key = array("d", values).tobytes(), shape
        if key not in self.numbers:
            self.numbers[key] = name = identifier(label, self.taken)
            self.initializers[name] = self.onnx.helper.make_tensor(name, self.type, shape, values)
        return self.numbers[key]

    def integers(self, values: Sequence[int]) -> Tensor:
        """A tensor of indices."""
        key = array("q", values).tobytes(), ()
        if key not in self.numbers:
            self.numbers[key] = name = identifier("indices", self.taken)
            kind = self.onnx.TensorProto.INT64
            self.initializers[name] = self.onnx.helper.make_tensor(name, kind, (len(values),), values)
        return self.numbers[key]

    def label(self, addresses: Sequence[int]) -> str:
        """A name for numbers that all rows share: the common part of the labels of the captured Values."""
        first = len(self.program.constants)
        labels = self.exported.labels
        found = [labels[a - first] if 0 <= a - first < len(labels) else "" for a in addresses]
        low, high = min(found), max(found)  # all others begin with what these have in common
        same = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
        return low[:same].rstrip("0123456789.") or ("parameters" if any(found) else "constant")

    def read(self, addresses: Sequence[int], shape: tuple[int, ...] = ()) -> Tensor:
        """The numbers at `addresses`, as (rows, how many), or with `shape` in place of how many."""
        if addresses[0] < self.program.shared:
            values = [self.shared[a] for a in addresses]
            return self.constant(values, (1, *(shape or (len(values),))), self.label(addresses))
        touched = sorted({bisect_right(self.starts, a) - 1 for a in addresses})
        block = self.blocks[touched[0]]
        if len(touched) > 1:
            block = self.emit("Concat", *[self.blocks[n] for n in touched], axis=1)
        offsets, offset = {}, 0
        for n in touched:
            offsets[n] = offset - self.starts[n]
            offset += self.widths[n]
        at = [a + offsets[bisect_right(self.starts, a) - 1] for a in addresses]
        if at != list(range(offset)):
            if at == list(range(at[0], at[0] + len(at))):
                block = self.emit("Slice", block, *[self.integers([x]) for x in (at[0], at[0] + len(at), 1)])
            else:
                block = self.emit("Gather", block, self.integers(at), axis=1)
        return self.emit("Reshape", block, self.integers([0, *shape])) if shape else block

    def in_rows(self, addresses: Sequence[int]) -> Tensor:
        """The numbers at `addresses` for each row; a number that all rows share is repeated in each."""
        shared = [a < self.program.shared for a in addresses]
        if not any(shared):
            return self.read(addresses)
        parts, begin = [], 0
        for end in range(1, len(addresses) + 1):
            if end == len(addresses) or shared[end] != shared[begin]:
                part = self.read(addresses[begin:end])
                if shared[begin]:
                    rows = self.emit(
                        "Slice", self.emit("Shape", self.first_input), self.integers([0]), self.integers([1])
                    )
                    size = self.emit("Concat", rows, self.integers([end - begin]), axis=0)
                    part = self.emit("Expand", part, size)
                parts.append(part)
                begin = end
        return parts[0] if len(parts) == 1 else self.emit("Concat", *parts, axis=1)

    # --- Instructions -----------------------------------------------------------------------------------------------

    def instruction(self, instruction: Instruction) -> Tensor:
        """The results of an instruction, a tensor of shape (rows, width)."""
        op, (J, I, K) = instruction.op, instruction.shape  # noqa: E741
        addresses = [list(instruction.addresses(n)) for n in range(len(instruction.operands))]
        if not op.factors:
            args = [self.read(self.one_if_equal(x)) for x in addresses]
            return self.in_width(self.apply(op, args), addresses, instruction.width)
        init = addresses.pop(0)
        z = self.product(instruction, addresses) if op is p.dot and J == 1 else ""
        if not z:
            factors = [self.read(x, (J * I, K)) for x in addresses]
            terms = factors[0] if op is p.sum_ else self.emit("Mul", *factors)
            z = self.emit("ReduceSum", terms, self.integers([2]), keepdims=0)
        if {repr(self.shared[a]) if a < self.program.shared else "" for a in init} == {"-0.0"}:
            return z
        return self.emit("Add", z, self.read(init))

    def one_if_equal(self, addresses: list[int]) -> list[int]:
        """One address in place of many that are the same: it is broadcast."""
        return addresses[:1] if len(set(addresses)) == 1 else addresses

    def in_width(self, z: Tensor, addresses: list[list[int]], width: int) -> Tensor:
        """`z` as (rows, width), if all of its operands were one number."""
        if width == 1 or any(len(set(x)) > 1 for x in addresses):
            return z
        return self.emit("Concat", *[z] * width, axis=1)

    def product(self, instruction: Instruction, addresses: list[list[int]]) -> Tensor:
        """A dot as a matrix product, if one factor is a matrix that all rows share and the other a vector; or ""."""
        _, I, K = instruction.shape  # noqa: E741
        for n, other in ((0, 1), (1, 0)):
            operand = instruction.operands[1 + other]
            vector = not isinstance(operand, Indexed) and operand.inner == 0
            if vector and addresses[n][0] < self.program.shared <= addresses[other][0]:
                matrix = [self.shared[addresses[n][i * K + k]] for k in range(K) for i in range(I)]
                weights = self.constant(matrix, (K, I), self.label(addresses[n]))
                return self.emit("MatMul", self.read(addresses[other][:K]), weights)
        return ""

    def apply(self, op: Primitive, args: list[Tensor]) -> Tensor:
        """A primitive on tensors."""
        if op.name in NATIVE:
            return self.emit(NATIVE[op.name], *args)
        return COMPOSED[op.name](_Formula(self), *args)


class _Formula:
    """Writes a formula as nodes: `e("Mul", x, 2.0)`."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer

    def __call__(self, kind: str, *args: Tensor | float, **attributes: Any) -> Tensor:
        """One node, on tensors and numbers."""
        names = [x if isinstance(x, str) else self.writer.constant([x], (1, 1)) for x in args]
        return self.writer.emit(kind, *names, **attributes)

    def where(self, condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
        """x where the condition is true, else y."""
        return self("Where", condition, x, y)


def _maximum(e: _Formula, x: Tensor, y: Tensor, kind: str = "Greater") -> Tensor:
    return e.where(e("Or", e(kind, x, y), e("IsNaN", x)), x, y)


def _minimum(e: _Formula, x: Tensor, y: Tensor) -> Tensor:
    return _maximum(e, x, y, "Less")


def _share(e: _Formula, x: Tensor, y: Tensor) -> Tensor:
    return e.where(e("Equal", x, y), 0.5, e.where(e("Less", x, y), 0.0, 1.0))


def _sign(e: _Formula, x: Tensor) -> Tensor:
    return e.where(e("Greater", x, 0.0), 1.0, e.where(e("Less", x, 0.0), -1.0, x))


def _log1p(e: _Formula, x: Tensor) -> Tensor:
    """Kahan's formula: log(u) x / (u - 1) with u = 1 + x rounded."""
    u = e("Add", x, 1.0)
    z = e("Div", e("Mul", e("Log", u), x), e("Sub", u, 1.0))
    return e.where(e("Or", e("Equal", u, 1.0), e("Equal", x, math.inf)), x, z)


def _expm1(e: _Formula, x: Tensor) -> Tensor:
    """Kahan's formula: (u - 1) x / log(u) with u = exp(x) rounded."""
    u = e("Exp", x)
    less = e("Sub", u, 1.0)
    z = e.where(e("Equal", u, 1.0), x, e("Div", e("Mul", less, x), e("Log", u)))
    return e.where(e("Or", e("Equal", u, math.inf), e("Equal", less, -1.0)), less, z)


def _hypot(e: _Formula, x: Tensor, y: Tensor) -> Tensor:
    """The larger times sqrt(1 + (the smaller / the larger)^2), so that no square overflows."""
    a, b = e("Abs", x), e("Abs", y)
    large, small = _maximum(e, a, b), _minimum(e, a, b)
    ratio = e("Div", small, large)
    z = e("Mul", large, e("Sqrt", e("Add", e("Mul", ratio, ratio), 1.0)))
    infinite = e("Or", e("Equal", a, math.inf), e("Equal", b, math.inf))
    return e.where(infinite, math.inf, e.where(e("Equal", large, 0.0), large, z))


def _atan2(e: _Formula, y: Tensor, x: Tensor) -> Tensor:
    """The angle in the first quadrant, mirrored into the one where the point is."""
    a, b = e("Abs", y), e("Abs", x)
    z = e("Atan", e("Div", a, b))
    z = e.where(e("Equal", a, 0.0), e("Mul", b, 0.0), z)  # Mul keeps a nan; an infinite x gives one, and is next
    z = e.where(e("And", e("Equal", a, 0.0), e("Equal", b, math.inf)), 0.0, z)
    z = e.where(e("And", e("Equal", a, math.inf), e("Equal", b, math.inf)), 0.25 * math.pi, z)
    z = e.where(_is_negative(e, x), e("Sub", math.pi, z), z)
    return e.where(_is_negative(e, y), e("Neg", z), z)


def _is_negative(e: _Formula, x: Tensor) -> Tensor:
    """Whether x is below 0, or is the zero with a minus."""
    return e("Or", e("Less", x, 0.0), e("And", e("Equal", x, 0.0), e("Less", e("Div", 1.0, x), 0.0)))


def _mod(e: _Formula, x: Tensor, y: Tensor) -> Tensor:
    """C's remainder, moved to the sign of y."""
    r = e("Mod", x, y, fmod=1)
    crosses = e("Xor", e("Less", y, 0.0), e("Less", r, 0.0))
    return e.where(e("And", crosses, e("Not", e("Equal", r, 0.0))), e("Add", r, y), r)


def _floordiv(e: _Formula, x: Tensor, y: Tensor) -> Tensor:
    """The quotient without its remainder, one less where the remainder was moved."""
    r = e("Mod", x, y, fmod=1)
    q = e("Div", e("Sub", x, r), y)
    crosses = e("Xor", e("Less", y, 0.0), e("Less", r, 0.0))
    q = e("Round", e.where(e("And", crosses, e("Not", e("Equal", r, 0.0))), e("Sub", q, 1.0), q))
    return e.where(e("Equal", y, 0.0), e("Div", x, y), q)


# The primitives that are written with others. Results are those of IEEE 754, but a zero of mod has the sign of x.
COMPOSED: dict[str, Callable[..., Tensor]] = {
    "where": lambda e, c, x, y: e.where(e("Equal", c, 0.0), y, x),
    "step": lambda e, x: e.where(e("LessOrEqual", x, 0.0), 0.0, 1.0),
    "exp2": lambda e, x: e("Pow", 2.0, x),
    "log2": lambda e, x: e("Div", e("Log", x), math.log(2.0)),
    "log10": lambda e, x: e("Div", e("Log", x), math.log(10.0)),
    "cbrt": lambda e, x: e("Mul", _sign(e, x), e("Pow", e("Abs", x), 1.0 / 3.0)),
    "maximum": _maximum, "minimum": _minimum, "share": _share, "sign": _sign, "log1p": _log1p, "expm1": _expm1,
    "hypot": _hypot, "atan2": _atan2, "mod": _mod, "floordiv": _floordiv,
}  # fmt: skip
