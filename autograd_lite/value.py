"""Value: a number that remembers how it was made. Operators record a graph; `backward` differentiates it."""

from __future__ import annotations

import operator
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from numbers import Real
from threading import RLock
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from autograd_lite import primitives as p
from autograd_lite.extension import adopt, core
from autograd_lite.graph import slots, topological_order
from autograd_lite.ieee import pow as ieee_pow
from autograd_lite.ieee import to_float
from autograd_lite.primitives import Primitive, Result

if TYPE_CHECKING:
    from autograd_lite.signatures import Operators  # what type checkers and editors see of the operators
else:
    Operators = object

T = TypeVar("T")
N = TypeVar("N", bound="Value")


class Recorder:
    """Turns operations into nodes of a graph. This base class records eagerly: every operation makes a new Value.

    A subclass changes what an operation makes (a trace: Symbols) or watches it (anomaly detection). `recording_with`
    makes a recorder the active one of a thread.
    """

    symbolic = False  # True: the recorder's Values stand for any number and have none of their own
    inlines = False  # True: jitted functions and inner derivatives are recorded operation by operation
    watches = False  # True: `check` and the `watch_...` methods look for a nan or an infinity

    def __init__(self, keeps_history: bool = True) -> None:
        self.keeps_history = keeps_history  # False: every result is a leaf, as under `no_grad`

    @property
    def with_history(self) -> Recorder:
        """The active recorder where a derivative lifts `no_grad`: this one if it keeps the history, else EAGER."""
        return self if self.keeps_history else EAGER

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        """The Value of `op` on `args`, which are Values and floats."""
        return (new_node if self.keeps_history else new_leaf)(op, args)

    def detach(self, x: Value) -> Value:
        """A leaf with the number of `x`, through which no gradient flows."""
        return constant(Value(x.data))

    def fresh(self, x: Any) -> Value:
        """A new node equal to `x`, a Value or a float, that nothing else uses yet."""
        return p.sum_(x) if isinstance(x, Value) else Value(x)

    def constant(self, x: float) -> Value:
        """A leaf for the number `x` that the enclosing derivative treats as constant."""
        return constant(Value(x))

    def symbol_for(self, x: Value) -> Value:
        """The node that stands for `x` in this recorder's graph: `x` itself, unless the recorder is a trace."""
        return x

    def check(self, op: Primitive, args: tuple[Any, ...], z: Any) -> None:
        """Raise an error if the number of `z`, the result of `op` on `args`, is one that this recorder looks for."""

    def watch_backward(self, order: list[Value]) -> None:
        """Called after `backward` swept over `order`."""

    def watch_pull_back(
        self, order: list[Value], active: set[Value], ys: Sequence[Any], cotangents: Sequence[Any]
    ) -> None:
        """Called before a reverse sweep over the `active` nodes of `order`, from `ys` with their cotangents."""

    def watch_push_forward(self, order: list[Value], xs: Sequence[Value], tangents: Sequence[Any]) -> None:
        """Called before a forward sweep over `order`, from `xs` with their tangents."""


EAGER = Recorder()  # active unless another recorder was opened
LEAVES = Recorder(keeps_history=False)  # what `no_grad` opens over EAGER
active: ContextVar[Recorder] = ContextVar("the active recorder of this thread", default=EAGER)
active_recorder = active.get
opened: list[Recorder] = []  # an item for each recorder open in any thread; if it is empty, EAGER is active everywhere
sweeping = RLock()  # held during a backward, so that threads with leaves in common lose no gradient
constants: ContextVar[set[Any] | None] = ContextVar("the constant leaves of a derivative", default=None)


# micrograd's names of operations that have another name in the table; see Value._op.
MICROGRAD_NAMES = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "relu": "ReLU"}


def constant(leaf: T) -> T:
    """Mark `leaf` as constant for the enclosing derivative, if there is one, and return it."""
    known = constants.get()
    if known is not None:
        known.add(leaf)
    return leaf


