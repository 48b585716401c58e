"""Value: a number that remembers how it was made. Its operators record a graph; `backward` differentiates it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NoReturn

from autograd_lite import primitives as p
from autograd_lite.graph import slots, topological_order
from autograd_lite.ieee import to_float
from autograd_lite.primitives import Primitive
from autograd_lite.recording import constant, in_force, installed


def new_node(op: Primitive, args: tuple[Any, ...], numbers: Sequence[Any] = ()) -> Value:
    """The Value of `op` on `args`, each a Value or a float, whose `numbers` may be at hand already."""
    z: Value = Value.__new__(Value)
    z.data = op.compute(*(numbers or [x if type(x) is float else x.data for x in args]))
    z.grad = 0.0
    z.op = op
    z._x, z._y = args if len(args) == 2 else slots(args)
    z.label = ""
    return z


def new_leaf(op: Primitive, args: tuple[Any, ...], numbers: Sequence[Any] = ()) -> Value:
    """The same without its history: the recorder of `no_grad` where there is no other, so that operators know it."""
    return Value(op.compute(*(numbers or [x if type(x) is float else x.data for x in args])))


def _operator(op: Primitive, const: Primitive | None = None) -> Any:
    """A binary operator and its reflection. `const` takes the place of `op` where the right operand is a number."""
    compute, new, op_const = op.compute, object.__new__, const or op

    def forward(x: Value, y: Any) -> Any:
        kind = type(y)
        recorder = in_force() if installed else None
        if (recorder is not None and recorder is not new_leaf) or (kind is not Value and kind is not float):
            if kind is int:
                return forward(x, to_float(y, op.name))
            return x.record(op if hasattr(y, "record") else op_const, (x, y)) if _is_operand(y) else NotImplemented
        z = new(Value)
        z.data = compute(x.data, y.data if kind is Value else y)
        z.grad = 0.0
        z.label = ""
        if recorder is None:
            z.op, z._x, z._y = op if kind is Value else op_const, x, y
        else:
            z.op, z._x, z._y = None, (), None
        return z

    def reflected(y: Value, x: Any) -> Any:
        if op is p.add and type(x) is int and x == 0:  # where Python's own sum() starts
            return y
        return y.record(op, (x, y)) if _is_operand(x) else NotImplemented

    return forward, reflected


def _is_operand(x: Any) -> bool:
    return type(x) is float or hasattr(x, "record") or isinstance(x, Real)


def _method(op: Primitive) -> Callable[[Value], Value]:
    def method(x: Value) -> Value:
        return x.record(op, (x,))

    method.__doc__ = f"`{op.name}` of this Value, recorded."
    return method


def _comparison(compare: Callable[[float, float], bool]) -> Callable[[Value, Any], bool]:
    def method(x: Value, y: Any) -> bool:
        if installed and (fresh := getattr(in_force(), "fresh", None)):
            x = fresh(x)  # in a trace: it has no number to compare
        return compare(x.data, y.data if isinstance(y, Value) else y) if _is_operand(y) else NotImplemented

    return method


class Value:
    """A real number, its gradient, and how it was made.

    `data` is the number, and may be assigned; `grad` is what `backward` found; `op` is the primitive that made it, None
    for a leaf; `args` are what it was made from, Values and plain floats; `label` names it in errors and pictures.
    """

    __slots__ = ("_x", "_y", "data", "grad", "label", "op")  # see graph.py for _x and _y

    def __init__(self, data: float, label: str = "") -> None:
        """A leaf that holds `float(data)`; a TypeError if `data` is not a real number."""
        self.data = data if type(data) is float else to_float(data, "Value")
        self.grad = 0.0
        self.op: Primitive | None = None
        self._x: Any = ()
        self._y: Any = None
        self.label = label

    @property
    def args(self) -> tuple[Any, ...]:
        """What this was made from: a tuple of Values and floats, empty for a leaf."""
        return (self._x, self._y) if self._y is not None else self._x if type(self._x) is tuple else (self._x,)

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        """`op` on `args`, Values and real numbers: a new node, or what the recorder in force makes of it."""
        record: Callable[..., Value] = (in_force() or new_node) if installed else new_node
        quick = record is new_node or record is new_leaf
        if quick and len(args) == 1:
            return record(op, args, (self.data,))
        numbers = [x.data if type(x) is Value else x if type(x) is float else None for x in args]
        if None in numbers:
            args, numbers = tuple([x if isinstance(x, Value) else to_float(x, op.name) for x in args]), []
        return record(op, args, numbers) if quick else record(op, args)

    def detach(self) -> Value:
        """The same number without its history: a new leaf."""
        recorder = in_force() if installed else None
        return constant(Value(self.data)) if not recorder or recorder is new_leaf else recorder(p.detach, (self,))

    def backward(self) -> None:
        """Add d(self)/d(leaf) to the `grad` of every leaf under `self`; set the `grad` of every node between."""
        order = topological_order(self)
        before = [(leaf, leaf.grad) for leaf in order if leaf.op is None]
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        try:
            _sweep(order)
        except BaseException:  # a rule of the user's, Ctrl-C: the leaves are as they were
            for leaf, grad in before:
                leaf.grad = grad
            raise
        for leaf, grad in before:
            leaf.grad += grad
        if watch := getattr(in_force(), "watch_backward", None):
            watch(order)

    # fmt: off
    __add__, __radd__         = _operator(p.add)
    __sub__, __rsub__         = _operator(p.sub)
    __mul__, __rmul__         = _operator(p.mul)
    __truediv__, __rtruediv__ = _operator(p.div)
    __pow__, __rpow__         = _operator(p.pow_, const=p.pow_const)
    __neg__, __abs__          = map(_method, (p.neg, p.abs_))
    __lt__, __le__, __gt__, __ge__ = map(_comparison, (operator.lt, operator.le, operator.gt, operator.ge))
    exp, log, log1p, expm1, sqrt   = map(_method, (p.exp, p.log, p.log1p, p.expm1, p.sqrt))
    sin, cos, tan, asin, acos, atan  = map(_method, (p.sin, p.cos, p.tan, p.asin, p.acos, p.atan))
    arcsin, arccos, arctan           = asin, acos, atan  # what NumPy's functions of those names call
    sinh, cosh, tanh                 = map(_method, (p.sinh, p.cosh, p.tanh))
    sigmoid, softplus, relu          = map(_method, (p.sigmoid, p.softplus, p.relu))
    # fmt: on

    def __pos__(self) -> Value:
        return self

    def __float__(self) -> NoReturn:
        raise TypeError("float(Value) would drop the gradient: use .data for it, or autograd_lite.exp for math.exp")

    __int__ = __index__ = __float__

    def __bool__(self) -> NoReturn:
        raise TypeError("a Value is neither true nor false: compare it with a number (v > 0), or use v.data or where()")

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else str(self)

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad}{f', label={self.label!r}' if self.label else ''})"


def _sweep(order: list[Value]) -> None:
    """The chain rule: from the last node to the first, add `grad` times each partial to the argument's `grad`."""
    for node in reversed(order):
        x, y, op, g = node._x, node._y, node.op, node.grad
        if op is None:
            continue
        if type(x) is tuple or (op.selects and y is not None):
            if g == 0.0 and op is p.dot and node.data - node.data == 0.0:
                continue  # what makes a finite dot product is finite, and 0 times that adds nothing
            args = node.args
            partials = op.partials(node.data, *[x if type(x) is float else x.data for x in args])
            for x, dx in zip(args, partials, strict=True):
                if dx is not None and type(x) is not float and (dx or not op.selects):
                    x.grad += g * dx
            continue
        # The same, written out for one argument and for two: most nodes are such, and it takes half the time.
        if y is None:
            (dx,) = op.partials(node.data, x.data)
            dx, dy = (dx or None) if op.selects else dx, None
        elif type(x) is float:
            dx, dy = None, op.partials(node.data, x, y.data)[1]
        elif type(y) is float:
            dx, dy = op.partials(node.data, x.data, y)[0], None
        else:
            dx, dy = op.partials(node.data, x.data, y.data)
        if dx is not None:
            x.grad += g * dx
        if dy is not None:
            y.grad += g * dy
