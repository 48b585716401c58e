"""Initialisers: functions of a random generator and the sizes of a layer that draw one weight.

The names and bounds are those of `torch.nn.init`.
"""

import math
import random
from collections.abc import Callable
from typing import TypeAlias

Initializer: TypeAlias = Callable[[random.Random, int, int], float]  # (generator, inputs, outputs) -> a number
Seed: TypeAlias = int | random.Random | None


def generator(seed: Seed) -> random.Random:
    """`seed` itself if it is a generator, else a generator with that seed.

    Without a seed, the generator is seeded from Python's global `random`.
    """
    if isinstance(seed, random.Random):
        return seed
    return random.Random(random.getrandbits(64) if seed is None else seed)


def uniform(low: float = 0.0, high: float = 1.0) -> Initializer:
    """Numbers uniformly distributed between `low` and `high`."""
    return lambda rng, nin, nout: rng.uniform(low, high)


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """Normally distributed numbers."""
    return lambda rng, nin, nout: rng.gauss(mean, std)


def constant(value: float) -> Initializer:
    """The number `value` for every weight."""
    return lambda rng, nin, nout: value


def xavier_uniform(gain: float = 1.0) -> Initializer:
    """U(-a, a) with a = gain * sqrt(6 / (inputs + outputs)): Glorot and Bengio 2010."""
    return _symmetric(lambda nin, nout: gain * math.sqrt(6.0 / (nin + nout)))


def xavier_normal(gain: float = 1.0) -> Initializer:
    """N(0, s**2) with s = gain * sqrt(2 / (inputs + outputs)): Glorot and Bengio 2010."""
    return lambda rng, nin, nout: rng.gauss(0.0, gain * math.sqrt(2.0 / (nin + nout)))


def kaiming_uniform(a: float = 0.0) -> Initializer:
    """U(-b, b) with b = sqrt(6 / ((1 + a**2) * inputs)), for ReLU with slope `a` below 0: He et al. 2015."""
    return _symmetric(lambda nin, nout: math.sqrt(6.0 / ((1.0 + a * a) * nin)))


def kaiming_normal(a: float = 0.0) -> Initializer:
    """N(0, s**2) with s = sqrt(2 / ((1 + a**2) * inputs)), for ReLU with slope `a` below 0: He et al. 2015."""
    return lambda rng, nin, nout: rng.gauss(0.0, math.sqrt(2.0 / ((1.0 + a * a) * nin)))


def _symmetric(bound: Callable[[int, int], float]) -> Initializer:
    return lambda rng, nin, nout: rng.uniform(-bound(nin, nout), bound(nin, nout))


linear = kaiming_uniform(a=math.sqrt(5.0))  # U(-1/sqrt(inputs), 1/sqrt(inputs)), as in torch.nn.Linear
embedding = normal()  # as in torch.nn.Embedding