@overload
def node_of(op: Primitive | None, args: tuple[Any, ...], number: float) -> Value: ...
@overload
def node_of(op: Primitive | None, args: tuple[Any, ...], number: float | None, kind: type[N]) -> N: ...
def node_of(op: Primitive | None, args: tuple[Any, ...], number: float | None, kind: Any = None) -> Any:
    """A node for `op` on `args`, Values and floats, whose number is `number`; `op` None and no `args` make a leaf.

    `kind` is the class of the node, Value or a subclass of it; its `__init__` is not called. A `number` of None leaves
    `data` and `grad` unset, for a subclass that has properties in their place.
    """
    z: Any = object.__new__(kind or Value)
    if number is not None:
        z.data = number
        z.grad = 0.0
    z.op = op
    z._x, z._y = args if len(args) == 2 else slots(args)
    z.label = ""
    return z


def leaves_of(numbers: Iterable[float]) -> list[Value]:
    """`Value(number)` for each of the floats `numbers`, in half the time."""
    leaves, new = [], object.__new__
    for number in numbers:
        z = new(Value)
        z.data = number
        z.grad = 0.0
        z.label = ""
        z.op, z._x, z._y = None, (), None
        leaves.append(z)
    return leaves


def numbers_of(xs: Sequence[Any]) -> list[float] | None:
    """The numbers of `xs`, Values and floats, as a list; None if `xs` holds anything else.

    It may be None, too, if there are Values of a subclass.
    """
    if xs and type(xs[0]) is Value:  # then most often all are Values
        try:
            return [x.data for x in xs if x._x is not None]  # only a Value has an _x
        except AttributeError:
            pass
    numbers: list[Any] = [x.data if type(x) is Value else x if type(x) is float else None for x in xs]
    return None if None in numbers else numbers


def copy_fields(xs: Sequence[Any], field: str, buffer: Any, store: bool) -> None:
    """Copy the `field`, "data" or "grad", of each of the Values `xs` into `buffer`, an array of doubles.

    With `store`, copy from `buffer` into the Values.

    A ValueError if the buffer does not hold one float for each Value.
    """
    if len(buffer) != len(xs):
        raise ValueError("copy_fields takes a buffer of as many doubles as there are Values")
    if store and field == "grad":
        for x, number in zip(xs, buffer, strict=True):
            x.grad = number
    elif store:
        for x, number in zip(xs, buffer, strict=True):
            x.data = number
    else:
        for i, x in enumerate(xs):
            buffer[i] = getattr(x, field)


def zero_grads(parameters: Sequence[Value]) -> None:
    """Set the gradient of each of `parameters`, Values, to 0. A TypeError if `parameters` is not a list of
    Values.

    >>> a = Value(2.0)
    >>> (a * a).backward()
    >>> zero_grads([a])
    >>> a.grad
    0.0
    """
    if not isinstance(parameters, Sequence):
        raise TypeError(f"zero_grads takes a list of Values, got {type(parameters).__name__}")
    try:
        copy_fields(parameters, "grad", array("d", bytes(8 * len(parameters))), True)
    except AttributeError:
        wrong = next(x for x in parameters if not isinstance(x, Value))
        raise TypeError(f"zero_grads takes a list of Values, got {type(wrong).__name__} in it") from None


def new_node(op: Primitive, args: tuple[Any, ...], numbers: Sequence[Any] = ()) -> Value:
    """A node for `op` on `args`, Values and floats. `numbers` are their numbers, if the caller has them already."""
    z = object.__new__(Value)
    z.data = op.compute(*(numbers or [x if type(x) is float else x.data for x in args]))
    z.grad = 0.0
    z.op = op
    z._x, z._y = args if len(args) == 2 else slots(args)
    z.label = ""
    return z


def new_leaf(op: Primitive, args: tuple[Any, ...], numbers: Sequence[Any] = ()) -> Value:
    """A leaf with the number of `op` on `args`: a node without its history."""
    return Value(op.compute(*(numbers or [x if type(x) is float else x.data for x in args])))


