from collections.abc import Iterator

import pytest

from preprocess_service.fork_server import ForkServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """One for all tests: loading the decoders is what takes time."""
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="session")
def commanded_fork_server() -> Iterator[ForkServer]:
    """Its workers do what a file says: see `commanded_worker`."""
    with ForkServer("tests.unit.preprocess.commanded_worker") as server:
        yield server
