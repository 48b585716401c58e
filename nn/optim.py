"""Optimisers: rules that change parameters by their gradients. Names, meanings and numbers are those of torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import autograd_lite as ag
from autograd_lite import Value

COMPILE_FROM = 32  # the number of parameters from which on a compiled step is faster than Python's loop


class Optimizer:
    """Parameters, and the rule by which a step changes them.

    The rule is `update(p, g, t, *state) -> (p, *state)`: from a parameter, its gradient, the number of the step
    from 1, and the remembered state of that parameter, to the parameter and its state after the step. It is written in
    operators and autograd_lite's functions, so that it works on floats and can be compiled.

    A subclass declares `remembers`, PyTorch's names of the state, and `hyperparameters`, the names of the attributes
    that `update` reads beside `lr`. They may be assigned at any time; the next step uses the new number.

    >>> class SignSGD(Optimizer):
    ...     def update(self, p, g, t, *state):
    ...         return (p - self.lr * ag.sign(g),)
    >>> w = Value(3.0)
    >>> w.grad = 0.1
    >>> SignSGD([w], lr=1.0).step()
    >>> w.data
    2.0
    """

    remembers: ClassVar[tuple[str, ...]] = ()  # each number of the state begins as 0.0
    hyperparameters: tuple[str, ...] = ()
    compiles: ClassVar[bool] = False  # True: `step` traces `update` and compiles it
    lr: float

    def __init__(self, parameters: Iterable[Value], lr: float, **settings: float) -> None:
        """Optimise `parameters` with the learning rate `lr` and the hyperparameters `settings` as attributes.

        A TypeError if the parameters are not Values or a setting is not a number; a ValueError if a parameter is the
        result of an operation or is given twice, or a setting is negative or not finite.
        """
        me = type(self).__name__
        self.parameters = _listed(me, parameters)
        if not self.parameters:
            raise ValueError(f"{me} has no parameters: give it model.parameters()")
        p: Any
        for p in self.parameters:
            if not isinstance(p, Value):
                raise TypeError(
                    f"{me} takes a list of Values, got {type(p).__name__} in it: give it model.parameters()"
                )
            if p.op is not None:
                raise ValueError(
                    f"{me} can't optimize a non-leaf, the result of {p.op.name}: give it the leaves it was made from"
                )
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{me} has a parameter twice, and would update it twice: give it each Value once")
        given: dict[str, Any] = {"lr": lr, **settings}
        for name, setting in given.items():
            if not isinstance(setting, Real):
                raise TypeError(f"{me} takes a number as {name}, got {setting!r}")
            if not 0.0 <= float(setting) < math.inf:
                raise ValueError(f"{me} takes a finite {name} of at least 0, got {setting}")
            setattr(self, name, setting)
        self.steps = 0
        self.state: dict[str, list[float]] = {name: [0.0] * len(self.parameters) for name in self.remembers}
        self._rule: Any = None  # the compiled `update`; False if it cannot be compiled

    def __init_subclass__(cls, **options: Any) -> None:
        """A subclass with an `update` of its own has it run in Python, unless it sets `compiles = True`."""
        super().__init_subclass__(**options)
        if "update" in vars(cls) and "compiles" not in vars(cls):
            cls.compiles = False

    def __getstate__(self) -> dict[str, Any]:
        """The attributes without the compiled rule, which a copy compiles again."""
        return {**vars(self), "_rule": None}

    def __repr__(self) -> str:
        settings = [f"{name}={getattr(self, name)!r}" for name in ("lr", *self.hyperparameters)]
        return f"{type(self).__name__}({len(self.parameters):,} parameters, {', '.join(settings)})"

    if TYPE_CHECKING:  # a subclass has as many arguments as numbers that it remembers
        update: Callable[..., tuple[Any, ...]]
    else:

        def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
            """The parameter and its state after step number `t`. Subclasses define it."""
            raise NotImplementedError(f"{type(self).__name__} has no update method: define how it changes a parameter")

    def step(self) -> None:
        """Change `data` of every parameter by its `grad`. After an error everything is as it was before."""
        if self.compiles and len(self.parameters) >= COMPILE_FROM and self._rule is not False:
            try:
                if self._rule is None:
                    self._rule = ag.compiled_rule(self)
                self._rule.step(self)
                return
            except ag.CompileError:
                self._rule = False
        rows = zip(self.parameters, *self.state.values(), strict=True)
        moved, *state = zip(*[self.update(p.data, p.grad, self.steps + 1, *s) for p, *s in rows], strict=True)
        for p, number in zip(self.parameters, moved, strict=True):
            p.data = number
        self.state = {name: list(column) for name, column in zip(self.state, state, strict=True)}
        self.steps += 1

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        ag.zero_grads(self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """A dict of numbers, lists and names: the learning rate, the number of steps and the state of each parameter.

        With it, `load_state_dict` of an optimiser with the same other hyperparameters continues as if training had not
        stopped.
        """
        state = {name: list(column) for name, column in self.state.items()}
        return {"optimizer": type(self).__name__, "lr": float(self.lr), "steps": self.steps, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, which `state_dict` gave.

        A TypeError if it is not a dict, a ValueError if it is damaged, or belongs to another class of optimiser or
        another number of parameters; the optimiser is then as it was.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, as state_dict() gives, got {type(state).__name__}")
        if missing := [name for name in ("optimizer", "lr", "steps", "state") if name not in state]:
            raise ValueError(f"the optimizer's state has no {', '.join(missing)}")
        if state["optimizer"] != type(self).__name__:
            raise ValueError(f"the state belongs to the optimizer {state['optimizer']}, this is {type(self).__name__}")
        lr, steps, columns = state["lr"], state["steps"], state["state"]
        if not _is_number(lr) or not 0.0 <= lr < math.inf or type(steps) is not int or steps < 0:
            raise ValueError(f"the optimizer's state is damaged: lr {lr!r:.60}, steps {steps!r:.60}")
        if not isinstance(columns, Mapping) or set(columns) != set(self.remembers):
            raise ValueError(f"the optimizer's state is damaged: it takes lists called {', '.join(self.remembers)}")
        for name, column in columns.items():
            if not isinstance(column, (list, tuple)) or not all(map(_is_number, column)):
                raise ValueError(f"the optimizer's state is damaged: {name} is not a list of numbers")
            if len(column) != len(self.parameters):
                raise ValueError(
                    f"the optimizer's state has {len(column)} parameters, the optimizer {len(self.parameters)}"
                )
        self.lr, self.steps = lr, steps
        self.state = {name: list(columns[name]) for name in self.remembers}


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak's, or Nesterov's) and weight decay.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> SGD([p], lr=0.25).step()
    >>> p.data
    0.5
    """

    remembers = ("momentum_buffer",)
    hyperparameters = ("momentum", "weight_decay", "nesterov")
    compiles = True

    momentum: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and not momentum:
            raise ValueError("SGD with nesterov=True takes a momentum above 0")
        super().__init__(parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * v with v = momentum * v + g; with nesterov p - lr * (g + momentum * v).

        `g` is the gradient plus weight_decay * p.
        """
        (v,) = state
        if self.weight_decay:
            g = g + self.weight_decay * p
        v = self.momentum * v + g if self.momentum else g
        return p - self.lr * (g + self.momentum * v if self.nesterov else v), v


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square: Tieleman and Hinton 2012.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> RMSprop([p], lr=0.05).step()
    >>> print(f"{p.data:.4f}")
    0.5000
    """

    remembers = ("square_avg", "momentum_buffer")
    hyperparameters = ("alpha", "eps", "weight_decay", "momentum")
    compiles = True

    alpha: float
    eps: float
    weight_decay: float
    momentum: float

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        _check_eps(self)

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * b, with b = momentum * b + g / (sqrt(s) + eps) and s = alpha * s + (1 - alpha) * g**2.

        `g` is the gradient plus weight_decay * p.
        """
        s, b = state
        g = g + self.weight_decay * p
        s = self.alpha * s + (1.0 - self.alpha) * g * g
        b = self.momentum * b + g / (s**0.5 + self.eps)
        return p - self.lr * b, s, b


class Adam(Optimizer):
    """The running mean of the gradient over the root of the running mean of its square: Kingma and Ba 2015.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> Adam([p], lr=0.5).step()
    >>> print(f"{p.data:.4f}")
    0.5000
    """

    remembers = ("exp_avg", "exp_avg_sq")
    hyperparameters = ("betas", "eps", "weight_decay")
    compiles = True

    eps: float
    weight_decay: float

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        given: Any = betas
        pair = tuple(given) if isinstance(given, Iterable) else ()
        if len(pair) != 2 or not all(map(_is_number, pair)):
            raise TypeError(f"{type(self).__name__} takes a pair of numbers as betas, got {given!r:.60}")
        if not all(0.0 <= beta < 1.0 for beta in pair):
            raise ValueError(f"{type(self).__name__} takes betas of at least 0 and below 1, got {pair}")
        super().__init__(parameters, lr, eps=eps, weight_decay=weight_decay)
        _check_eps(self)
        self.betas = pair

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * m / (sqrt(v) + eps), where the running means m and v are corrected for their start at 0.

        They are means of g and g**2, where g is the gradient plus weight_decay * p.
        """
        return self._adapt(p, g + self.weight_decay * p if self.weight_decay else g, t, *state)

    def _adapt(self, p: Any, g: Any, t: int, m: Any, v: Any) -> tuple[Any, ...]:
        beta1, beta2 = self.betas
        m = beta1 * m + (1.0 - beta1) * g
        v = beta2 * v + (1.0 - beta2) * g * g
        rate, scale = self.lr / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
        return p - rate * m / (v**0.5 / scale + self.eps), m, v


class AdamW(Adam):
    """Adam with weight decay applied to the parameter, not added to the gradient: Loshchilov and Hutter 2019.

    >>> p = Value(1.0)
    >>> p.grad = 2.0
    >>> AdamW([p], lr=0.5, weight_decay=0.1).step()
    >>> print(f"{p.data:.4f}")
    0.4500
    """

    compiles = True

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """Adam's step without weight decay, from p * (1 - lr * weight_decay)."""
        return self._adapt(p * (1.0 - self.lr * self.weight_decay), g, t, *state)


def clip_grad_value_(parameters: Iterable[Value], clip_value: float) -> None:
    """Clip every gradient to the range from -clip_value to clip_value.

    >>> p = Value(1.0)
    >>> p.grad = -3.0
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    -1.0
    """
    check_limit("clip_grad_value_", "clip_value", clip_value)
    for p in _listed("clip_grad_value_", parameters):
        p.grad = min(max(p.grad, -clip_value), clip_value)


def clip_grad_norm_(parameters: Iterable[Value], max_norm: float) -> float:
    """Scale the gradients, as one vector, down to the length `max_norm`. Returns their length before.

    >>> p, q = Value(1.0), Value(1.0)
    >>> p.grad, q.grad = 3.0, 4.0
    >>> clip_grad_norm_([p, q], 1.0)
    5.0
    >>> print(f"{p.grad:.4f} {q.grad:.4f}")
    0.6000 0.8000
    """
    check_limit("clip_grad_norm_", "max_norm", max_norm)
    parameters = _listed("clip_grad_norm_", parameters)
    norm = math.hypot(*[p.grad for p in parameters])
    scale = min(1.0, max_norm / (norm + 1e-6))  # the 1e-6 is PyTorch's
    for p in parameters:
        p.grad *= scale
    return norm


def check_limit(what: str, name: str, limit: Any) -> None:
    """Raise a TypeError or ValueError that names the function `what` unless its argument `name` is above 0."""
    if not _is_number(limit):
        raise TypeError(f"{what} takes a number as {name}, got {type(limit).__name__} {limit!r:.60}")
    if not limit > 0:
        raise ValueError(f"{what} takes a {name} above 0, got {limit}")


def _listed(what: str, parameters: Any) -> list[Value]:
    """`parameters` as a list; a TypeError that names `what` if they cannot be listed."""
    if not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        raise TypeError(f"{what} takes a list of parameters, got {kind}: give it model.parameters()")
    return list(parameters)


def _check_eps(optimizer: RMSprop | Adam) -> None:
    if optimizer.eps <= 0.0:
        raise ValueError(f"eps prevents a division by 0: it must be above 0, got {optimizer.eps}")


def _is_number(x: Any) -> bool:
    return type(x) is not bool and isinstance(x, Real)
