"""Optimisers: what to do to a parameter about its gradient. Names, meanings and numbers are those of torch.optim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from autograd_lite import Value


class Optimizer:
    """Parameters, and the rule by which a step changes them.

    The rule is `update(p, g, t, *state) -> (p, *state)`: from a parameter, its gradient, the number of the step from 1
    and whatever the optimiser remembers of that parameter, to the new parameter and memory. It is plain arithmetic,
    with + - * / ** only, so that it serves floats and whole arrays alike.
    """

    remembers: ClassVar[tuple[str, ...]] = ()  # PyTorch's names of the memory; each begins as 0.0

    def __init__(self, parameters: Iterable[Value], lr: float) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        self.steps = 0
        self.state = {name: [0.0] * len(self.parameters) for name in self.remembers}

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """The parameter and its memory after step number `t`."""
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter by its gradient."""
        self.steps += 1
        rows = zip(self.parameters, *self.state.values(), strict=True)
        updated = [self.update(p.data, p.grad, self.steps, *state) for p, *state in rows]
        numbers, *memory = map(list, zip(*updated, strict=True))
        for p, number in zip(self.parameters, numbers, strict=True):
            p.data = number
        self.state = dict(zip(self.state, memory, strict=True))

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters:
            p.grad = 0.0


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
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        super().__init__(parameters, lr)

    def update(self, p: Any, g: Any, t: int, *state: Any) -> tuple[Any, ...]:
        """p - lr * v, with v = momentum * v + g; Nesterov's looks one step of momentum ahead."""
        (v,) = state
        g = g + self.weight_decay * p
        v = self.momentum * v + g
        return p - self.lr * (g + self.momentum * v if self.nesterov else v), v
