"""The documents that several tests hold against something."""

import pytest

from tests.support.manifests import (
    COMPOSED,
    EVERYTHING,
    MANIFESTS,
    OVERLAYS,
    Document,
    build,
    compose,
)


@pytest.fixture(scope="session", params=[*OVERLAYS, *COMPOSED])
def documents(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Document]:
    """Of each overlay, and of each composition."""
    if request.param in OVERLAYS:
        return build(MANIFESTS / "overlays" / request.param)
    overlay, components = COMPOSED[request.param]
    return compose(tmp_path_factory.mktemp("overlay"), components, overlay)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Of all components together."""
    return compose(tmp_path_factory.mktemp("overlay"), EVERYTHING)
