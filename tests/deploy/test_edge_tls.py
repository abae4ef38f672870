"""The real Envoy in TLS: towards clients, and towards gateways that want its certificate."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest
from pellucid.client.connection import Tls
from pellucid.serving.settings import ServiceSettings
from tests.support import envoy, envoy_configuration
from tests.support.authority import Authority, Pair
from tests.support.edge import serving
from tests.support.manifests import Document, compose, kustomize

pytestmark = [
    pytest.mark.skipif(kustomize() is None, reason="there is no kustomize: `make tools`"),
    pytest.mark.skipif(not envoy.is_installed(), reason=envoy.MISSING),
]


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    components = ["mtls", "edge", "edge-tls", "edge-mtls"]
    return compose(tmp_path_factory.mktemp("overlay"), components)


def files(authority: Authority, pair: Pair) -> dict[str, bytes]:
    """A Secret as cert-manager fills it."""
    return {
        "tls.crt": pair.certificate.read_bytes(),
        "tls.key": pair.key.read_bytes(),
        "ca.crt": authority.certificate.read_bytes(),
    }


def mutual(authority: Authority, pair: Pair) -> ServiceSettings:
    return ServiceSettings(
        health_port=0,
        grace_s=0,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        tls_client_ca=authority.certificate,
    )


async def test_both_sides_of_the_edge_are_encrypted_and_renewed(
    encrypted: list[Document], authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "public").mkdir()
    public = Authority(tmp_path / "public", "public")
    own, shown = tmp_path / "own", tmp_path / "shown"
    envoy.swap(own, files(authority, authority.issue("edge")))
    envoy.swap(shown, files(public, public.issue("first")))
    settings = [mutual(authority, authority.issue("gateway"))] * 2
    credentials = Tls(ca=public.certificate).credentials()
    secrets = {"own": own, "public": shown}
    async with serving(
        encrypted, tmp_path, settings, secrets=secrets, credentials=credentials
    ) as edge:
        await edge.classify()
        async with grpc.aio.insecure_channel(edge.envoy.url) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await gateway_pb2_grpc.GatewayServiceStub(channel).Classify(
                    ClassifyRequest(model="ok"), timeout=10
                )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        (tmp_path / "other").mkdir()
        other = Authority(tmp_path / "other", "other")
        envoy.swap(shown, files(other, other.issue("second")))
        await until_answered(edge.envoy.url, Tls(ca=other.certificate))


async def until_answered(url: str, tls: Tls) -> None:
    async with asyncio.timeout(20):
        while True:
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.secure_channel(url, tls.credentials(), options) as channel:
                try:
                    stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
                    await stub.Classify(ClassifyRequest(model="ok"), timeout=5)
                    return
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("wrong", ["name", "authority", "client"])
async def test_a_gateway_and_an_edge_that_do_not_know_each_other_do_not_speak(
    encrypted: list[Document], authority: Authority, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    own, shown = tmp_path / "own", tmp_path / "shown"
    client = (other if wrong == "client" else authority).issue("edge")
    envoy.swap(own, files(authority, client))
    envoy.swap(shown, files(authority, authority.issue("first")))
    issuer = other if wrong == "authority" else authority
    pair = issuer.issue("impostor" if wrong == "name" else "gateway")
    credentials = Tls(ca=authority.certificate).credentials()
    async with serving(
        encrypted,
        tmp_path,
        [mutual(authority, pair)],
        secrets={"own": own, "public": shown},
        credentials=credentials,
    ) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.classify()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert edge.gateways[0].seen == []


def test_the_options_differ_from_the_edge_by_their_tls_alone(
    encrypted: list[Document], tmp_path: Path
) -> None:
    plain = compose(tmp_path, ["edge"])
    read, other = (envoy_configuration.files(one) for one in (plain, encrypted))
    (chain,) = envoy_configuration.public_listener(other)["filter_chains"]
    del chain["transport_socket"]
    for cluster in envoy_configuration.clusters(other):
        del cluster["transport_socket"], cluster["transport_socket_matches"]
        for check in cluster["health_checks"]:
            check.pop("transport_socket_match_criteria", None)  # shared by both clusters
    assert {name: other[name] for name in read} == read
