from collections.abc import Iterator

import pytest

from tests.unit.repository.fakes import FakeTriton, serving


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    """A Triton without models."""
    with serving(FakeTriton()) as fake:
        yield fake
