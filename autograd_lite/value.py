"""Value: a number that remembers how it was made. Its operators record a graph; `backward` differentiates it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from autograd_lite import primitives as p
from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive, to_float

if TYPE_CHECKING:
    from collections.abc import Iterator

Recorder = Callable[[Primitive, tuple[Any, ...]], Any]
_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
_diversions = 0  # how many recorders are installed, in all threads; at 0 operators need not ask
_lock = threading.Lock()


@contextmanager
def recording_with(recorder: Recorder) -> Iterator[None]:
    """While this is open, in this thread, every operation gives `recorder(op, args)` instead of a new node."""
    global _diversions
    with _lock:
        _diversions += 1
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)
        with _lock:
            _diversions -= 1


def new_node(op: Primitive, args: tuple[Any, ...]) -> Value:
    """The Value of `op` on `args`, each a Value or a float, with its number computed."""
    z: Value = Value.__new__(Value)
    z.data = op.compute(*[x if type(x) is float else x.data for x in args])
    z.grad = 0.0
    z.op = op
    z._x, z._y = args if len(args) == 2 else (args, None)
    z.label = ""
    return z


def _operator(op: Primitive, const: Primitive | None = None) -> Any:
    """The methods of a binary operator. `const` takes the place of `op` where the right operand is a number."""
    compute, new, const = op.compute, object.__new__, const or op

    def forward(x: Value, y: Any) -> Any:
        kind = type(y)
        if kind is int:
            y, kind = float(y), float
        if _diversions or (kind is not Value and kind is not float):
            return x.record(op if hasattr(y, "record") else const, (x, y)) if _is_operand(y) else NotImplemented
        z = new(Value)
        if kind is Value:
            z.data = compute(x.data, y.data)
            z.op = op
        else:
            z.data = compute(x.data, y)
            z.op = const
        z.grad = 0.0
        z._x = x
        z._y = y
        z.label = ""
        return z

    def reflected(y: Value, x: Any) -> Any:
        if op is p.add and type(x) is int and x == 0:  # where Python's own sum() starts
            return y
        return y.record(op, (x, y)) if _is_operand(x) else NotImplemented

    return forward, reflected


def _is_operand(x: Any) -> bool:
    return isinstance(x, p.Real) or hasattr(x, "record")


def _method(op: Primitive) -> Callable[[Value], Value]:
    def method(x: Value) -> Value:
        return x.record(op, (x,))

    method.__doc__ = f"`{op.name}(self)`, recorded."
    return method


class Value:
    """A real number, its gradient, and how it was made.

    `data` is the number and may be assigned; `grad` is what `backward` found; `op` is the Primitive that made it, or
    None for a leaf; `args` are what it was made from, Values and plain floats; `label` is a name for pictures.
    """

    # Two arguments sit in the node itself; any other number of them is a tuple in `_x`, and then `_y` is None. A node
    # is then one object to the garbage collector instead of two, which is a third of the time of a training step.
    __slots__ = ("_x", "_y", "data", "grad", "label", "op")

    data: float
    grad: float
    op: Primitive | None

    def __init__(self, data: float, label: str = "") -> None:
        """A leaf that holds `float(data)`; a TypeError if `data` is not a real number."""
        self.data = data if type(data) is float else to_float(data, "Value")
        self.grad = 0.0
        self.op = None
        self._x: Any = ()
        self._y: Any = None
        self.label = label

    @property
    def args(self) -> tuple[Any, ...]:
        return self._x if self._y is None else (self._x, self._y)

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        """`op` on `args`, some of them Values: a new node, or what the recorder in force makes of it."""
        known = (float, type(self))
        args = tuple([x if type(x) in known or isinstance(x, Value) else to_float(x, op.name) for x in args])
        recorder = _recorder.get() if _diversions else None
        return new_node(op, args) if recorder is None else recorder(op, args)

    def backward(self) -> None:
        """Add d(self)/d(leaf) to the `grad` of every leaf under `self`; set the `grad` of every node between."""
        order = topological_order(self)
        before = [(leaf, leaf.grad) for leaf in order if leaf.op is None]
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(order):
            x, y = node._x, node._y
            if y is None or node.op.selects:
                node._pull_back()
                continue
            # What _pull_back does, written out for two arguments: most nodes are such, and a call costs as much again.
            partials = node.op.partials
            if type(x) is float:
                _, dy = partials(node.data, x, y.data)
                if dy is not None:
                    y.grad += node.grad * dy
            elif type(y) is float:
                dx, _ = partials(node.data, x.data, y)
                if dx is not None:
                    x.grad += node.grad * dx
            else:
                dx, dy = partials(node.data, x.data, y.data)
                if dx is not None:
                    x.grad += node.grad * dx
                if dy is not None:
                    y.grad += node.grad * dy
        for leaf, grad in before:
            leaf.grad += grad
        watch = getattr(_recorder.get(), "watch_backward", None) if _diversions else None
        if watch is not None:
            watch(order)

    def _pull_back(self) -> None:
        """Add `self.grad` times each partial to the `grad` of the argument that it belongs to."""
        op, g, args = self.op, self.grad, self.args
        if op is not None:
            numbers = [x if type(x) is float else x.data for x in args]
            for x, dx in zip(args, op.partials(self.data, *numbers), strict=True):
                if type(x) is not float and dx is not None and (dx or not op.selects):
                    x.grad += g * dx

    def detach(self) -> Value:
        """The same number with no history: a new leaf."""
        return self.record(p.detach, (self,)) if _diversions else Value(self.data)

    # fmt: off
    __add__, __radd__         = _operator(p.add)
    __sub__, __rsub__         = _operator(p.sub)
    __mul__, __rmul__         = _operator(p.mul)
    __truediv__, __rtruediv__ = _operator(p.div)
    __pow__, __rpow__         = _operator(p.pow_, const=p.pow_const)
    __neg__ = _method(p.neg)
    __abs__ = _method(p.abs_)
    exp,  log,  log1p, expm1, sqrt = map(_method, (p.exp, p.log, p.log1p, p.expm1, p.sqrt))
    sin,  cos,  tan,  asin, acos, atan = map(_method, (p.sin, p.cos, p.tan, p.asin, p.acos, p.atan))
    sinh, cosh, tanh, sigmoid, softplus, relu = map(_method, (p.sinh, p.cosh, p.tanh, p.sigmoid, p.softplus, p.relu))
    # fmt: on

    def __lt__(self, other: Any) -> bool:
        return bool(self.data < _number(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.data <= _number(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.data > _number(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.data >= _number(other))

    def __float__(self) -> NoReturn:
        raise TypeError(
            "float(Value) would drop the gradient: use .data for the number, or autograd_lite's functions in place "
            "of math's (autograd_lite.exp, not math.exp)"
        )

    __int__ = __index__ = __float__

    def __bool__(self) -> NoReturn:
        raise TypeError("the truth of a Value is ambiguous: compare a number (v > 0, v.data == 1), or use where()")

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else str(self)

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}, grad={self.grad}{label})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A graph is pickled as a flat list of rows, so that depth does not matter; leaves keep their identity.
        order = topological_order(self)
        if self.op is None:
            return _restore, ([(None, (), *self._state())],)
        index = {node: i for i, node in enumerate(order)}
        rows = [
            node
            if node.op is None
            else (node.op, tuple([x if type(x) is float else index[x] for x in node.args]), *node._state())
            for node in order
        ]
        return _restore, (rows,)

    def _state(self) -> tuple[float, float, str]:
        return self.data, self.grad, self.label


def _restore(rows: list[Any]) -> Value:
    """The last of `rows`: leaves as they are, and `(op, args, data, grad, label)` with an int for an earlier row."""
    nodes: list[Value] = []
    for row in rows:
        node = row
        if not isinstance(row, Value):
            node = Value.__new__(Value)
            node.op, args, node.data, node.grad, node.label = row
            args = tuple([nodes[x] if type(x) is int else x for x in args])
            node._x, node._y = args if len(args) == 2 else (args, None)
        nodes.append(node)
    return nodes[-1]
