"""A gateway on a free port, with scripted services and a scripted Triton behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from gateway.__main__ import build
from gateway.quotas import Quotas
from gateway.settings import GatewaySettings
from pellucid.api.explain.v1 import explain_pb2_grpc
from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.preprocess.v1 import preprocess_pb2_grpc
from pellucid.cards import Card
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.channels import open_channel
from pellucid.serving.interceptor import CallInterceptor
from pellucid.serving.triton import TritonInference
from tests.support.scripted_triton import Graph, ScriptedTriton
from tests.unit.gateway.fakes import Explain, Preprocess, card

SETTINGS = GatewaySettings(
    max_content_bytes=1_024,
    preprocess_timeout_s=2,
    explain_timeout_s=2,
    # The catalogue reads only for those who wait: what is counted is what requests cause.
    catalogue_interval_s=60,
)


@dataclass
class Stage:
    """A gateway's stub and everything behind it."""

    stub: Any
    triton: ScriptedTriton
    catalogue: ModelCatalogue
    preprocess: Preprocess
    explain: Explain
    preprocess_server: grpc.aio.Server
    explain_server: grpc.aio.Server

    def load(self, card: Card, version: str = "1") -> Graph:
        """Have Triton load a model, and the catalogue know that something happened to it."""
        self.catalogue.mark_stale(card.name)
        return self.triton.load(card, version)


@asynccontextmanager
async def serve(
    add: Callable[[Any, Any], None], servicer: Any
) -> AsyncIterator[tuple[grpc.aio.Server, grpc.aio.Channel]]:
    """A running server, and a channel to it."""
    server = grpc.aio.server(interceptors=[CallInterceptor(SETTINGS)])
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", SETTINGS) as channel:
        yield server, channel
    await server.stop(None)


@pytest.fixture
def settings() -> GatewaySettings:
    """Of the gateway; a test may have others."""
    return SETTINGS


@pytest.fixture
def pools() -> dict[str, Explain]:
    """Explain services for some models alone; a test may have some."""
    return {}


@pytest.fixture
async def stage(settings: GatewaySettings, pools: dict[str, Explain]) -> AsyncIterator[Stage]:
    preprocess, explain = Preprocess(), Explain()
    async with AsyncExitStack() as stack:
        triton = await stack.enter_async_context(ScriptedTriton())
        triton.load(card())
        catalogue = await stack.enter_async_context(ModelCatalogue(triton.url, SETTINGS))
        inference = await stack.enter_async_context(
            TritonInference(triton.url, SETTINGS, catalogue.mark_stale)
        )
        preprocess_server, to_preprocess = await stack.enter_async_context(
            serve(preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server, preprocess)
        )
        explain_server, to_explain = await stack.enter_async_context(
            serve(explain_pb2_grpc.add_ExplainServiceServicer_to_server, explain)
        )
        to_pools = {}
        for name, pool in pools.items():
            _, to_pools[name] = await stack.enter_async_context(
                serve(explain_pb2_grpc.add_ExplainServiceServicer_to_server, pool)
            )
        quotas = await stack.enter_async_context(Quotas(settings))
        servicer = build(
            catalogue, inference, to_preprocess, to_explain, to_pools, quotas, settings
        )
        _, channel = await stack.enter_async_context(
            serve(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, servicer)
        )
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        await catalogue.list()
        yield Stage(stub, triton, catalogue, preprocess, explain, preprocess_server, explain_server)
