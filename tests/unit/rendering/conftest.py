from collections.abc import Iterator

import pytest

from pellucid.client import Client, Result
from tests.support.fake_gateway import FakeGateway, serving

FILM, CLIP = b"\x89PNG\r\n\x1a\n", b"RIFF....WAVE"
"""As much of a file as it takes to choose a model."""


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Client]:
    with serving(gateway) as url, Client(url, deadline_s=10) as opened:
        yield opened


@pytest.fixture
def film(client: Client) -> Result:
    return client.explain_all(FILM)


@pytest.fixture
def clip(client: Client) -> Result:
    return client.explain_all(CLIP)
