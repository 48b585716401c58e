"""An optimiser's update rule, compiled. The program updates one parameter; a call runs it on all, as rows."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from inspect import getattr_static
from operator import attrgetter
from types import FunctionType
from typing import Any, Protocol

from autograd_lite.compiler.backends import Backend, find_backends
from autograd_lite.compiler.compiled import Compiled
from autograd_lite.compiler.trace import TraceError
from autograd_lite.functions import sum as sum_
from autograd_lite.ieee import to_float
from autograd_lite.value import Value, copy_fields

_NOTHING = array("d")


class Optimizer(Protocol):
    """The attributes of an optimiser that the compiler reads. Those of `nn` have them.

    `update(p, g, t, *state) -> (p, *state)` is the rule for one parameter, its gradient and the number of the step,
    counted from 1. It is written in operators and this package's functions, so that it can be compiled. `state` has one
    list for each kind of number that the rule remembers, such as the momentum, with one item for each parameter. `lr`
    may change from step to step at no cost; `hyperparameters` names the other attributes that `update` reads: where one
    of them changes, the rule is compiled again.
    """

    parameters: list[Value]
    lr: Any
    steps: int
    state: dict[str, list[float]]

    @property
    def hyperparameters(self) -> Sequence[str]:
        """The names of the attributes that `update` reads, without `lr`."""
        ...

    def update(self, p: Any, g: Any, t: Any, *state: Any) -> tuple[Any, ...]:
        """The parameter and its memory after step number `t`."""
        ...


def compiled_rule(optimizer: Optimizer, *, backend: Any = "auto") -> UpdateRule:
    """The update rule of `optimizer`, compiled. `rule.step(optimizer)` makes the step that `optimizer.step()` makes.

    A CompileError if `update` cannot be compiled: it branches on a number, or it reads an attribute that
    `hyperparameters` does not name.

    >>> import nn
    >>> w = Value(3.0)
    >>> optimizer = nn.SGD([w], lr=0.5)
    >>> w.grad = 4.0
    >>> compiled_rule(optimizer).step(optimizer)
    >>> w.data
    1.0
    """
    check_optimizer("compiled_rule", optimizer)
    return UpdateRule(optimizer, find_backends(backend))


def check_optimizer(what: str, optimizer: Any) -> None:
    """A TypeError that names `what` if `optimizer` is not an optimiser."""
    if not hasattr(optimizer, "update") or not hasattr(optimizer, "hyperparameters"):
        raise TypeError(f"{what} takes an optimizer, such as nn.SGD(parameters), got {type(optimizer).__name__}")


class UpdateRule:
    """A compiled update rule. `step` takes any optimiser, and compiles the rule again for one that it does not fit."""

    def __init__(self, optimizer: Optimizer, backends: list[Backend]) -> None:
        self._backends = backends
        self._per_row, self._t, self._lr = Value(1.0, "per_row"), Value(1.0, "t"), Value(1.0, "lr")
        self._compile(optimizer)

    def fits(self, optimizer: Optimizer) -> bool:
        """True if `optimizer` has the class, the `update` and the hyperparameters that were compiled."""
        return (
            type(optimizer) is self._kind
            and _function(optimizer.update) is self._update
            and bool(self._read(optimizer) == self._settings)
        )

    def step(self, optimizer: Optimizer) -> None:
        """Make one step: change `data` of every parameter by its `grad`, and `state` and `steps` of the optimiser.

        After an error everything is as it was before.
        """
        if not self.fits(optimizer):
            self._compile(optimizer)
        parameters, state = optimizer.parameters, optimizer.state
        numbers, gradients = array("d", bytes(8 * len(parameters))), array("d", bytes(8 * len(parameters)))
        copy_fields(parameters, "data", numbers, False)
        copy_fields(parameters, "grad", gradients, False)
        columns = [array("d", column) for column in state.values()]
        if wrong := [len(column) for column in columns if len(column) != len(numbers)]:
            raise ValueError(
                f"the optimizer has {len(numbers)} parameters and remembers the state of {wrong[0]}: make a new one"
            )
        self(1, optimizer.steps + 1, optimizer.lr, numbers, gradients, *columns)
        copy_fields(parameters, "data", numbers, True)
        optimizer.state = dict(zip(state, [column.tolist() for column in columns], strict=True))
        optimizer.steps += 1

    def __call__(self, n: int, t: int, lr: Any, p: Any, totals: Any, *state: Any) -> None:
        """Make step number `t` in the buffers `p` and `state`; the gradients are `totals` divided by `n`."""
        self._per_row.data, self._t.data, self._lr.data = 1.0 / n, float(t), to_float(lr, "lr")
        settings = array("d", [x.data for x in self._given])
        self._write(len(p), (p, totals, *state), settings, (p, *state), _NOTHING)

    def _compile(self, optimizer: Optimizer) -> None:
        kind, names = type(optimizer), optimizer.hyperparameters
        read: Callable[[Optimizer], Any] = attrgetter("__class__", *names)  # it needs at least one name
        declared = {"update", *names} & vars(optimizer).keys()
        symbolic = _with_declared_attributes(kind, {"lr", *names})
        vars(symbolic).update({name: vars(optimizer)[name] for name in declared})
        wanted = ", ".join(["p", *optimizer.state])

        def update(p: Any, total: Any, *state: Any) -> list[Any]:
            symbolic.lr = sum_([self._lr])  # a Symbol: an `if` on it is an error
            try:
                moved = symbolic.update(p, total * self._per_row, sum_([self._t]), *state)
            except AttributeError as error:
                if error.obj is not symbolic or not hasattr(optimizer, str(error.name)):
                    raise
                raise TraceError(
                    f"{kind.__name__}.update reads self.{error.name}, which {kind.__name__}.hyperparameters does not "
                    "name: add it there, so that a change of it is noticed"
                ) from error
            if not isinstance(moved, tuple | list) or len(moved) != 1 + len(state):
                raise TypeError(f"{kind.__name__}.update should return ({wanted}), and returned {moved}")
            return [x if isinstance(x, Value) else x + 0.0 * self._t for x in moved]  # a float would be no result

        compiled = Compiled(update, ((0.0,) * (2 + len(optimizer.state)), {}), self._backends)
        self._given, self._write = compiled.captured, compiled.writer
        self._kind, self._update = kind, _function(optimizer.update)
        self._read, self._settings = read, read(optimizer)


def _function(method: Any) -> Any:
    """The function of a bound method: the same for all objects of a class, and it keeps none of them alive."""
    return getattr(method, "__func__", method)


def _with_declared_attributes(kind: type, names: set[str]) -> Any:
    """An object of the class `kind` that has its methods, and of its attributes only `names`.

    Any other attribute that `update` read would be compiled in as a constant, and a change of it would have no effect.
    """

    def __getattribute__(self: Any, name: str) -> Any:  # noqa: N807
        known = getattr_static(kind, name, None)
        if name in names or name.startswith("__") or name == "update" or isinstance(known, _METHODS):
            return object.__getattribute__(self, name)
        raise AttributeError(f"{kind.__name__} does not declare {name!r}", name=name, obj=self)

    guarded: Any = type(kind.__name__, (kind,), {"__getattribute__": __getattribute__})
    return object.__new__(guarded)


_METHODS = (FunctionType, property, staticmethod, classmethod)
