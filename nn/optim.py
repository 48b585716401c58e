"""Optimisers: what to do to a parameter about its gradient. Names, meanings and numbers are those of torch.optim."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, ClassVar

from autograd_lite import Value


class Optimizer:
    """Parameters, and the rule by which a step changes them.

    The rule is `update(p, g, t, *state) -> (p, *state)`: from a parameter, its gradient, the number of the step
    from 1, and what the optimiser remembers of that parameter, to the parameter and the memory after the step. It is
    written in operators and autograd_lite's functions, so that it serves floats, and a trainer can compile it.
    """

    remembers: ClassVar[tuple[str, ...]] = ()  # PyTorch's names of what `state` holds; each number begins as 0.0

    def __init__(self, parameters: Iterable[Value], lr: float, **settings: float) -> None:
        """Optimise `parameters` with the learning rate `lr`; an error names what makes no sense.

        A TypeError if they are not Values or a setting is no number; a ValueError if one of them is the result of an
        operation or is there twice, or a setting is out of its range.
        """
        me = type(self).__name__
        if not isinstance(parameters, Iterable):
            raise TypeError(
                f"{me} takes a list of parameters, got {type(parameters).__name__}: write {me}(model.parameters())"
            )
        self.parameters = list(parameters)
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
                    f"{me} can't optimize a non-leaf, the result of {p.op.name}: give it what that is made of"
                )
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{me} has a parameter twice, and would move it twice: give it each Value once")
        given: dict[str, Any] = {"lr": lr, **settings}
        for name, setting in given.items():
            if not isinstance(setting, Real):
                raise TypeError(f"{me} takes a number as {name}, got {setting!r}")
            if not 0.0 <= float(setting) < math.inf:
                raise ValueError(f"{me} takes a finite {name} of at least 0, got {setting}")
        self.lr = lr
        self.steps = 0
        self.state = {name: [0.0] * len(self.parameters) for name in self.remembers}

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """The parameter and what is remembered of it after step number `t`."""
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter by its gradient."""
        self.steps += 1
        rows = zip(self.parameters, *self.state.values(), strict=True)
        moved, *state = zip(*[self.update(p.data, p.grad, self.steps, *s) for p, *s in rows], strict=True)
        for p, number in zip(self.parameters, moved, strict=True):
            p.data = number
        self.state = {name: list(column) for name, column in zip(self.state, state, strict=True)}

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters:
            p.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on as if there had been no break: plain numbers, lists and names."""
        state = {name: list(column) for name, column in self.state.items()}
        return {"optimizer": type(self).__name__, "lr": self.lr, "steps": self.steps, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; a ValueError if it is of another optimiser or another number of parameters."""
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict, as state_dict() gives, got {type(state).__name__}")
        if state["optimizer"] != type(self).__name__:
            raise ValueError(f"the state is of the optimizer {state['optimizer']}, this is {type(self).__name__}")
        lengths = {len(state["state"][name]) for name in self.remembers}
        if lengths - {len(self.parameters)}:
            raise ValueError(f"the optimizer's state is of {max(lengths)} parameters, here are {len(self.parameters)}")
        self.lr, self.steps = state["lr"], state["steps"]
        self.state = {name: list(state["state"][name]) for name in self.remembers}


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak's, or Nesterov's) and weight decay."""

    remembers = ("momentum_buffer",)

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
        super().__init__(parameters, lr, momentum=momentum, weight_decay=weight_decay)
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * v, with v = momentum * v + g; Nesterov's looks a step of momentum ahead."""
        (v,) = state
        if self.weight_decay:
            g = g + self.weight_decay * p
        v = self.momentum * v + g if self.momentum else g
        return p - self.lr * (g + self.momentum * v if self.nesterov else v), v


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square: Tieleman and Hinton 2012."""

    remembers = ("square_avg", "momentum_buffer")

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
        self.alpha, self.eps, self.weight_decay, self.momentum = alpha, _positive(eps), weight_decay, momentum

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * b, with b = momentum * b + g / (sqrt(s) + eps) and s = alpha * s + (1 - alpha) * g**2."""
        s, b = state
        g = g + self.weight_decay * p
        s = self.alpha * s + (1.0 - self.alpha) * g * g
        b = self.momentum * b + g / (s**0.5 + self.eps)
        return p - self.lr * b, s, b


