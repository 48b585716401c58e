"""The array executor: one array call per instruction, over the whole batch, in NumPy or an array module like it.

It writes a program as a Python function with one line per instruction. The results of an instruction are a block: an
array of shape (addresses, rows), or (addresses, 1) if all rows share them. An operand is an array of shape
(J, I, K, rows), with length 1 along an axis on which it does not depend; it is a view of a block where possible.
Broadcasting expands those axes, and a dot of two operands is a matrix product.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeAlias
from warnings import catch_warnings, simplefilter

import numpy as np

from autograd_lite import primitives as p
from autograd_lite.compiler.pipeline import LoopPlan
from autograd_lite.compiler.program import Instruction, Program, Shape, Strided, UnknownPrimitiveError
from autograd_lite.primitives import Primitive

Array: TypeAlias = Any  # of the array module in use


def executor(program: Program, xp: Any = np) -> Callable[..., tuple[Array, Array]]:
    """The function that runs `program` on arrays of the module `xp`: see `Executor`."""
    compute = _compute(program, xp)

    def run(n: int, rows: Array, captured: Array) -> tuple[Array, Array]:
        results, sums = compute(n, rows, captured)
        return results.T.reshape(-1), sums

    return run


def writer(program: Program, xp: Any = np) -> Callable[..., None]:
    """The function that runs `program` on arrays of the module `xp` and fills buffers: see `Executor`."""
    compute = _compute(program, xp)

    def write(n: int, rows: Array, captured: Array, results: Array, sums: Array) -> None:
        found, totals = compute(n, rows, captured)
        np.asarray(sums)[:] = totals
        at = 0
        for table in results if type(results) is tuple else (results,):
            place = np.asarray(table).reshape(n, -1)
            place[:] = found[at : at + place.shape[1]].T
            at += place.shape[1]

    return write


def looper(plan: LoopPlan, executor: Callable[[Any], Callable[..., Any]], xp: Any = np) -> Callable[..., Any]:
    """The function that runs the loop of `plan`, each step on all rows: see `Executor`.

    `executor` runs the body on arrays of `xp`; the buffers between the steps are NumPy's.
    """
    run, fixed, (width, others_width) = executor(plan.body), plan.states + plan.constants, plan.widths
    steps, none = range(plan.n)[::-1] if plan.reverse else range(plan.n), np.zeros(0)

    def loop(n: int, arguments: Array, tables: Any) -> tuple[Array, Array]:
        own = np.asarray(arguments).reshape(n, -1)
        if plan.guarded and not own[:, -1].any():
            return np.zeros(n * width), np.zeros(n * others_width)
        results, others = np.empty((n, width)), np.empty((n, others_width))
        columns = [
            (own if x.table < 0 else np.asarray(tables[x.table]).reshape(-1, x.width))[:, x.start : x.start + plan.n]
            for x in plan.columns
        ]
        inputs = np.empty((n, fixed + len(columns)))
        inputs[:, :fixed] = own[:, :fixed]
        kept = results[:, plan.states :].reshape(n, plan.kept, plan.n)
        rest = others.reshape(n, plan.stored - plan.kept, plan.n)
        runs = np.full(n, plan.conditional)  # the rows whose loop has not ended
        while runs.any():
            found = np.asarray(run(n, inputs.reshape(-1), none)[0]).reshape(n, -1)
            runs &= found[:, plan.states] != 0
            inputs[:, : plan.states] = np.where(runs[:, None], found[:, : plan.states], inputs[:, : plan.states])
        for i in steps:
            for k, column in enumerate(columns, fixed):
                inputs[:, k] = column[:, i]
            found = np.asarray(run(n, inputs.reshape(-1), none)[0]).reshape(n, -1)
            inputs[:, : plan.states] = found[:, : plan.states]
            kept[:, :, i] = found[:, plan.states : plan.states + plan.kept]
            rest[:, :, i] = found[:, plan.states + plan.kept :]
        results[:, : plan.states] = inputs[:, : plan.states]
        return results.reshape(-1), others.reshape(-1)

    return loop


def _compute(program: Program, xp: Any) -> Callable[..., tuple[Array, Array]]:
    """The function that runs `program`; it returns a matrix with one column of results per row, and the sums."""
    compute: Callable[..., tuple[Array, Array]] = _Writer(program, xp).function()

    def run(n: int, rows: Array, captured: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore") if xp is np else nullcontext():
            tables = rows if type(rows) is tuple else (rows,)
            inputs = xp.concatenate([as_array(x).reshape(n, -1).T for x in tables])
            return compute(n, as_array(captured).reshape(-1, 1), inputs)

    def as_array(numbers: Any) -> Array:
        if xp is not np and isinstance(numbers, array | memoryview | np.ndarray):
            numbers = np.array(numbers)  # a copy: some modules accept no buffer, or no read-only one
        return xp.asarray(numbers, dtype=xp.float64)

    return run


class _Operand(NamedTuple):
    """An operand: its loop nest, with length 1 on axes it does not depend on; its addresses; whether it is in rows."""

    nest: Shape
    at: Any
    row: bool

    def shape(self, first: int, last: int, row: bool) -> tuple[int, ...]:
        """The shape of its array: axes `first` to `last` of the nest, and -1 for the rows.

        () for a single shared number if another operand is in rows (`row`): broadcasting expands it.
        """
        return () if row and not self.row and self.nest == (1, 1, 1) else (*self.nest[first:last], -1)


class _Writer:
    """Writes a program as the source of a function of n, the captured numbers and the inputs.

    The blocks are named b0, b1, ...: the constants, the captured numbers, the results of each `once` instruction, the
    inputs, the results of each `each` instruction. Every view or gather of a block is computed once and named v0, v1...
    """

    def __init__(self, program: Program, xp: Any) -> None:
        with catch_warnings():  # JAX warns of float32, and the error below says more
            simplefilter("ignore")
            constants = xp.asarray(program.constants, dtype=xp.float64)
        if "float64" not in str(constants.dtype):
            raise TypeError(
                f"{xp.__name__} computes in {constants.dtype}, and jit in float64: of JAX, say "
                'jax.config.update("jax_enable_x64", True) first'
            )
        self.program, self.xp = program, xp
        widths = [len(program.constants), program.captured, *[i.width for i in program.once]]
        self.row = [False] * len(widths) + [True]  # whether a block is in rows
        widths += [program.inputs, *[i.width for i in program.each]]
        self.widths = np.array(widths)
        self.starts = np.cumsum(self.widths) - self.widths
        self.names: dict[str, Any] = {op.name: function for op, function in FUNCTIONS.items()}
        self.names |= {"xp": xp, "matmul": _matmul if xp is np else operator.matmul, "b0": constants.reshape(-1, 1)}
        self.named: dict[str, str] = {}  # the name of each expression computed so far
        self.masks: set[str] = set()  # blocks of booleans: `where` reads them so, others as 1 and 0
        self.lines: list[str] = []

    def function(self) -> Any:
        """The function; it returns a matrix with one column of results per row, and the sums."""
        program, inputs = self.program, 2 + len(self.program.once)
        for n, instruction in enumerate(program.once + program.each, 2):
            block = f"b{n + (n >= inputs)}"
            text, row = self.block(instruction)
            self.lines.append(f"{block} = {text}")
            self.row += [row] * (n >= inputs)
            if instruction.op is p.step:
                self.masks.add(block)
        results, sums = "b1[:0]", "b1[:0, 0]"
        if program.results:
            results = self.read(program.results, (len(program.results), -1))
            if not self.has_rows(program.results):
                results = f"xp.broadcast_to({results}, ({len(program.results)}, n))"
        if program.sums:
            totals = "".join([f"{self.total(i)}, " for i in program.total])
            order = self.constant(np.array(program.sums) - program.rows)
            sums = f"xp.asarray(xp.concatenate(({totals}))[{order}], dtype=xp.float64)"
        self.lines.append(f"return {results}, {sums}")
        source = "\n    ".join([f"def compute(n, b1, b{inputs}):", *self.lines])
        exec(compile(source, "<autograd_lite program>", "exec"), self.names)
        return self.names["compute"]

    def name(self, text: str, given: Any = None) -> str:
        """The name of the value of the expression `text`, or of the object `given`; writes its line at first use."""
        if text not in self.named:
            self.named[text] = name = f"v{len(self.named)}"
            if given is not None:
                self.names[name] = given
            elif text.startswith("b0["):  # of constants: the same in every call
                self.names[name] = eval(text, self.names)
            else:
                self.lines.append(f"{name} = {text}")
        return self.named[text]

    def constant(self, at: Any) -> str:
        """The name of the array of addresses `at`."""
        return self.name(f"{at.shape} {at.tobytes()!r}", at if self.xp is np else self.xp.asarray(at))

    def blocks(self, addresses: Any) -> Any:
        """The number of the block of each address."""
        return np.searchsorted(self.starts, addresses, side="right") - 1

    def has_rows(self, addresses: Any) -> bool:
        """True if some of the addresses are in rows."""
        return any(self.row[block] for block in set(self.blocks(addresses).tolist()))

    def read(self, addresses: Iterable[int], shape: tuple[int, ...], condition: bool = False) -> str:
        """An expression for the numbers at `addresses`, reshaped to `shape`: a view of a block where possible.

        -1 in the shape is the axis of the rows; a shape without -1 is for shared numbers. With `condition` the array
        may be boolean.
        """
        at = np.fromiter(addresses, dtype=int)
        found = self.blocks(at)
        at -= self.starts[found]
        cuts = np.flatnonzero(np.diff(found)) + 1
        touched, place = np.unique(found, return_inverse=True)
        if len(touched) == 1:
            return self.take(f"b{found[0]}", at, int(self.widths[found[0]]), shape, condition)
        index = ""
        if len(touched) == len(cuts) + 1:  # the addresses visit each block once
            touched, takes = found[[0, *cuts]], np.split(at, cuts)
        else:
            takes = [np.arange(w) for w in self.widths[touched]]
            at += (np.cumsum(self.widths[touched]) - self.widths[touched])[place]
            index = f"[{self.constant(at)}]"
        rows = any(self.row[n] for n in touched)
        parts = []
        for n, x in zip(touched.tolist(), takes, strict=True):
            part = self.take(f"b{n}", x, int(self.widths[n]), (len(x), -1))
            parts.append(part if self.row[n] == rows else f"xp.broadcast_to({part}, ({len(x)}, n))")
        text = f"xp.concatenate(({', '.join(parts)})){index}"
        return self.name(text if shape == (len(at), -1) else f"{text}.reshape({shape})")

    def take(self, block: str, at: Any, width: int, shape: tuple[int, ...], condition: bool = False) -> str:
        """An expression for the numbers at `at` in one block of `width`: see `read`."""
        if block in self.masks and not condition:
            block = self.name(f"xp.asarray({block}, dtype=xp.float64)")
        start, (outer, stride, inner, step) = int(at[0]), _grid(at)
        if transposed := stride < step:
            outer, stride, inner, step = inner, step, outer, stride
        end = step * (inner - 1) + 1
        window = min(start, width - outer * stride)  # where `outer` runs of `stride` begin
        column = start - window
        natural: tuple[int, ...] = (len(at), -1)
        if step > 0 and outer == 1:
            text = block if len(at) == width else f"{block}[{start}:{start + end}:{step}]"
        elif step > 0 and window >= 0 and column + end <= stride:
            rows = (-1,) * (-1 in shape)
            text = f"{block}[{window}:{window + outer * stride}].reshape({(outer, stride, *rows)})"
            text += f"[:, {column}:{column + end}:{step}]" + ".swapaxes(0, 1)" * transposed
            natural = (inner, outer, *rows) if transposed else (outer, inner, *rows)
        else:
            text = f"{block}[{self.constant(at)}]"
        text += f".reshape({shape})" * (shape != natural)
        return block if text == block else self.name(text)

    def operands(self, instruction: Instruction) -> tuple[Instruction, list[_Operand], _Operand | None]:
        """`instruction`, its loops J and I merged where possible; its operands; the operand that a sum starts from."""
        (_, _, (J, I, K), _), found = instruction, []  # noqa: E741
        for n, operand in enumerate(instruction.operands):
            nest = instruction.points(n)
            if isinstance(operand, Strided):
                nest = (nest[0] if operand.outer else 1, nest[1] if operand.inner else 1, nest[2])
            at = np.fromiter(instruction._replace(shape=nest).addresses(n), dtype=int)
            found.append(_Operand(nest, at, self.has_rows(at)))
        if all(x.nest[:2] in ((J, I), (1, 1)) for x in found):
            instruction = instruction._replace(shape=(1, J * I, K))
            found = [x._replace(nest=(1, x.nest[0] * x.nest[1], x.nest[2])) for x in found]
        init = found.pop(0) if instruction.op.factors else None
        nothing = init and {repr(self.program.constants[n : n + 1]) for n in init.at} == {"(-0.0,)"}
        return instruction, found, None if nothing else init

    def block(self, instruction: Instruction) -> tuple[str, bool]:
        """An expression for the block that `instruction` computes, and whether the block is in rows."""
        (op, _, (J, I, K), _), operands, init = self.operands(instruction)  # noqa: E741
        if K == 1:
            op = (op, p.detach, p.mul)[op.factors]  # a sum of one term is that term, a dot of one pair its product
        lead = 0 if J > 1 else 1
        text = self.product(J, *operands) if op.factors == 2 else ""
        if not text:
            name = op.name if op in FUNCTIONS else self.name(f"function {id(op)}", _vectorized(op, self.xp))
            row = any(x.row for x in operands)
            shapes = [x.shape(lead, 2 + (K > 1), row) for x in operands]
            reads = [self.read(x.at, shapes[n], op is p.where and n == 0) for n, x in enumerate(operands)]
            text = f"{name}({', '.join(['xp', *reads])})"
        if init:
            text += f" + {self.read(init.at, init.shape(lead, 2, any(x.row for x in operands)))}"
            operands.append(init)
        row = any(x.row for x in operands)
        if (max(x.nest[0] for x in operands), max(x.nest[1] for x in operands)) != (J, I):
            text = f"xp.broadcast_to({text}, ({f'{J}, ' * (J > 1)}{I}, {'n' if row else 1}))"
        return (f"({text}).reshape({J * I}, -1)" if J > 1 else text), row

    def product(self, J: int, x: _Operand, y: _Operand) -> str:
        """A dot as a matrix product if one factor is a shared matrix, else ""; without the axis J of length 1."""
        for a, b in ((x, y), (y, x)):
            (aJ, aI, K), (bJ, bI, _) = a.nest, b.nest
            if not a.row and bI == 1:
                left, right = (aJ, aI, K) if aJ > 1 else (aI, K), (bJ, K, -1) if bJ > 1 else (K, -1)
                return f"matmul({self.read(a.at, left)}, {self.read(b.at, right)})"
            if not a.row and bJ == aI == 1 and J > 1:
                return f"matmul({self.read(a.at, (aJ, K))}, {self.read(b.at, (bI, K, -1))}).swapaxes(0, 1)"
        return ""

    def total(self, instruction: Instruction) -> str:
        """An expression for the sums, over the rows, of the numbers that `instruction` computes."""
        (op, _, (J, I, _), _), operands, init = self.operands(instruction)  # noqa: E741
        if (op.factors == 2 or op is p.mul) and not init:
            for x, y in (operands, operands[::-1]):
                if x.row and y.row and x.nest[:2] == (J, 1) and y.nest[:2] == (1, I):
                    return f"matmul({self.read(x.at, (J, -1))}, {self.read(y.at, (I, -1))}.T).reshape(-1)"
        text, row = self.block(instruction)
        return f"({text}).sum(1)" if row else f"({text})[:, 0] * n"


def _grid(at: Any) -> tuple[int, int, int, int]:
    """(outer, stride, inner, step): `outer` runs, `stride` apart, of `inner` numbers, `step` apart.

    If `at` is not such a grid, `step` is 0.
    """
    step = int(at[1] - at[0]) if len(at) > 1 else 1
    breaks = np.flatnonzero(np.diff(at) != step)
    if not len(breaks):
        return 1, step * len(at), len(at), step
    inner = int(breaks[0]) + 1
    stride, outer = int(at[inner] - at[0]), len(at) // inner
    grid = at[0] + np.add.outer(stride * np.arange(outer), step * np.arange(inner))
    if min(step, stride) < 1 or not np.array_equal(at, grid.reshape(-1)):
        return 1, 0, len(at), 0
    return outer, stride, inner, step


def _vectorized(op: Primitive, xp: Any) -> Callable[..., Array]:
    """A user's primitive as a function of arrays, called on each number. UnknownPrimitiveError outside NumPy."""
    if xp is not np:
        raise UnknownPrimitiveError(xp.__name__, op.name)
    compute = np.vectorize(op.compute, otypes=[float])
    return lambda _, *args: compute(*args)


