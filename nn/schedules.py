"""Schedules: the learning rate as a function of the epoch. Names and meanings are those of torch.optim.lr_scheduler."""

from __future__ import annotations

import math
from numbers import Real

from nn.callbacks import Callback, Training
from nn.data import Row
from nn.optim import Optimizer


class Schedule(Callback):
    """A callback of `fit` that sets the learning rate for each epoch. In your own loop, call `step` after an epoch.

    >>> from autograd_lite import Value
    >>> from nn.optim import SGD
    >>> optimizer = SGD([Value(0.0)], lr=0.8)
    >>> schedule = ExponentialLR(optimizer, gamma=0.5)
    >>> schedule.step()
    >>> optimizer.lr
    0.4
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__} takes an optimizer, got {type(optimizer).__name__}")
        self.optimizer, self.base_lr = optimizer, optimizer.lr
        self.start(0)

    def __repr__(self) -> str:
        settings = {k: x for k, x in vars(self).items() if k not in ("optimizer", "base_lr", "last_epoch")}
        listed = [f"{name}={x!r}" for name, x in {"base_lr": self.base_lr, **settings}.items()]
        return f"{type(self).__name__}({', '.join(listed)}): lr={self.optimizer.lr:g} in epoch {self.last_epoch}"

    def _check_epochs(self, name: str, count: int) -> None:
        """Raise a TypeError or ValueError unless `count`, the setting `name`, is a number of epochs of at least 1."""
        if not isinstance(count, int):
            raise TypeError(f"{type(self).__name__} takes an int for {name}, got {count!r}")
        if count < 1:
            raise ValueError(f"{type(self).__name__} takes a {name} of at least 1 epoch, got {count}")

    def _check_numbers(self, **settings: object) -> None:
        """Raise a TypeError that names the first of `settings` that is not a number."""
        for name, setting in settings.items():
            if not isinstance(setting, Real):
                raise TypeError(f"{type(self).__name__} takes a number as {name}, got {setting!r:.60}")

    def rate(self, epoch: int) -> float:
        """The learning rate in epoch number `epoch`, from 0."""
        raise NotImplementedError(f"{type(self).__name__} has no rate method: define rate(epoch)")

    def start(self, epoch: int) -> None:
        """Give the optimiser the learning rate of epoch number `epoch`, from 0."""
        self.last_epoch = epoch
        self.optimizer.lr = self.rate(epoch)

    def step(self) -> None:
        """Give the optimiser the learning rate of the next epoch."""
        self.start(self.last_epoch + 1)

    def on_start(self, training: Training) -> None:
        """Raise a ValueError if the schedule belongs to another optimiser than that of `fit`."""
        if self.optimizer is not training.optimizer:
            raise ValueError("fit takes a schedule of its own optimizer, and this schedule belongs to another one")

    def on_epoch_start(self, training: Training, epoch: int) -> None:
        """Set the learning rate of this epoch."""
        self.start(epoch - 1)

    def columns(self, training: Training) -> Row:
        """The learning rate of the epoch, as `lr`."""
        return {"lr": self.optimizer.lr}


class StepLR(Schedule):
    """Multiplies the rate by gamma after every `step_size` epochs.

    >>> from autograd_lite import Value
    >>> from nn.optim import SGD
    >>> [StepLR(SGD([Value(0.0)], lr=1.0), 2, gamma=0.5).rate(epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self._check_epochs("step_size", step_size)
        self._check_numbers(gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """base_lr * gamma**(epoch // step_size)."""
        return float(self.base_lr * self.gamma ** (epoch // self.step_size))


class ExponentialLR(StepLR):
    """Multiplies the rate by gamma after every epoch.

    >>> from autograd_lite import Value
    >>> from nn.optim import SGD
    >>> [ExponentialLR(SGD([Value(0.0)], lr=1.0), gamma=0.5).rate(epoch) for epoch in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer, 1, gamma)


class CosineAnnealingLR(Schedule):
    """Half a cosine wave from the rate down to `eta_min` in `T_max` epochs: Loshchilov and Hutter 2017.

    >>> from autograd_lite import Value
    >>> from nn.optim import SGD
    >>> schedule = CosineAnnealingLR(SGD([Value(0.0)], lr=1.0), T_max=4)
    >>> print(*[f"{schedule.rate(epoch):.3f}" for epoch in range(5)])
    1.000 0.854 0.500 0.146 0.000
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self._check_epochs("T_max", T_max)
        self._check_numbers(eta_min=eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2."""
        return self.eta_min + (self.base_lr - self.eta_min) * (1.0 + math.cos(math.pi * epoch / self.T_max)) / 2.0


class LinearLR(Schedule):
    """A warm-up: from start_factor to end_factor times the rate, in `total_iters` equal steps.

    >>> from autograd_lite import Value
    >>> from nn.optim import SGD
    >>> schedule = LinearLR(SGD([Value(0.0)], lr=1.0), start_factor=0.5, total_iters=2)
    >>> [schedule.rate(epoch) for epoch in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3.0, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self._check_epochs("total_iters", total_iters)
        self._check_numbers(start_factor=start_factor, end_factor=end_factor)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def rate(self, epoch: int) -> float:
        """base_lr times the factor for this epoch."""
        done = min(epoch, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)
