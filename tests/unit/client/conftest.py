from collections.abc import Iterator

import pytest

from pellucid.client import Client
from tests.support.fake_gateway import FakeGateway, serving


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def url(gateway: FakeGateway) -> Iterator[str]:
    with serving(gateway) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, deadline_s=10) as opened:
        yield opened