def _operator(op: Primitive, const: Primitive | None = None) -> Any:
    """The method of a binary operator and that of its reflection.

    `const` is the primitive that is recorded if the right operand is a number.
    The common case, two Values or a Value and a float, is written out: it takes half the time of `record`.
    """
    compute, new, op_const = op.compute, object.__new__, const or op

    def forward(x: Value, y: Any) -> Any:
        kind = type(y)
        recorder = active_recorder() if opened else EAGER
        if (recorder is not EAGER and recorder is not LEAVES) or (kind is not Value and kind is not float):
            return forward(x, to_float(y, op.name)) if kind is int else operate(op, op_const, x, y)
        z = new(Value)
        z.data = compute(x.data, y.data if kind is Value else y)
        z.grad = 0.0
        z.label = ""
        if recorder is EAGER:
            z.op, z._x, z._y = op if kind is Value else op_const, x, y
        else:
            z.op, z._x, z._y = None, (), None
        return z

    return forward, lambda y, x: reflect(op, y, x)


def operate(op: Primitive, op_const: Primitive, x: Value, y: Any) -> Any:
    """`x op y` for any recorder; NotImplemented if `y` is neither a Value nor a real number."""
    _check_factor(op, y)
    return x.record(op if hasattr(y, "record") else op_const, (x, y)) if _is_operand(y) else NotImplemented


def reflect(op: Primitive, y: Value, x: Any) -> Any:
    """`x op y` for an `x` that is not a Value; NotImplemented if `x` is not a real number. 0 + y is `y` itself."""
    if op is p.add and type(x) is int and x == 0:  # Python's own sum() starts with 0 + y
        return y
    _check_factor(op, x)
    return y.record(op, (x, y)) if _is_operand(x) else NotImplemented


def _check_factor(op: Primitive, x: Any) -> None:
    """A TypeError if `x` is a sequence in a product: Python would try to repeat it `__index__` times."""
    if op is p.mul and isinstance(x, str | bytes | list | tuple):
        to_float(x, op.name)


def _is_operand(x: Any) -> bool:
    return type(x) is float or hasattr(x, "record") or isinstance(x, Real)


def _method(op: Primitive) -> Callable[[Value], Value]:
    def method(self: Value) -> Value:
        return self.record(op, (self,))

    method.op = op  # type: ignore[attr-defined]
    method.__name__, method.__qualname__ = op.name, f"Value.{op.name}"
    method.__doc__ = f"The Value of `{op.name}`: {op.__doc__}"
    return method


