"""TLS and mutual TLS between services, by settings alone."""

from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ClassifyResponse
from pellucid.serving.channels import open_channel
from pellucid.serving.server import Server
from pellucid.serving.settings import ServiceSettings
from tests.support.authority import Authority
from tests.unit.serving.scripted import SERVICE, Scripted


def serve(settings: ServiceSettings) -> Server:
    register = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, Scripted())
    return Server(settings, SERVICE, register)


async def call(server: Server, settings: ServiceSettings) -> Any:
    async with open_channel(f"127.0.0.1:{server.port}", settings) as channel:
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        return await stub.Classify(ClassifyRequest(model="ok"), timeout=5)


async def test_a_peer_that_knows_the_authority_is_answered(authority: Authority) -> None:
    own = authority.issue("server")
    settings = ServiceSettings(tls_certificate=own.certificate, tls_key=own.key, grace_s=0)
    async with serve(settings) as server:
        answer = await call(server, ServiceSettings(peer_ca=authority.certificate))
    assert answer == ClassifyResponse()


async def test_neither_plain_text_nor_another_authority_is_accepted(
    authority: Authority, tmp_path: Path
) -> None:
    own = authority.issue("server")
    stranger = Authority(tmp_path, "stranger")
    settings = ServiceSettings(tls_certificate=own.certificate, tls_key=own.key, grace_s=0)
    async with serve(settings) as server:
        for wrong in (ServiceSettings(), ServiceSettings(peer_ca=stranger.certificate)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(server, wrong)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls_wants_a_certificate_of_the_client_too(authority: Authority) -> None:
    own, client = authority.issue("server"), authority.issue("client")
    settings = ServiceSettings(
        tls_certificate=own.certificate,
        tls_key=own.key,
        tls_client_ca=authority.certificate,
        grace_s=0,
    )
    known = ServiceSettings(
        peer_ca=authority.certificate, peer_certificate=client.certificate, peer_key=client.key
    )
    async with serve(settings) as server:
        assert await call(server, known) == ClassifyResponse()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(server, ServiceSettings(peer_ca=authority.certificate))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("half", ["tls_certificate", "tls_key", "tls_client_ca"])
async def test_half_of_the_settings_is_an_error(authority: Authority, half: str) -> None:
    with pytest.raises(ValueError, match=half):
        await serve(ServiceSettings(**{half: authority.certificate})).__aenter__()


@pytest.mark.parametrize("half", ["peer_certificate", "peer_key"])
def test_half_of_what_is_shown_to_peers_is_an_error(authority: Authority, half: str) -> None:
    with pytest.raises(ValueError, match="peer_certificate and peer_key go together"):
        ServiceSettings(**{half: authority.certificate})


def test_a_certificate_is_not_shown_to_peers_in_plain_text(authority: Authority) -> None:
    own = authority.issue("client")
    with pytest.raises(ValueError, match="set the authorities"):
        ServiceSettings(peer_certificate=own.certificate, peer_key=own.key)


async def test_renewed_certificates_are_shown_to_new_connections(
    authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.issue("first"), Authority(tmp_path, "second")
    settings = ServiceSettings(
        tls_certificate=first.certificate,
        tls_key=first.key,
        tls_client_ca=authority.certificate,
        grace_s=0,
    )
    client = authority.issue("client")
    shown = {"peer_certificate": client.certificate, "peer_key": client.key}
    old = ServiceSettings(peer_ca=authority.certificate, **shown)
    async with serve(settings) as server:
        await call(server, old)
        renewed = second.issue("renewed")
        first.key.write_bytes(b"half of a key")
        await call(server, old)  # what is being written is not believed
        first.certificate.write_bytes(renewed.certificate.read_bytes())
        first.key.write_bytes(renewed.key.read_bytes())
        with pytest.raises(grpc.aio.AioRpcError):
            await call(server, old)
        await call(server, ServiceSettings(peer_ca=second.certificate, **shown))
