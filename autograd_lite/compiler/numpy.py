"""The executor on arrays: one array call per instruction, over the whole batch, in NumPy or a namespace like it.

A block of addresses is an array of shape (addresses, rows), or (addresses, 1) where all rows share it. An operand is
an array of shape (J, I, K, rows), with 1 for an axis along which it does not change: broadcasting does the rest, and
a dot of two such arrays is a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeAlias

import numpy as np

from autograd_lite import primitives as p
from autograd_lite.compiler.arguments import joined
from autograd_lite.compiler.program import REDUCTIONS, Instruction, Program, Shape, Strided, UnknownPrimitiveError
from autograd_lite.primitives import Primitive

Array: TypeAlias = Any  # of the namespace in use
Blocks: TypeAlias = list[Array]
Read: TypeAlias = Callable[[Blocks], Array]


def executor(program: Program, xp: Any = np) -> Callable[..., tuple[Array, Array]]:
    """The function that runs `program` on arrays of the namespace `xp`: see `autograd_lite.compiler`."""
    arrays = _Arrays(program, xp)
    once, each = ([arrays.block(i) for i in stage] for stage in (program.once, program.each))
    total = [arrays.total(i) for i in program.total]
    results = arrays.read(program.results, (len(program.results),)) if program.results else None
    sums = np.array(program.sums, dtype=int) - program.rows
    constants = xp.asarray(program.constants, dtype=xp.float64).reshape(-1, 1)

    def run(n: int, rows: Array, captured: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore") if xp is np else nullcontext():
            blocks = [constants, xp.asarray(captured, dtype=xp.float64).reshape(-1, 1)]
            for block in once:
                blocks.append(block(blocks))
            blocks.append(xp.asarray(joined(n, rows), dtype=xp.float64).reshape(n, program.inputs).T)
            for block in each:
                blocks.append(block(blocks))
            totals = [sums_of(blocks, n) for sums_of in total]
            none = blocks[1][:0, 0]
            table = xp.broadcast_to(results(blocks), (len(program.results), n)).T.reshape(-1) if results else none
            return table, xp.concatenate(totals)[sums] if len(sums) else none

    return run


class _Arrays:
    """What the instructions of a program are as functions of the blocks computed so far."""

    def __init__(self, program: Program, xp: Any) -> None:
        widths = [len(program.constants), program.captured, *[i.width for i in program.once]]
        widths += [program.inputs, *[i.width for i in program.each]]
        self.widths = np.array(widths)
        self.starts = np.cumsum(self.widths) - self.widths
        self.constants = program.constants
        self.xp = xp

    def read(self, addresses: Iterable[int], shape: tuple[int, ...]) -> Read:
        """What gives the numbers at `addresses` in the shape (*shape, rows): a view of a block where it can be."""
        xp, at = self.xp, np.fromiter(addresses, dtype=int)
        found = np.searchsorted(self.starts, at, side="right") - 1
        at -= self.starts[found]
        cuts = np.flatnonzero(np.diff(found)) + 1
        touched, place = np.unique(found, return_inverse=True)
        index = None
        if len(touched) == len(cuts) + 1:  # one block after the other
            touched = found[[0, *cuts]]
            takes = [
                _take(x, w, (len(x),)) for x, w in zip(np.split(at, cuts), self.widths[touched].tolist(), strict=True)
            ]
        else:
            takes = [_take(np.arange(w), w, (w,)) for w in self.widths[touched].tolist()]
            index = (np.cumsum(self.widths[touched]) - self.widths[touched])[place] + at
        if len(touched) == 1:
            n, take = int(touched[0]), _take(at, int(self.widths[touched[0]]), shape)
            return lambda blocks: take(blocks[n])
        parts = [*zip(touched.tolist(), takes, strict=True)]

        def joined(blocks: Blocks) -> Array:
            arrays = [take(blocks[n]) for n, take in parts]
            rows = max([x.shape[1] for x in arrays])
            x = xp.concatenate([x if x.shape[1] == rows else xp.broadcast_to(x, (len(x), rows)) for x in arrays])
            return (x if index is None else x[index]).reshape(*shape, -1)

        return joined

    def operand(self, instruction: Instruction, n: int) -> tuple[Shape, Read]:
        """Operand `n`: its loop nest, with 1 where it does not change, and what gives it in the shape (J, I, K, rows).

        That is without J if the instruction has no more than one, and without K if the operand is not reduced.
        """
        shape, operand = instruction.points(n), instruction.operands[n]
        if isinstance(operand, Strided):
            shape = (shape[0] if operand.outer else 1, shape[1] if operand.inner else 1, shape[2])
        addresses = instruction._replace(shape=shape).addresses(n)
        axes = shape if n and instruction.op in REDUCTIONS else shape[:2]
        return shape, self.read(addresses, axes[instruction.shape[0] == 1 :])

    def operands(self, instruction: Instruction) -> tuple[Read | None, list[tuple[Shape, Read]]]:
        """What a sum starts from, None if that is nothing, and what it adds up; or None and the operands."""
        found = [self.operand(instruction, n) for n in range(len(instruction.operands))]
        if instruction.op not in REDUCTIONS:
            return None, found
        starts = {repr(self.constants[n : n + 1]) for n in instruction.addresses(0)}
        nothing = starts == {"(-0.0,)"}
        return None if nothing else found[0][1], found[1:]

    def block(self, instruction: Instruction) -> Read:
        """What gives the block that `instruction` computes."""
        op, _, (J, I, _), _ = instruction  # noqa: E741
        compute = FUNCTIONS.get(op) or _vectorized(op, self.xp)
        init, found = self.operands(instruction)
        reads = [read for _, read in found]
        shape = (J, I) if J > 1 else (I,)
        xp = self.xp

        def block(blocks: Blocks) -> Array:
            z = compute(xp, *[read(blocks) for read in reads])
            if init is not None:
                z = z + init(blocks)
            if z.shape[:-1] != shape:
                z = xp.broadcast_to(z, (*shape, z.shape[-1]))
            return z.reshape(J * I, -1) if J > 1 else z

        return block

    def total(self, instruction: Instruction) -> Callable[[Blocks, int], Array]:
        """What gives the sums, over `n` rows, of what `instruction` computes."""
        block = self.block(instruction)

        def added(blocks: Blocks, n: int) -> Array:
            z = block(blocks)
            return z.sum(1) if z.shape[1] == n else z[:, 0] * n

        init, found = self.operands(instruction)
        if init is not None or instruction.op not in (p.dot, p.mul):
            return added
        J, I, _ = instruction.shape  # noqa: E741
        (x_nest, x), (y_nest, y) = found if found[0][0][:2] == (J, 1) else found[::-1]
        if x_nest[:2] != (J, 1) or y_nest[:2] != (1, I):
            return added

        def matrix_product(blocks: Blocks, n: int) -> Array:
            """Of x in the shape (J, 1, K, n) and y in (1, I, K, n), or both without K."""
            a, b = x(blocks), y(blocks)
            if not a.shape[-1] == b.shape[-1] == n:
                return added(blocks, n)
            return (a.reshape(J, -1) @ b.reshape(I, -1).T).reshape(-1)

        return matrix_product


def _take(at: Any, width: int, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """What takes the numbers `at` of a block of `width`, in the shape (*shape, rows): a view if they are a grid."""
    step = int(at[1] - at[0]) if len(at) > 1 else 1
    breaks = np.flatnonzero(np.diff(at) != step)
    inner = int(breaks[0]) + 1 if len(breaks) else len(at)  # `outer` times `inner` numbers
    outer, start = len(at) // inner, int(at[0])
    stride = int(at[inner] - start) if outer > 1 else step * inner
    grid = start + np.add.outer(stride * np.arange(outer), step * np.arange(inner))
    index: Any = at
    if min(step, stride) > 0 and np.array_equal(at, grid.reshape(-1)):
        turned = stride < step
        if turned:
            outer, inner, stride, step = inner, outer, step, stride
        end = step * (inner - 1) + 1
        if step * inner == stride and not turned:
            index = slice(start, start + step * len(at), step)
        elif end <= stride and start + outer * stride <= width and len(shape) > 1:

            def view(x: Array) -> Array:
                z = x[start : start + outer * stride].reshape(outer, stride, -1)[:, :end:step]
                z = z.swapaxes(0, 1) if turned else z
                return z if z.shape[:2] == shape else z.reshape(*shape, -1)

            return view
    if len(shape) > 1:
        return lambda x: x[index].reshape(*shape, -1)
    return (lambda x: x) if isinstance(index, slice) and index == slice(0, width, 1) else lambda x: x[index]


def _dot(xp: Any, x: Array, y: Array) -> Array:
    """The sum of x * y over K, of shape (J, I, rows): a matrix product where x is a matrix that all rows share."""
    if x.shape[-1] == 1:
        if y.shape[-3] == 1:
            return x[..., 0] @ y[..., 0, :, :]
        if y.shape[0] == 1 and y.ndim == 4:
            return (x[..., 0].swapaxes(0, 1) @ y[0]).swapaxes(0, 1)
    return (x * y).sum(-2)


def _vectorized(op: Primitive, xp: Any) -> Callable[..., Array]:
    """A primitive of the user's own, number by number."""
    if xp is not np:
        raise UnknownPrimitiveError(f"{xp.__name__} has no primitive {op.name!r}: use the python or the numpy backend")
    compute = np.vectorize(op.compute, otypes=[float])
    return lambda _, *args: compute(*args)


