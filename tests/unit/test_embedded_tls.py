"""The embedded system asks services that speak TLS for their health as it asks the others."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pellucid.client import Tls
from pellucid.embedded.errors import MissingPrerequisite
from pellucid.embedded.probes import is_serving
from pellucid.embedded.services import plan_services
from pellucid.embedded.settings import SystemSettings
from tests.authority import Authority

NAME = "a.Service"
PORTS = {"preprocess": 1, "preprocess_metrics": 2}


async def test_the_health_of_an_encrypted_service_is_asked_with_its_authority(
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


def test_only_a_service_with_a_certificate_of_its_own_is_asked_by_tls(tmp_path: Path) -> None:
    tls = Tls(ca=tmp_path / "ca.pem")
    plain = SystemSettings(services=("preprocess",), tls=tls)
    own = tmp_path / "own.pem"
    own.touch()
    certificate = {"PREPROCESS_TLS_CERTIFICATE": str(own)}
    encrypted = plain.model_copy(update={"variables": certificate})
    alone = encrypted.model_copy(update={"tls": None})
    plans = [plan_services(settings, None, PORTS)[0] for settings in (plain, encrypted, alone)]
    assert [plan.tls for plan in plans] == [None, tls, Tls(ca=own)]


@pytest.mark.parametrize("missing", ["CERTIFICATE", "KEY", "CLIENT_CA"])
def test_a_file_of_tls_that_is_not_there_is_named_before_anything_starts(
    tmp_path: Path, missing: str
) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    keys = ("CERTIFICATE", "KEY", "CLIENT_CA")
    paths = {f"PREPROCESS_TLS_{key}": str(there) for key in keys}
    paths[f"PREPROCESS_TLS_{missing}"] = str(tmp_path / "nope.pem")
    settings = SystemSettings(services=("preprocess",), variables=paths)
    with pytest.raises(MissingPrerequisite, match=f"PREPROCESS_TLS_{missing} names .*nope.pem"):
        plan_services(settings, None, PORTS)


def test_a_service_that_wants_our_certificate_is_not_started_without_one(tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    paths = {f"PREPROCESS_TLS_{key}": str(there) for key in ("CERTIFICATE", "KEY", "CLIENT_CA")}
    settings = SystemSettings(services=("preprocess",), variables=paths)
    with pytest.raises(MissingPrerequisite, match="--cert and --key"):
        plan_services(settings, None, PORTS)
