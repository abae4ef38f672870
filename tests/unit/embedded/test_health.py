"""Health of services that speak TLS."""

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pellucid.client import Tls
from pellucid.embedded.health import is_serving
from tests.support.authority import Authority

NAME = "a.Service"


async def test_the_health_of_an_encrypted_service_is_checked_with_its_authority(
    authority: Authority,
) -> None:
    own = authority.issue("server")
    pair = (own.key.read_bytes(), own.certificate.read_bytes())
    server = grpc.aio.server()
    known = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(known, server)
    await known.set(NAME, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    url, tls = f"127.0.0.1:{port}", Tls(ca=authority.certificate)
    for trusted in (tls, Tls(ca=own.certificate)):
        assert await asyncio.to_thread(is_serving, url, NAME, trusted)
    assert not await asyncio.to_thread(is_serving, url, NAME)
    await server.stop(0)
