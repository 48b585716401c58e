"""Every test finds the table of primitives as it is in the package, whatever primitives another test has made."""

from collections.abc import Iterator

import pytest

from autograd_lite.primitives import PRIMITIVES


@pytest.fixture(autouse=True)
def _the_table_as_it_was() -> Iterator[None]:
    before = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(before)
