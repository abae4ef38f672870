"""Encryption with certificates made on the spot."""

import subprocess
from pathlib import Path

import grpc
import pytest

from pellucid.client import Client, Tls
from pellucid.errors import BackendUnavailable
from tests.fake_gateway import FakeGateway, serving


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_a_client_with_the_authority_is_let_in(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=certificate.read_bytes(),
        require_client_auth=True,
    )
    with serving(FakeGateway(), credentials) as url:
        own = Tls(ca=certificate, certificate=certificate, key=key)
        with Client(url, tls=own) as client:
            assert client.capabilities().models
        for tls in (Tls(ca=certificate), None):
            stranger = Client(url, tls=tls, deadline_s=5)
            with stranger as client, pytest.raises(BackendUnavailable):
                client.capabilities()


def test_half_a_pair_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="go together"):
        Client("localhost:1", tls=Tls(certificate=pair[0]))
