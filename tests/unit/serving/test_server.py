"""The life of a service: listening, ready, draining, gone."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ExplainRequest
from pellucid.errors import QueueFull
from pellucid.serving.server import Server
from pellucid.serving.settings import ServiceSettings
from pellucid.status import from_rpc_error
from tests.support.authority import Authority
from tests.unit.serving.scripted import SERVICE, Scripted

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def make(settings: ServiceSettings, scripted: Scripted | None = None) -> Server:
    register = partial(
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server, scripted or Scripted()
    )
    return Server(settings, SERVICE, register)


async def health(channel: grpc.aio.Channel, service: str = SERVICE.full_name) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


@pytest.fixture
async def full(scripted: Scripted) -> AsyncIterator[grpc.aio.Channel]:
    """Channel to a server that takes one call, and has it."""
    async with (
        make(ServiceSettings(max_concurrent_rpcs=1, grace_s=0.1), scripted) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        slow = asyncio.ensure_future(stub.Classify(ClassifyRequest(model="slow")))
        await scripted.started.wait()
        yield channel
        slow.cancel()


async def test_it_serves_by_name_only_when_it_is_ready(
    server: Server, channel: grpc.aio.Channel
) -> None:
    assert await health(channel, "") == SERVING
    assert await health(channel) == NOT_SERVING
    await server.ready()
    assert await health(channel) == SERVING
    await server.not_ready()
    assert await health(channel) == NOT_SERVING


async def test_calls_that_need_more_are_reported_on_by_name(
    server: Server, channel: grpc.aio.Channel
) -> None:
    await server.ready()
    await server.report(f"{SERVICE.full_name}/Explain", ready=False)
    assert await health(channel) == SERVING
    assert await health(channel, f"{SERVICE.full_name}/Explain") == NOT_SERVING


async def test_health_is_also_answered_on_a_port_of_its_own_without_tls(
    authority: Authority,
) -> None:
    own = authority.issue("server")
    settings = ServiceSettings(
        tls_certificate=own.certificate,
        tls_key=own.key,
        tls_client_ca=authority.certificate,
        health_port=0,
        grace_s=0,
    )
    async with (
        make(settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel,
    ):
        assert await health(channel) == NOT_SERVING
        await server.ready()
        assert await health(channel) == SERVING
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Classify(ClassifyRequest(model="ok"))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_connection_is_closed_at_its_age_once_its_calls_have_ended() -> None:
    scripted = Scripted()
    async with (
        make(ServiceSettings(max_connection_age_s=0.2, grace_s=0), scripted) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        await stub.Classify(ClassifyRequest(model="ok"))
        states = [channel.get_state()]
        async with asyncio.timeout(10):
            while states[-1] is grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(states[-1])
                states.append(channel.get_state())
        await stub.Classify(ClassifyRequest(model="ok"))


async def test_it_drains_before_it_stops() -> None:
    scripted = Scripted()
    server = make(ServiceSettings(drain_s=0.3, grace_s=5), scripted)
    await server.__aenter__()
    await server.ready()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        assert await health(channel) == SERVING
        leaving = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.1)
        assert await health(channel) == NOT_SERVING
        await stub.Classify(ClassifyRequest(model="ok"))  # still answered while it drains
        await leaving
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Classify(ClassifyRequest(model="ok"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_it_waits_for_sigterm() -> None:
    async with make(ServiceSettings(grace_s=0.1)) as server:
        waiting = asyncio.create_task(server.stopped())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(waiting, 2)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(RuntimeError):
        await make(ServiceSettings(port=taken.getsockname()[1])).__aenter__()


async def test_one_call_more_than_it_takes_is_refused_at_once(
    full: grpc.aio.Channel, scripted: Scripted
) -> None:
    stub: Any = gateway_pb2_grpc.GatewayServiceStub(full)
    for refused in (stub.Classify(ClassifyRequest()), stub.Explain(ExplainRequest()).read()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await refused
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        error = from_rpc_error(caught.value, "server")
        assert isinstance(error, QueueFull) and error.retry_after_s
    assert len(scripted.seen) == 1


async def test_a_full_server_is_healthy(full: grpc.aio.Channel) -> None:
    for _ in range(2):
        assert await health(full, "") == SERVING


async def test_a_place_is_free_as_soon_as_a_call_has_ended(
    full: grpc.aio.Channel, scripted: Scripted
) -> None:
    scripted.finish.set()
    await asyncio.sleep(0.1)
    stub: Any = gateway_pb2_grpc.GatewayServiceStub(full)
    for _ in range(3):
        await stub.Classify(ClassifyRequest(model="ok"))


async def test_a_call_whose_message_does_not_come_loses_its_place() -> None:
    settings = ServiceSettings(max_concurrent_rpcs=1, receive_timeout_s=0.2, grace_s=0.1)
    async with (
        make(settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        silent = channel.stream_unary(f"/{SERVICE.full_name}/Classify")()
        await silent.wait_for_connection()
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Classify(ClassifyRequest(model="ok"))
        assert isinstance(from_rpc_error(caught.value, "server"), QueueFull)
        await asyncio.sleep(1)
        await stub.Classify(ClassifyRequest(model="ok"))
        silent.cancel()


async def test_a_client_that_does_not_read_its_answer_loses_its_place(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.serving.interceptor._UNREAD_S", 0.1)
    settings = ServiceSettings(max_concurrent_rpcs=1, max_deadline_s=0.1, grace_s=0.1)
    async with (
        make(settings, scripted) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        unread = stub.Explain(ExplainRequest(model="endless"))
        async with asyncio.timeout(10):
            await scripted.released.wait()
        await stub.Classify(ClassifyRequest(model="ok"))
        unread.cancel()


async def test_clients_may_ask_for_its_contracts(channel: grpc.aio.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE.full_name, "grpc.health.v1.Health"} <= names
