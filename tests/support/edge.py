"""The edge before servers like the gateway's, and a client."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ExplainRequest
from pellucid.serving.server import Server
from pellucid.serving.settings import ServiceSettings
from tests.support import envoy
from tests.support.manifests import Document
from tests.unit.serving.scripted import SERVICE, Scripted

SETTINGS = ServiceSettings(health_port=0, grace_s=0)


class Gateway(Scripted):
    """Keeps what arrives with a call."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []
        self.metadata: list[dict[str, Any]] = []

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.timeouts.append(context.time_remaining())
        self.metadata.append(dict(context.invocation_metadata()))
        return await super().Classify(request, context)


@dataclass
class Edge:
    """Envoy before its gateways, and a client that does nothing by itself."""

    envoy: envoy.Envoy
    gateways: list[Gateway]
    servers: list[Server]
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        return gateway_pb2_grpc.GatewayServiceStub(self.channel)

    async def working(self) -> Gateway:
        """The gateway that has a call, once one has."""
        started = [asyncio.create_task(gateway.started.wait()) for gateway in self.gateways]
        await asyncio.wait(started, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        (found,) = [g for g, one in zip(self.gateways, started, strict=True) if one.done()]
        for one in started:
            one.cancel()
        return found

    async def classify(self, model: str = "ok", **options: Any) -> Any:
        return await self.stub.Classify(ClassifyRequest(model=model), **{"timeout": 20} | options)

    def explain(self, model: str = "ok", **options: Any) -> Any:
        return self.stub.Explain(ExplainRequest(model=model), **{"timeout": 20} | options)


@asynccontextmanager
async def serving(
    documents: Sequence[Document],
    folder: Path,
    settings: Sequence[ServiceSettings] = (SETTINGS, SETTINGS),
    *,
    secrets: Mapping[str, Path] | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        gateways = [Gateway() for _ in settings]
        servers = []
        for one, gateway in zip(settings, gateways, strict=True):
            register = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, gateway)
            servers.append(await stack.enter_async_context(Server(one, SERVICE, register)))
            await servers[-1].ready()
        upstreams = [envoy.Upstream(one.port, one.health_port or 0) for one in servers]
        # Entering it waits; meanwhile the servers answer for their health.
        context = envoy.running(documents, upstreams, folder, secrets)
        running = await asyncio.to_thread(context.__enter__)
        stack.callback(context.__exit__, None, None, None)
        options = [("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1)]
        channel = (
            grpc.aio.insecure_channel(running.url, options)
            if credentials is None
            else grpc.aio.secure_channel(running.url, credentials, options)
        )
        yield Edge(running, gateways, servers, await stack.enter_async_context(channel))