def _matmul(x: Array, y: Array) -> Array:
    """x @ y in NumPy."""
    if x.shape[-1] == 1:  # `dot` with a matrix of one number takes 0 times infinity for 0
        return x * y
    z = x.dot(y) if x.ndim == 2 == y.ndim else x @ y  # x.dot(y) is faster for small arrays
    if not math.isfinite(np.vdot(z, z)):
        # A sum of products in which inf and -inf meet is nan. A fused multiply-add may overlook that.
        z = (x[..., None] * y[..., None, :, :]).sum(-2)
    return z


def _pow(xp: Any, x: Array, y: Array) -> Array:
    y = y + xp.zeros_like(x)  # given a single exponent 0.5, NumPy would call sqrt: nan at -inf
    return xp.power(x, y) if hasattr(xp, "power") else xp.pow(x, y)


def _relu(xp: Any, x: Array) -> Array:
    return abs(np.maximum(x, 0.0)) if xp is np else xp.where(x <= 0, 0.0, x)  # 0.0 of -0.0


def _softplus(xp: Any, x: Array) -> Array:
    return _relu(xp, x) + xp.log1p(xp.exp(-abs(x)))


def _sigmoid(xp: Any, x: Array) -> Array:
    e = xp.exp(-abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def _erf(xp: Any, x: Array) -> Array:
    if xp is np:
        return np.vectorize(math.erf, otypes=[float])(x)
    if hasattr(xp, "erf"):
        return xp.erf(x)
    from jax.scipy.special import erf  # jax.numpy has no erf

    return erf(x)


def _cbrt(xp: Any, x: Array) -> Array:
    if hasattr(xp, "cbrt"):
        return xp.cbrt(x)
    return xp.where(x == 0, x, xp.sign(x) * xp.pow(abs(x), 1.0 / 3.0))


def _mod(xp: Any, x: Array, y: Array) -> Array:
    rest = xp.fmod(x, y)
    return xp.where(_steps_down(rest, y), rest + y, xp.where(rest == 0, xp.copysign(rest, y + rest), rest))


def _floordiv(xp: Any, x: Array, y: Array) -> Array:
    rest = xp.fmod(x, y)
    z = xp.round((x - rest) / y) - xp.where(_steps_down(rest, y), 1.0, 0.0)
    return xp.where(y == 0, x / y, xp.where(z == 0, xp.copysign(z, x / y), z))


def _steps_down(rest: Array, y: Array) -> Array:
    """True if C's remainder, with the sign of x, differs from Python's, with the sign of y."""
    return (rest != 0) & ((y < 0) != (rest < 0))


def _maximum(xp: Any, x: Array, y: Array) -> Array:
    return xp.where((x > y) | (x != x), x, y)


def _minimum(xp: Any, x: Array, y: Array) -> Array:
    return xp.where((x < y) | (x != x), x, y)


def _share(xp: Any, x: Array, y: Array) -> Array:
    return xp.where(x == y, 0.5, xp.where(x < y, 0.0, xp.ones_like(x)))


def _where(xp: Any, c: Array, x: Array, y: Array) -> Array:
    return xp.where(c if xp is np else c != 0, x, y)


# The primitives of the table on arrays; ieee.py defines them on floats.
# fmt: off
FUNCTIONS: dict[Primitive, Callable[..., Array]] = {
    p.sum_: lambda xp, x: x.sum(-2),        p.dot: lambda xp, x, y: (x * y).sum(-2),
    p.add: lambda xp, x, y: x + y,          p.sub: lambda xp, x, y: x - y,
    p.mul: lambda xp, x, y: x * y,          p.div: lambda xp, x, y: x / y,
    p.pow_: _pow,                           p.pow_const: _pow,
    p.neg: lambda xp, x: -x,                p.detach: lambda xp, x: x,
    p.exp: lambda xp, x: xp.exp(x),         p.expm1: lambda xp, x: xp.expm1(x),
    p.log: lambda xp, x: xp.log(x),         p.log1p: lambda xp, x: xp.log1p(x),
    p.sqrt: lambda xp, x: xp.sqrt(x),       p.abs_: lambda xp, x: abs(x),
    p.sin: lambda xp, x: xp.sin(x),         p.asin: lambda xp, x: xp.arcsin(x),
    p.cos: lambda xp, x: xp.cos(x),         p.acos: lambda xp, x: xp.arccos(x),
    p.tan: lambda xp, x: xp.tan(x),         p.atan: lambda xp, x: xp.arctan(x),
    p.sinh: lambda xp, x: xp.sinh(x),       p.cosh: lambda xp, x: xp.cosh(x),
    p.asinh: lambda xp, x: xp.arcsinh(x),   p.acosh: lambda xp, x: xp.arccosh(x),
    p.tanh: lambda xp, x: xp.tanh(x),       p.atanh: lambda xp, x: xp.arctanh(x),
    p.hypot: lambda xp, x, y: xp.hypot(x, y),
    p.atan2: lambda xp, y, x: xp.arctan2(y, x),
    p.exp2: lambda xp, x: xp.exp2(x),       p.log2: lambda xp, x: xp.log2(x),
    p.log10: lambda xp, x: xp.log10(x),     p.cbrt: _cbrt,
    p.floor: lambda xp, x: xp.floor(x),     p.ceil: lambda xp, x: xp.ceil(x),
    p.round_: lambda xp, x: xp.round(x),    p.erf: _erf,
    p.mod: _mod,                            p.floordiv: _floordiv,
    p.sigmoid: _sigmoid,
    p.softplus: _softplus,                  p.relu: _relu,
    p.step: lambda xp, x: ~(x <= 0),  # see `_Writer.masks`
    p.sign: lambda xp, x: xp.where(x > 0, 1.0, xp.where(x < 0, -1.0, x)),
    p.maximum: _maximum,                    p.minimum: _minimum,
    p.share: _share,                        p.where: _where,
}
# fmt: on
