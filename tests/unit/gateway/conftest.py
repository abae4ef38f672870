"""A gateway on a free port, with scripted services behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from gateway.__main__ import build
from gateway.peers import ExplainPeer, PreprocessPeer
from gateway.settings import GatewaySettings
from pellucid.api.explain.v1 import explain_pb2_grpc
from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.preprocess.v1 import preprocess_pb2_grpc
from pellucid.serving.channels import open_channel
from pellucid.serving.interceptor import CallInterceptor
from tests.unit.gateway.backstage import Explain, Models, Preprocess, served

SETTINGS = GatewaySettings(max_content_bytes=1_024)


@dataclass
class Stage:
    """A gateway's stub and everything behind it."""

    stub: Any
    models: Models
    preprocess: Preprocess
    explain: Explain
    preprocess_server: grpc.aio.Server
    explain_server: grpc.aio.Server


@asynccontextmanager
async def serve(
    add: Callable[[Any, Any], None], servicer: Any
) -> AsyncIterator[tuple[grpc.aio.Server, grpc.aio.Channel]]:
    """A running server, and a channel to it."""
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", SETTINGS) as channel:
        yield server, channel
    await server.stop(None)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    models, preprocess, explain = Models(served()), Preprocess(), Explain()
    async with AsyncExitStack() as stack:
        preprocess_server, to_preprocess = await stack.enter_async_context(
            serve(preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server, preprocess)
        )
        explain_server, to_explain = await stack.enter_async_context(
            serve(explain_pb2_grpc.add_ExplainServiceServicer_to_server, explain)
        )
        duck: Any = models
        servicer = build(duck, PreprocessPeer(to_preprocess), ExplainPeer(to_explain), SETTINGS)
        _, channel = await stack.enter_async_context(
            serve(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, servicer)
        )
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        yield Stage(stub, models, preprocess, explain, preprocess_server, explain_server)
