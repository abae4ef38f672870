"""TLS and mutual TLS between services, by settings alone."""

import datetime
import ipaddress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ClassifyResponse
from pellucid.serving.channels import open_channel
from pellucid.serving.server import Server
from pellucid.serving.settings import ServiceSettings
from tests.unit.serving.scripted import SERVICE, Scripted


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1, good for an hour."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._sign(self._name, self._key, authority=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._sign(subject, key, authority=False)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


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
