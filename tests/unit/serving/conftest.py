"""A real server around a scripted servicer."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.serving.channels import open_channel
from pellucid.serving.server import Server
from pellucid.serving.settings import ServiceSettings
from tests.unit.serving.scripted import SERVICE, Scripted


@pytest.fixture
async def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
async def server(scripted: Scripted) -> AsyncIterator[Server]:
    register = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, scripted)
    async with Server(ServiceSettings(grace_s=0.1), SERVICE, register) as running:
        yield running


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{server.port}", ServiceSettings()) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return gateway_pb2_grpc.GatewayServiceStub(channel)
