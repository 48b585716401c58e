"""The executor on arrays: one array call per instruction, over the whole batch, in NumPy or a namespace like it.

A block of addresses is an array of shape (addresses, rows), or (addresses, 1) where all rows share it. An operand is
an array of shape (J, I, K, rows), with 1 for an axis along which it does not change: broadcasting does the rest, and
a dot of two such arrays is a matrix product.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from contextlib import nullcontext
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from autograd_lite import primitives as p
from autograd_lite.compiler.program import REDUCTIONS, Instruction, Program, Strided, UnknownPrimitiveError
from autograd_lite.primitives import Primitive

Array: TypeAlias = Any  # of the namespace in use
Blocks: TypeAlias = list[Array]
Read: TypeAlias = Callable[[Blocks], Array]


def executor(program: Program, xp: Any = np) -> Callable[..., tuple[Array, Array]]:
    """The function that runs `program` on arrays of the namespace `xp`: see `autograd_lite.compiler`."""
    arrays = _Arrays(program, xp)
    once, each = ([arrays.block(i) for i in stage] for stage in (program.once, program.each))
    total = [arrays.total(i) for i in program.total]
    results = arrays.read(list(program.results)) if program.results else None
    sums = np.array(program.sums, dtype=int) - program.rows
    constants = xp.asarray(program.constants, dtype=xp.float64).reshape(-1, 1)

    def run(n: int, rows: Array, captured: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore") if xp is np else nullcontext():
            blocks = [constants, xp.asarray(captured, dtype=xp.float64).reshape(-1, 1)]
            for block in once:
                blocks.append(block(blocks))
            blocks.append(xp.asarray(rows, dtype=xp.float64).reshape(n, program.inputs).T)
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
        self.starts = [0, *accumulate(widths)]
        self.constants = program.constants
        self.xp = xp

    def read(self, addresses: list[int]) -> Read:
        """What gives the array of shape (addresses, rows): a view of a block where it can be."""
        xp, starts = self.xp, self.starts
        found = [bisect_right(starts, address) - 1 for address in addresses]
        touched = sorted(set(found))
        offsets, size = {}, 0
        for block in touched:
            offsets[block] = size - starts[block]
            size += starts[block + 1] - starts[block]
        indices = [offsets[block] + address for block, address in zip(found, addresses, strict=True)]
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        regular = step > 0 and indices == list(range(indices[0], indices[0] + step * len(indices), step))
        index: Any = slice(indices[0], indices[-1] + 1, step) if regular else np.array(indices)

        def joined(blocks: Blocks) -> Array:
            parts = [blocks[block] for block in touched]
            rows = max([part.shape[1] for part in parts])
            return xp.concatenate([xp.broadcast_to(part, (part.shape[0], rows)) for part in parts])[index]

        (only,) = touched if len(touched) == 1 else (None,)
        return joined if only is None else lambda blocks: blocks[only][index]

    def operand(self, instruction: Instruction, n: int) -> Read:
        """What gives operand `n` in the shape (J, I, K, rows), or (J, I, rows) if it is not reduced."""
        shape, operand = instruction.points(n), instruction.operands[n]
        if isinstance(operand, Strided):  # 1 for J or I where it does not depend on them
            shape = (shape[0] if operand.outer else 1, shape[1] if operand.inner else 1, shape[2])
        read = self.read(list(instruction._replace(shape=shape).addresses(n)))
        axes = (*shape, -1) if n and instruction.op in REDUCTIONS else (*shape[:2], -1)
        return lambda blocks: read(blocks).reshape(axes)

    def operands(self, instruction: Instruction) -> tuple[Read | None, list[Read]]:
        """What a sum starts from, None if that is nothing, and what it adds up; or None and the operands."""
        reads = [self.operand(instruction, n) for n in range(len(instruction.operands))]
        if instruction.op not in REDUCTIONS:
            return None, reads
        starts = {repr(self.constants[n : n + 1]) for n in instruction.addresses(0)}
        nothing = starts == {"(-0.0,)"}
        return None if nothing else reads[0], reads[1:]

    def block(self, instruction: Instruction) -> Read:
        """What gives the block that `instruction` computes."""
        op, _, (J, I, _), _ = instruction  # noqa: E741
        compute = FUNCTIONS.get(op) or _vectorized(op, self.xp)
        init, reads = self.operands(instruction)
        xp = self.xp

        def block(blocks: Blocks) -> Array:
            z = compute(xp, *[read(blocks) for read in reads])
            if init is not None:
                z = z + init(blocks)
            if z.shape[0] != J or z.shape[1] != I:
                z = xp.broadcast_to(z, (J, I, z.shape[2]))
            return z.reshape(J * I, -1)

        return block

    def total(self, instruction: Instruction) -> Callable[[Blocks, int], Array]:
        """What gives the sums, over `n` rows, of what `instruction` computes."""
        block = self.block(instruction)

        def added(blocks: Blocks, n: int) -> Array:
            z = block(blocks)
            return z.sum(1) if z.shape[1] == n else z[:, 0] * n

        init, reads = self.operands(instruction)
        if init is not None or instruction.op not in (p.dot, p.mul):
            return added
        x, y = reads

        def matrix_product(blocks: Blocks, n: int) -> Array:
            """x of shape (J, 1, K, n) and y of (1, I, K, n), or the other way round, or both without K."""
            a, b = x(blocks), y(blocks)
            if not a.shape[-1] == b.shape[-1] == n:
                return added(blocks, n)
            if a.shape[0] == b.shape[1] == 1:
                a, b = b, a
            elif a.shape[1] != 1 or b.shape[0] != 1:
                return added(blocks, n)
            return (a.reshape(a.shape[0], -1) @ b.reshape(b.shape[1], -1).T).reshape(-1)

        return matrix_product


def _dot(xp: Any, x: Array, y: Array) -> Array:
    """The sum of x * y over K, of shape (J, I, rows): a matrix product where x is a matrix that all rows share."""
    if x.shape[3] == 1:
        if y.shape[1] == 1:
            return x[..., 0] @ y[:, 0]
        if y.shape[0] == 1:
            return (x[..., 0].swapaxes(0, 1) @ y[0]).swapaxes(0, 1)
    return (x * y).sum(2)


def _vectorized(op: Primitive, xp: Any) -> Callable[..., Array]:
    """A primitive of the user's own, number by number."""
    if xp is not np:
        raise UnknownPrimitiveError(f"{xp.__name__} has no primitive {op.name!r}: use the python or the numpy backend")
    compute = np.vectorize(op.compute, otypes=[float])
    return lambda _, *args: compute(*args)


def _pow(xp: Any, x: Array, y: Array) -> Array:
    y = y + xp.zeros_like(x)  # where all exponents are one 0.5, NumPy takes the square root: nan at -inf
    return xp.power(x, y) if hasattr(xp, "power") else xp.pow(x, y)


def _softplus(xp: Any, x: Array) -> Array:
    return xp.where(x <= 0, 0.0, x) + xp.log1p(xp.exp(-abs(x)))


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
    return xp.where(c != 0, x, y)


# The numbers of the table's primitives from arrays of numbers, as ieee.py has them for floats.
# fmt: off
FUNCTIONS: dict[Primitive, Callable[..., Array]] = {
    p.sum_: lambda xp, x: x.sum(2),         p.dot: _dot,
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
    p.softplus: _softplus,                  p.relu: lambda xp, x: xp.where(x <= 0, 0.0, x),
    p.step: lambda xp, x: xp.where(x <= 0, 0.0, xp.ones_like(x)),
    p.sign: lambda xp, x: xp.where(x > 0, 1.0, xp.where(x < 0, -1.0, x)),
    p.maximum: _maximum,                    p.minimum: _minimum,
    p.share: _share,                        p.where: _where,
}
# fmt: on
