"""The models that the project ships, in a whole system, for all tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem

REPOSITORY = Path(__file__).parents[2] / "triton_repo"


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSystem]:
    """It builds the graphs that are missing."""
    settings = SystemSettings(
        repository=REPOSITORY, state_dir=tmp_path_factory.mktemp("shipped"), gateway_port=0
    )
    with EmbeddedSystem(settings) as running:
        yield running