def _pow(xp: Any, x: Array, y: Array) -> Array:
    y = y + xp.zeros_like(x)  # where all exponents are one 0.5, NumPy takes the square root: nan at -inf
    return xp.power(x, y) if hasattr(xp, "power") else xp.pow(x, y)


def _relu(xp: Any, x: Array) -> Array:
    return np.maximum(x, 0.0) + 0.0 if xp is np else xp.where(x <= 0, 0.0, x)  # 0.0 of -0.0


def _softplus(xp: Any, x: Array) -> Array:
    return _relu(xp, x) + xp.log1p(xp.exp(-abs(x)))


def _sigmoid(xp: Any, x: Array) -> Array:
    e = xp.exp(-abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def _maximum(xp: Any, x: Array, y: Array) -> Array:
    return xp.where((x > y) | (x != x), x, y)


def _minimum(xp: Any, x: Array, y: Array) -> Array:
    return xp.where((x < y) | (x != x), x, y)


def _share(xp: Any, x: Array, y: Array) -> Array:
    return xp.where(x == y, 0.5, xp.where(x < y, 0.0, xp.ones_like(x)))


def _where(xp: Any, c: Array, x: Array, y: Array) -> Array:
    return xp.where(c if xp is np else c != 0, x, y)


# The numbers of the table's primitives from arrays of numbers, as ieee.py has them for floats.
# fmt: off
FUNCTIONS: dict[Primitive, Callable[..., Array]] = {
    p.sum_: lambda xp, x: x.sum(-2),        p.dot: _dot,
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
    p.tanh: lambda xp, x: xp.tanh(x),       p.sigmoid: _sigmoid,
    p.softplus: _softplus,                  p.relu: _relu,
    p.step: lambda xp, x: xp.asarray(~(x <= 0), dtype=x.dtype),
    p.sign: lambda xp, x: xp.where(x > 0, 1.0, xp.where(x < 0, -1.0, x)),
    p.maximum: _maximum,                    p.minimum: _minimum,
    p.share: _share,                        p.where: _where,
}
# fmt: on