def _comparison(compare: Callable[[float, float], bool], traced: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The method for a comparison, which returns a bool.

    In a trace, where Values have no numbers, it returns the node that `traced` records, and an int is rounded to a
    float first, as for every operation. Outside a trace Python compares a float and an int exactly.
    """

    def method(x: Value, y: Any) -> Any:
        if not _is_operand(y):
            return NotImplemented
        if opened and active_recorder().symbolic:
            return traced(x, y)
        return compare(x.data, y.data if isinstance(y, Value) else y)

    return method


def _less(x: Any, y: Any) -> Any:
    """1.0 if x < y, else 0.0. share(x, y) is 0 for x < y, 1/2 for x = y, and else 1, also where either is nan."""
    return p.where(p.share(x, y), 0.0, 1.0)


def _not_above(x: Any, y: Any) -> Any:
    """1.0 if x <= y, else 0.0."""
    return p.where(p.share(x, y) - 1.0, 1.0, 0.0)


class Value(Operators):
    """A real number, its gradient, and how it was made.

    `data` is the number, and may be assigned; `grad` is what `backward` found; `op` is the primitive that made it, None
    for a leaf; `args` are what it was made from, Values and plain floats; `label` names it in errors and pictures.

    `a < b` and the like compare the numbers. `a == b` is True for the same object only, so that Values can be keys of
    dicts: to compare the numbers write `a.data == b.data`.

    >>> a = Value(3.0, label="a")
    >>> y = a * a + 1.0
    >>> y.backward()
    >>> y.data, a.grad
    (10.0, 6.0)
    """

    __slots__ = ("_x", "_y", "data", "grad", "label", "op")  # see graph.py for _x and _y
    _notes: tuple[str, ...] = ()  # the attributes of a subclass that every copy of a graph keeps, where they are set

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
        """The arguments that this was computed from: a tuple of Values and floats, empty for a leaf."""
        return (self._x, self._y) if self._y is not None else self._x if type(self._x) is tuple else (self._x,)

    @property
    def _prev(self) -> tuple[Value, ...]:
        """The Values among `args`, each once. Code written for micrograd walks a graph by this attribute."""
        return tuple(dict.fromkeys([x for x in self.args if isinstance(x, Value)]))

    @property
    def _op(self) -> str:
        """The operation as micrograd writes it: "+", "*", "**2", "ReLU", "tanh"; "" for a leaf."""
        if self.op is None:
            return ""
        if self.op is p.pow_const:
            return f"**{self.args[1]:g}"
        return MICROGRAD_NAMES.get(self.op.name, self.op.name)

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        """Record `op` on `args`, Values and real numbers, with the active recorder, and return the result."""
        recorder = active_recorder() if opened else EAGER
        make = new_node if recorder is EAGER else new_leaf if recorder is LEAVES else None
        if make and len(args) == 1:
            return make(op, args, (self.data,))
        numbers = [x.data if type(x) is Value else x if type(x) is float else None for x in args]
        if None in numbers:
            args, numbers = tuple([x if isinstance(x, Value) else to_float(x, op.name) for x in args]), []
        return make(op, args, numbers) if make else recorder.record(op, args)

    def detach(self) -> Value:
        """A new leaf with the same number and no history: no gradient flows through it."""
        return active_recorder().detach(self)

    def backward(self) -> None:
        """Add d(self)/d(leaf) to the `grad` of each leaf under `self`; set that of each other node, `self` included.

        After an error in a user's rule, or Ctrl-C, every leaf has the gradient that it had before.
        """
        order: list[Value] = topological_order(self)
        with sweeping:
            before = [(leaf, leaf.grad) for leaf in order if leaf.op is None]
            try:
                for node in order:
                    node.grad = 0.0
                self.grad = 1.0
                sweep(order)  # adds the gradients, as `sweep_by_flows` defines
                for leaf, grad in before:
                    leaf.grad += grad
            except BaseException:
                for leaf, grad in before:
                    leaf.grad = grad
                raise
        active_recorder().watch_backward(order)

    # fmt: off
    if not TYPE_CHECKING:
        __add__, __radd__         = _operator(p.add)
        __sub__, __rsub__         = _operator(p.sub)
        __mul__, __rmul__         = _operator(p.mul)
        __truediv__, __rtruediv__ = _operator(p.div)
        __mod__, __rmod__         = _operator(p.mod)
        __floordiv__, __rfloordiv__ = _operator(p.floordiv)
        __pow__, __rpow__         = _operator(p.pow_, const=p.pow_const)
        __neg__, __abs__          = map(_method, (p.neg, p.abs_))
        __floor__, __ceil__       = map(_method, (p.floor, p.ceil))
        __lt__ = _comparison(operator.lt, _less)
        __le__ = _comparison(operator.le, _not_above)
        __gt__ = _comparison(operator.gt, lambda x, y: _less(y, x))
        __ge__ = _comparison(operator.ge, lambda x, y: _not_above(y, x))
    exp, exp2, expm1, erf            = map(_method, (p.exp, p.exp2, p.expm1, p.erf))
    log, log2, log10, log1p          = map(_method, (p.log, p.log2, p.log10, p.log1p))
    sqrt, cbrt                       = map(_method, (p.sqrt, p.cbrt))
    sin, cos, tan                    = map(_method, (p.sin, p.cos, p.tan))
    asin, acos, atan                 = map(_method, (p.asin, p.acos, p.atan))
    sinh, cosh, tanh                 = map(_method, (p.sinh, p.cosh, p.tanh))
    asinh, acosh, atanh              = map(_method, (p.asinh, p.acosh, p.atanh))
    sigmoid, softplus, relu          = map(_method, (p.sigmoid, p.softplus, p.relu))
    floor, ceil, rint                = map(_method, (p.floor, p.ceil, p.round_))
    # NumPy's functions of these names call these methods.
    arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
    # fmt: on

    def atan2(self, x: Value | float) -> Value:
        """The angle of the point (x, self), from -pi to pi."""
        return self.record(p.atan2, (self, x))

    arctan2 = atan2

    def conjugate(self) -> Value:
        """The complex conjugate of a real number: the Value itself. `np.std` and `np.var` call it."""
        return self

    def hypot(self, y: Value | float) -> Value:
        """The length of the vector (self, y), without overflow."""
        return self.record(p.hypot, (self, y))

    def __round__(self, ndigits: int | None = None) -> Value:
        """rint(x * 10**ndigits) / 10**ndigits, as in NumPy, with derivative 0. Python's `round` calls it.

        nan where 10**ndigits is 0 or infinite.
        """
        scale = ieee_pow(10.0, float(ndigits or 0))
        return (self * scale).rint() / scale if ndigits else self.rint()

    def __divmod__(self, other: Any) -> tuple[Value, Value]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Value, Value]:
        return other // self, other % self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy graphs of any depth: as a flat list of rows, in topological order.

        A leaf is saved as an object of its own, so that a model and a loss that are saved together still share their
        parameters afterwards. A node in between is copied once for each root.
        """
        order = topological_order(self)
        index = {node: i for i, node in enumerate(order)}

        def row(node: Value) -> Any:
            if node.op is None and node is not self:
                return node
            args = tuple([x if type(x) is float else index[x] for x in node.args])
            notes = {name: getattr(node, name) for name in node._notes if hasattr(node, name)}
            return node.op, args, node.data, node.grad, node.label, *((type(node), notes) if notes else ())

        return _restored, ([row(node) for node in order], type(self)), getattr(self, "__dict__", None)

    def __pos__(self) -> Value:
        return self

    if not TYPE_CHECKING:  # so that a type checker reports float(v), int(v) and v * "x", too

        def __float__(self) -> NoReturn:
            raise TypeError(
                "a Value does not convert to a float or an int, which would drop the gradient: use .data for the "
                "number, or autograd_lite.exp(v) for math.exp(v)"
            )

        def __index__(self) -> NoReturn:
            raise TypeError("a Value is not an int, and cannot be an index or a count: write int(v.data)")

        __int__ = __float__

        def __bool__(self) -> NoReturn:
            raise TypeError(
                "a Value is neither true nor false: compare it with a number (v > 0), or use v.data or where()"
            )

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else str(self)

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad}{f', label={self.label!r}' if self.label else ''})"


