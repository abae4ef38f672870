"""Encryption with certificates made on the spot."""

import grpc
import pytest

from pellucid.client import Client, Tls
from pellucid.errors import BackendUnavailable
from tests.support.authority import Authority
from tests.support.fake_gateway import FakeGateway, serving


def test_a_client_with_the_authority_is_let_in(authority: Authority) -> None:
    server, client_pair = authority.issue("server"), authority.issue("client")
    credentials = grpc.ssl_server_credentials(
        [(server.key.read_bytes(), server.certificate.read_bytes())],
        root_certificates=authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    ca = authority.certificate
    with serving(FakeGateway(), credentials) as url:
        own = Tls(ca=ca, certificate=client_pair.certificate, key=client_pair.key)
        with Client(url, tls=own) as client:
            assert client.capabilities().models
        for tls in (Tls(ca=ca), None):
            stranger = Client(url, tls=tls, deadline_s=5)
            with stranger as client, pytest.raises(BackendUnavailable):
                client.capabilities()


def test_half_a_pair_is_refused(authority: Authority) -> None:
    with pytest.raises(ValueError, match="go together"):
        Client("localhost:1", tls=Tls(certificate=authority.certificate))
