"""Certificates of the services: when they expire, and what happens once they are renewed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from prometheus_client import REGISTRY

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ClassifyResponse
from pellucid.serving.certificates import expiry, publish_expiry
from pellucid.serving.channels import open_channel
from pellucid.serving.settings import ServiceSettings
from tests.support.authority import Authority
from tests.unit.serving.test_tls import serve


def published(setting: str) -> float | None:
    return REGISTRY.get_sample_value(
        "pellucid_certificate_expiry_timestamp_seconds", {"setting": setting}
    )


def test_the_first_of_a_chain_to_expire_counts(authority: Authority) -> None:
    own = authority.issue("server")
    chain = own.certificate.read_text() + authority.certificate.read_text()
    known = [one.not_valid_after_utc for one in x509.load_pem_x509_certificates(chain.encode())]
    assert expiry(chain) == min(known).timestamp()


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        expiry(text)


def test_the_metric_follows_the_file(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "tls.crt"
    publish_expiry(ServiceSettings(tls_certificate=path))
    assert published("tls_certificate") == 0
    path.write_bytes(authority.issue("server").certificate.read_bytes())
    assert 0 < (published("tls_certificate") or 0) - time.time() <= 3_600
    assert published("peer_ca") is None


async def test_calls_go_on_with_a_renewed_certificate(authority: Authority, tmp_path: Path) -> None:
    server, client = authority.issue("server"), authority.issue("client")
    settings = ServiceSettings(
        tls_certificate=server.certificate,
        tls_key=server.key,
        tls_client_ca=authority.certificate,
        grace_s=0,
        # Every connection is a new one.
        max_connection_age_s=0.2,
    )
    renewed = Authority(tmp_path, "renewed")
    known = ServiceSettings(
        peer_ca=authority.certificate, peer_certificate=client.certificate, peer_key=client.key
    )
    async with (
        serve(settings) as running,
        open_channel(f"127.0.0.1:{running.port}", known) as channel,
    ):
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        request = ClassifyRequest(model="ok")
        assert await stub.Classify(request, timeout=5) == ClassifyResponse()
        # All of it is of another authority now, on both sides.
        for old, new in ((server, renewed.issue("server")), (client, renewed.issue("client"))):
            old.certificate.write_bytes(new.certificate.read_bytes())
            old.key.write_bytes(new.key.read_bytes())
        authority.certificate.write_bytes(renewed.certificate.read_bytes())
        await asyncio.sleep(1.5)
        assert await stub.Classify(request, timeout=5) == ClassifyResponse()