def _restored(rows: list[Any], kind: type[Value]) -> Value:
    """The Value of the last row that `__reduce__` made, an instance of the class `kind`.

    An int among the arguments of a row is the index of a row.
    """
    nodes: list[Value] = []
    last = len(rows) - 1
    for i, row in enumerate(rows):
        if isinstance(row, Value):
            nodes.append(row)
            continue
        op, args, number, grad, label, *noted = row
        own, notes = noted or (Value, {})
        inputs = tuple([nodes[x] if type(x) is int else x for x in args])
        node: Value = node_of(op, inputs, number, kind if i == last else own)
        node.grad, node.label = grad, label
        for name, note in notes.items():
            setattr(node, name, note)
        nodes.append(node)
    return nodes[-1]


def flows(node: Value) -> list[tuple[Value, float]]:
    """The pairs (argument, partial) through which the gradient of `node` reaches its arguments; [] for a leaf.

    The argument's gradient gets the gradient of `node` times that partial: the chain rule. Left out are floats,
    partials of None, and partials of 0 of a selecting primitive. An argument that occurs twice has two pairs.
    """
    if node.op is None:
        return []
    partials = node.op.partials(node.data, *[x if type(x) is float else x.data for x in node.args])
    pairs = zip(node.args, partials, strict=True)
    return [(x, dx) for x, dx in pairs if type(x) is not float and dx is not None and (dx or not node.op.selects)]