class Adam(Optimizer):
    """The running mean of the gradient over the root of that of its square: Kingma and Ba 2015."""

    remembers = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{type(self).__name__} takes betas of at least 0 and below 1, got {betas}")
        super().__init__(parameters, lr, eps=eps, weight_decay=weight_decay)
        self.betas, self.eps, self.weight_decay = tuple(betas), _positive(eps), weight_decay

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * m / (sqrt(v) + eps), of means m and v freed of their bias towards 0 at the start."""
        return self._adapt(p, g + self.weight_decay * p if self.weight_decay else g, t, *state)

    def _adapt(self, p: Any, g: Any, t: int, m: Any, v: Any) -> tuple[Any, ...]:
        beta1, beta2 = self.betas
        m = beta1 * m + (1.0 - beta1) * g
        v = beta2 * v + (1.0 - beta2) * g * g
        rate, scale = self.lr / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
        return p - rate * m / (v**0.5 / scale + self.eps), m, v


class AdamW(Adam):
    """Adam with the weight decay beside the gradient, not in it: Loshchilov and Hutter 2019."""

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
        """As Adam of the bare gradient, from p * (1 - lr * weight_decay)."""
        return self._adapt(p * (1.0 - self.lr * self.weight_decay), g, t, *state)


def clip_grad_value_(parameters: Iterable[Value], clip_value: float) -> None:
    """Bring every gradient into -clip_value ... clip_value."""
    for p in parameters:
        p.grad = min(max(p.grad, -clip_value), clip_value)


def clip_grad_norm_(parameters: Iterable[Value], max_norm: float) -> float:
    """Shorten the gradients, taken as one vector, to the length `max_norm` if it is longer; the length it had."""
    parameters = list(parameters)
    norm = math.hypot(*[p.grad for p in parameters])
    scale = min(1.0, max_norm / (norm + 1e-6))  # the 1e-6 is PyTorch's
    for p in parameters:
        p.grad *= scale
    return norm


class Schedule:
    """The learning rate as a function of the epoch; `step` goes on to the next, and `fit` does so by itself."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.base_lr = optimizer, optimizer.lr
        self.start(0)

    def rate(self, epoch: int) -> float:
        """The learning rate in epoch number `epoch`, from 0."""
        raise NotImplementedError

    def start(self, epoch: int) -> None:
        """Give the optimiser the learning rate of epoch number `epoch`, from 0."""
        self.last_epoch = epoch
        self.optimizer.lr = self.rate(epoch)

    def step(self) -> None:
        """Go on to the next epoch."""
        self.start(self.last_epoch + 1)


class StepLR(Schedule):
    """The rate times gamma after every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """base_lr * gamma**(epoch // step_size)."""
        return float(self.base_lr * self.gamma ** (epoch // self.step_size))


class ExponentialLR(StepLR):
    """The rate times gamma after every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer, 1, gamma)


class CosineAnnealingLR(Schedule):
    """Half a wave of the cosine, from the rate down to `eta_min` in `T_max` epochs: Loshchilov and Hutter 2017."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2."""
        return self.eta_min + (self.base_lr - self.eta_min) * (1.0 + math.cos(math.pi * epoch / self.T_max)) / 2.0


class LinearLR(Schedule):
    """A warm-up: from start_factor to end_factor times the rate, in `total_iters` equal steps."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3.0, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """base_lr times the factor for this epoch."""
        done = min(epoch, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


def _positive(eps: float) -> float:
    if eps <= 0.0:
        raise ValueError(f"eps keeps a division by 0 away: it must be above 0, got {eps}")
    return eps
