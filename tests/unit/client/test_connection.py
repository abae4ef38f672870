"""Which channel a client opens, and what goes with every call."""

import grpc
import pytest

from pellucid.client import AsyncClient, Client, Tls
from pellucid.client.connection import is_local
from tests.support.authority import Authority
from tests.support.fake_gateway import FakeGateway, serving


@pytest.mark.parametrize(
    "url",
    [
        "localhost:50050",
        "127.0.0.1:50050",
        "127.8.8.8:1",
        "0.0.0.0:50050",
        "[::1]:50050",
        "ipv4:127.0.0.1:50050",
        "ipv6:[::1]:50050",
        "dns:///localhost:50050",
        "dns://8.8.8.8/localhost:50050",
        "unix:/run/pellucid.sock",
    ],
)
def test_this_machine_needs_no_encryption(url: str) -> None:
    assert is_local(url)
    Client(url).close()


@pytest.mark.parametrize(
    "url",
    [
        "gateway:50050",
        "10.0.0.7:50050",
        "[2001:db8::1]:50050",
        "dns:///gateway.pellucid.svc:50050",
        "ipv4:127.0.0.1:50050,10.0.0.7:50050",
        "localhost.example.org:50050",
        "",
    ],
)
def test_another_machine_is_not_sent_plaintext_unless_asked_to(url: str) -> None:
    with pytest.raises(ValueError, match="plaintext=True"):
        Client(url)
    Client(url, plaintext=True).close()
    Client(url, tls=Tls()).close()


async def test_the_asynchronous_client_has_the_same_rule() -> None:
    with pytest.raises(ValueError, match="plaintext=True"):
        AsyncClient("gateway:50050")
    await AsyncClient("gateway:50050", plaintext=True).close()


def test_tls_and_plaintext_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude"):
        Client(tls=Tls(), plaintext=True)


def test_a_channel_of_the_callers_own_stays_open(url: str) -> None:
    with grpc.insecure_channel(url) as channel:
        for _ in range(2):
            with Client(channel=channel) as client:
                assert client.capabilities().models


async def test_the_asynchronous_client_takes_a_channel_too(url: str) -> None:
    async with grpc.aio.insecure_channel(url) as channel:
        for _ in range(2):
            async with AsyncClient(channel=channel) as client:
                assert (await client.capabilities()).models


def test_metadata_goes_with_every_call(url: str, gateway: FakeGateway) -> None:
    with Client(url, metadata=[("x-tenant", "ward-7"), ("trace-bin", b"\0\1")]) as client:
        client.capabilities(request_id="mine")
        client.explain_all(b"RIFF....WAVE", methods="lime")
    assert len(gateway.metadata) == 3
    for received in gateway.metadata:
        assert received["x-tenant"] == "ward-7"
        assert received["trace-bin"] == b"\0\1"
    assert gateway.metadata[0]["x-request-id"] == "mine"


async def test_call_credentials_go_with_every_call_over_tls(authority: Authority) -> None:
    server = authority.issue("server")
    pair = (server.key.read_bytes(), server.certificate.read_bytes())
    gateway, tls = FakeGateway(), Tls(ca=authority.certificate)
    credentials = grpc.access_token_call_credentials("secret")
    with serving(gateway, grpc.ssl_server_credentials([pair])) as url:
        with Client(url, tls=tls, call_credentials=credentials) as client:
            client.capabilities()
            client.explain_all(b"RIFF....WAVE", "speech", methods="lime")
        async with AsyncClient(url, tls=tls, call_credentials=credentials) as other:
            await other.capabilities()
    assert [received["authorization"] for received in gateway.metadata] == ["Bearer secret"] * 3


def test_call_credentials_without_tls_are_refused() -> None:
    with pytest.raises(ValueError, match="over TLS alone"):
        Client(call_credentials=grpc.access_token_call_credentials("secret"))
