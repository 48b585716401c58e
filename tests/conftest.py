"""Fixtures. Each test sees the primitives of the package and of its own module, not those of other test modules."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autograd_lite.primitives import PRIMITIVES

TABLE = dict(PRIMITIVES)


@pytest.fixture(autouse=True)
def _the_table_as_it_is(request: pytest.FixtureRequest) -> Iterator[None]:
    everything = dict(PRIMITIVES)
    own = {name: op for name, op in everything.items() if op.compute.__module__ == request.module.__name__}
    PRIMITIVES.clear()
    PRIMITIVES.update(own | TABLE)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(everything)


@pytest.fixture
def lines_run() -> Callable[[Callable[[], object]], int]:
    """How many lines of Python a call runs: its time in a unit that no machine's load can change."""

    def count(run: Callable[[], object]) -> int:
        lines, before = 0, sys.gettrace()

        def trace(_frame: Any, event: str, _arg: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return trace

        sys.settrace(trace)
        try:
            run()
        finally:
            sys.settrace(before)
        return lines

    return count
