"""Tracing: run scalar code on Symbols, Values without a number, and record its operations as a graph.

Where the C core was built, its `Numbered` and `Operations` (_core_trace.h) replace the ones below: they record the same
graph faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, NoReturn, Self, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.calls import Call
from autograd_lite.compiler.errors import CompileError
from autograd_lite.compiler.rewrite import RULES, Simpler, rewrite
from autograd_lite.debugging.callsite import call_site
from autograd_lite.extension import adopt, core
from autograd_lite.graph import topological_order
from autograd_lite.primitives import Primitive
from autograd_lite.recording import Wrapper
from autograd_lite.value import Recorder, Value, active_recorder, node_of


class TraceError(CompileError, TypeError):
    """Code under `jit` asked a traced Value for its number, or returned something that cannot be compiled."""


Operand: TypeAlias = Any  # a Symbol, or a float, which is a constant of the program


class Numbered(Value):
    """The fields of a Symbol.

    `index` counts the Symbols of a trace in the order in which they were made. `row` is True if the number depends on
    the row of the batch: inputs do, captured Values do not.
    """

    __slots__ = ("index", "row")
    index: int
    row: bool


class Operations:
    """The operations that a trace has recorded, each of them once: recording one again gives the same Symbol."""

    made: int  # the index of the newest Symbol

    def __init__(self) -> None:
        self.made = 0
        self._known: dict[tuple[Any, ...], Symbol] = {}
        self._set_aside: list[dict[tuple[Any, ...], Symbol]] = []

    def record(self, op: Primitive, args: Sequence[Any]) -> Value:
        """The Symbol for `op` on `args`, Values of any kind and floats; a Constant if its number is known."""
        kinds = Symbol, float
        z: Operand = self.make(op, tuple([x if type(x) in kinds else self.operand(x) for x in args]))
        return self.constant(z) if type(z) is float else z

    def make(self, op: Primitive, args: Sequence[Operand]) -> Operand:
        """The operand for `op` on `args`, simplified; the existing Symbol if this operation was recorded before."""
        simpler = rewrite(op, args)
        if simpler is not None:
            return self.settled(simpler)
        if op.commutative:
            args = ordered(*args)
        key: tuple[Any, ...] = op, *args
        for x in args:
            if type(x) is float and (not x or x != x):  # 0.0 == -0.0, and nan != nan
                key = op, *map(_key, args)
                break
        z = self._known.get(key)
        if z is None:
            z = self._known[key] = self.new(op, args)
        return z

    def new(self, op: Primitive, args: Sequence[Operand]) -> Symbol:
        """A new Symbol for `op` on `args`, which `make` will not give to others."""
        z = node_of(op, tuple(args), None, Symbol)
        z.row = any(x.row for x in args if type(x) is not float)
        z.index = self.made = self.made + 1
        return z

    @contextmanager
    def anew(self) -> Iterator[None]:
        """While this is open, an operation that was recorded before gets a new Symbol."""
        self.set_aside()
        try:
            yield
        finally:
            self.take_back()

    def set_aside(self) -> None:
        """Set the known operations aside, and begin with none."""
        self._set_aside.append(self._known)
        self._known = {}

    def take_back(self) -> None:
        """Forget the known operations, and restore those that were set aside last."""
        self._known = self._set_aside.pop()

    def settled(self, simpler: Simpler) -> Operand:
        """The operand for the answer of a rewriting rule: the answer, or what `make` returns for it if it is a pair."""
        if type(simpler) is not tuple:
            return simpler
        op, args = simpler
        return self.make(op, tuple([self.settled(x) for x in args]))

    def operand(self, x: Any) -> Operand:
        """The operand for `x` in the graph: a Symbol, or a float if `x` is constant."""
        raise NotImplementedError

    def constant(self, x: float) -> Constant:
        """A Symbol for the number `x`."""
        raise NotImplementedError


if core is not None:
    adopt(globals(), "Numbered", "Operations")


def _refusing(remedy: str) -> Callable[..., NoReturn]:
    """A method that raises a TraceError with this remedy, as it needs the number of a traced Value."""

    def method(self: Symbol, *_: Any) -> NoReturn:
        if not active_recorder().symbolic:
            raise TraceError(
                f"{call_site()} uses a traced Value that left its jitted function and has no number: return it from "
                "the function, in place of keeping it in a list, an attribute or a global"
            )
        raise TraceError(
            f"{call_site()} needs the number of a traced Value, and there is none, as the function is compiled once "
            f"for all numbers: {remedy}"
        )

    return method


class Symbol(Numbered):
    """A Value that stands for any number."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """A leaf that has no number."""
        return node_of(None, (), None, cls)

    def __init__(self, trace: Trace, row: bool, label: str = "") -> None:
        self.label = label
        self.row = row
        self.index = trace.made = trace.made + 1

    _data = _refusing("in place of .data use .detach()")
    data = property(_data, _data)
    backward = _refusing("in place of backward() and .grad use autograd_lite.grad or gradients")
    grad = property(backward, backward)
    __bool__ = _refusing(
        "in place of a branch use where(x < 3, y, z), cond, relu, maximum, minimum or abs, and in place of `and` and "
        "`or` use & and |; a flag stays a plain number if functools.partial binds it before jit"
    )
    __float__ = __int__ = _refusing("leave out float() and int(), and in place of math's functions use autograd_lite's")
    __index__ = _refusing(
        "choose by where(x < 3, y, z); an index or a count stays an int if functools.partial binds it before jit"
    )
    _compare = _refusing("in place of == and != compare by <, <=, > or >=, in where(x < 3, y, z) or cond")

    def __eq__(self, other: object) -> bool:
        if other is not self and isinstance(other, Real):
            self._compare()
        return other is self

    __hash__ = Value.__hash__

    def __and__(self, other: Any) -> Any:
        """1.0 where both of two comparisons hold, else 0.0: what `&` of two bools is in eager code."""
        return p.where(self, _flat(other), 0.0) if _is_condition(self) and _is_condition(other) else NotImplemented

    def __or__(self, other: Any) -> Any:
        """1.0 where one of two comparisons holds, or both, else 0.0."""
        return p.where(self, 1.0, _flat(other)) if _is_condition(self) and _is_condition(other) else NotImplemented

    __rand__, __ror__ = __and__, __or__

    def __repr__(self) -> str:
        return f"Symbol({self.label or self.index}{f', {self.op}' if self.op else ''})"

    def __reduce__(self) -> NoReturn:
        raise TraceError("a traced Value cannot be copied or pickled: it exists only while its function is traced")


class Constant(Symbol):
    """A Symbol for the constant `number`: the result that traced code gets of an operation on constants."""

    __slots__ = ("number",)

    def __init__(self, trace: Trace, number: float) -> None:
        super().__init__(trace, row=False)
        self.number = number


def _is_condition(x: Any) -> bool:
    """True if `x` can only be 0 or 1, as a comparison, a bool, and what `&` and `|` make of them."""
    if isinstance(x, Constant):
        x = x.number
    if isinstance(x, Symbol):
        return x.op is p.where and all(map(_is_condition, x.args[1:]))
    return isinstance(x, bool | float) and x in (0, 1)


def _flat(condition: Any) -> Any:
    """`condition` as a `where` between two constants, so that `_is_condition` need not look into it."""
    return p.where(condition, 1.0, 0.0)


class Trace(Operations, Recorder):
    """A recorder that builds a graph of Symbols.

    Every ordinary Value that the code uses, leaf or node, is captured: it becomes an argument of the program, its
    number is read at each call, and gradients flow to it. `captured` maps them to their Symbols, in order of first use.
    """

    symbolic = inlines = True

    def __init__(self) -> None:
        Operations.__init__(self)
        Recorder.__init__(self)
        self.captured: dict[Value, Symbol] = {}

    def detach(self, x: Value) -> Value:
        """A Symbol with the number of `x`, through which no gradient flows."""
        return self.record(p.detach, (x,))

    def fresh(self, x: Any) -> Symbol:
        """A new Symbol equal to `x`, which nothing else uses: an input of a derivative inside the trace."""
        return self.new(p.sum_, (self.operand(x),))

    def constant(self, x: float) -> Constant:
        """A Constant, so that the number stays part of the program."""
        return Constant(self, x)

    def symbol_for(self, x: Value) -> Symbol:
        """The Symbol for `x`, to differentiate it or by it.

        A TraceError if the code also uses a captured node made from `x`: its graph is not part of the trace.
        """
        if isinstance(x, Symbol):
            return x
        if any(x is not value and x in topological_order(value) for value in self.captured if value.op is not None):
            raise TraceError(
                f"{call_site()} differentiates by {x!r}, and uses a Value that was computed from it outside the jitted "
                "function, where the trace has no graph of it: compute it inside the function"
            )
        symbol: Symbol = self.operand(x)
        return symbol

    def operand(self, x: Any) -> Operand:
        """The operand for `x` in the graph: a Symbol, or a float if `x` is constant."""
        if isinstance(x, Symbol):
            return x.number if isinstance(x, Constant) else x
        if not isinstance(x, Value):
            return p.to_float(x, "jit")
        symbol = self.captured.get(x)
        if symbol is None:
            symbol = self.captured[x] = Symbol(self, row=False, label=x.label)
        return symbol


def order_of(operands: Iterable[Operand]) -> list[Any]:
    """The topological order of the graph of `operands`, Symbols and floats."""
    return topological_order(*[x for x in operands if type(x) is not float])


def ordered(x: Operand, y: Operand) -> tuple[Operand, Operand]:
    """The two in canonical order: floats, then shared Symbols, then Symbols of a row, each in order of creation."""
    return (y, x) if _rank(y) < _rank(x) else (x, y)


def _key(x: Operand) -> Any:
    """A key that tells 0.0 from -0.0, and not one nan from another."""
    return repr(x) if type(x) is float else x


def _rank(x: Operand) -> int:
    """The place of `x` in the canonical order: see `ordered`."""
    return 0 if type(x) is float else x.index + (x.row << 60)


def trace_of(recorder: Recorder) -> Trace:
    """The trace that `recorder` records into: itself, or the one that it wraps."""
    while not isinstance(recorder, Trace):
        assert isinstance(recorder, Wrapper), "a symbolic recorder is a trace, or wraps one"
        recorder = recorder.outer
    return recorder


if core is not None:
    core.connect_trace(Symbol, Trace, Call, RULES)
