"""Libraries that tests compare with. A test that uses one is skipped where it is not installed; the others run."""

from importlib import import_module
from typing import Any

import pytest


class Oracle:
    """The module `name`, imported when a test first asks it for something."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest looks for its marks in every name of a test module
            raise AttributeError(attribute)
        pytest.importorskip(self._name.split(".")[0])
        return getattr(import_module(self._name), attribute)


jax, jnp, lax, torch = map(Oracle, ("jax", "jax.numpy", "jax.lax", "torch"))
