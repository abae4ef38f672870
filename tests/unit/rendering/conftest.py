import pytest

from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import Result, decoding
from pellucid.client.flow import collect
from tests.fake_gateway import FakeGateway, events


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def film(gateway: FakeGateway) -> Result:
    return collected("xray", gateway)


@pytest.fixture
def clip(gateway: FakeGateway) -> Result:
    return collected("speech", gateway)


def collected(model: str, gateway: FakeGateway) -> Result:
    request = gateway_pb2.ExplainRequest(model=model)
    decoded = (decoding.event(message) for message in events(request, gateway))
    return collect(event for event in decoded if event is not None)