class Calls:
    """The jitted calls with several results in a graph, whose nodes have a `Result` as operation.

    Each call is pulled back once, when the sweep has passed all of its results.
    """

    def __init__(self, order: list[Value]) -> None:
        """`order` is a topological order. The caller gives its Result nodes to `pulled`, from the last to the first."""
        self._left = Counter([(node.op.result_of, node.args) for node in order if type(node.op) is Result])
        self._cotangents: dict[Any, list[tuple[int, Any]]] = {}

    def pulled(self, node: Value, cotangent: Any, numbers: bool) -> list[tuple[Any, Any]]:
        """Take the cotangent of the result `node`, None if there is none.

        Return pairs of an argument of the call and its cotangent, if this was the last result, else nothing. The
        cotangents are computed from the arguments' `numbers`, or recorded as nodes.
        """
        op, args = node.op, node.args
        assert isinstance(op, Result)
        key = op.result_of, args
        found = self._cotangents.setdefault(key, [])
        if cotangent is not None:
            found.append((op.index, cotangent))
        self._left[key] -= 1
        if self._left[key] or not found:
            return []
        given = tuple([x if type(x) is float else x.data for x in args]) if numbers else args
        pairs = zip(args, op.result_of.pull(found, given), strict=True)
        return [(x, dx) for x, dx in pairs if type(x) is not float and dx is not None]


def sweep_by_flows(order: list[Value]) -> None:
    """The chain rule: from the last node to the first, add `grad` times each partial to the argument's `grad`.

    This is the definition of what `backward` adds. `sweep`, and the C core, do the same in less time.
    """
    for node in reversed(order):
        for x, dx in flows(node):
            x.grad += node.grad * dx


def sweep(order: list[Value]) -> None:
    """The same gradients as `sweep_by_flows` in a third of the time: most nodes have one argument or two.

    Unlike there, all results of a jitted call are pulled back together.
    """
    calls: Calls | None = None
    for node in reversed(order):
        x, y, op, g = node._x, node._y, node.op, node.grad
        if op is None:
            continue
        if type(op) is Result:
            calls = calls or Calls(order)
            for arg, dx in calls.pulled(node, g, numbers=True):
                arg.grad += dx
            continue
        if type(x) is tuple or (op.selects and y is not None):
            if g == 0.0 and op is p.dot and node.data - node.data == 0.0:
                continue  # the factors of a finite dot product are finite, and 0 times each adds 0
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
            x.grad += g * dx  # pyright: ignore[reportAttributeAccessIssue]
        if dy is not None:
            y.grad += g * dy  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]


# With the C core `Value` is from here on the core's class, whose `backward` is `sweep_nodes` in _core.c. It calls
# Python's for nodes whose class has its own `data` or `grad`, which then sweeps by the definition.
if core is not None:
    python_backward, sweep = Value.backward, sweep_by_flows
    comparisons = Value.__lt__, Value.__le__, Value.__gt__, Value.__ge__
    for name, method in list(vars(Value).items()):
        if hasattr(method, "op"):
            setattr(Value, name, core.method(method.op, method))
    adopt(globals(), "Value", "node_of", "leaves_of", "numbers_of", "copy_fields", "new_node", "new_leaf")
    core.connect(opened, active, EAGER, LEAVES, to_float, operate, reflect, python_backward, *comparisons)
