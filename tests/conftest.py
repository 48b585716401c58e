"""Every test finds the table of primitives as it is in the package, with those of its own module and of no other."""

from collections.abc import Iterator

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
