"""What several test folders share, above all a real Triton with the models of known explanation."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pellucid.embedded.system import EmbeddedTriton
from tests.support.authority import Authority
from tests.support.known_models import (
    LinearModel,
    binary_model,
    linear_model,
    planted_patch_model,
    planted_tone_model,
)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repository that the shared Triton serves."""
    return tmp_path_factory.mktemp("repository")


@pytest.fixture(scope="session")
def known(repository: Path) -> Mapping[str, LinearModel]:
    """The models of known explanation, by name."""
    makers = (linear_model, planted_patch_model, planted_tone_model, binary_model)
    models = [make(repository) for make in makers]
    return {model.card.name: model for model in models}


@pytest.fixture(scope="session")
def triton(
    repository: Path,
    known: Mapping[str, LinearModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EmbeddedTriton]:
    """A real Triton that has loaded every known model; `triton.triton_url` is its address."""
    with EmbeddedTriton(repository, tmp_path_factory.mktemp("state")) as system:
        yield system


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom a test's certificates come from."""
    return Authority(tmp_path, "authority")
