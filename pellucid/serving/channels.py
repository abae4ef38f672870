"""Channels to other services: one setting of sizes and keepalive, TLS where it is asked for."""

from pathlib import Path
from typing import Final

import grpc

from pellucid.serving.settings import ServiceSettings

KEEPALIVE_MS: Final = 60_000
"""Clients ping this rarely at most; servers allow half of it."""


def channel_options(max_message_bytes: int) -> list[tuple[str, int | str]]:
    """Options of a client's channel; both ends of a connection use the same size."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        # A service that comes back is found within a second; gRPC's own limit is two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.lb_policy_name", "round_robin"),
    ]


def open_channel(target: str, settings: ServiceSettings) -> grpc.aio.Channel:
    """Open a channel to a service behind this one, as its settings say."""
    options = channel_options(settings.max_message_bytes)
    credentials = peer_credentials(settings)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, credentials, options)


def peer_credentials(settings: ServiceSettings) -> grpc.ChannelCredentials | None:
    """What calls to the services behind this one are encrypted with; None for plain text."""
    return _credentials(settings.peer_ca, settings)


def triton_credentials(settings: ServiceSettings) -> grpc.ChannelCredentials | None:
    """What calls to Triton are encrypted with; None for plain text."""
    return _credentials(settings.triton_ca, settings)


def _credentials(
    authorities: Path | None, settings: ServiceSettings
) -> grpc.ChannelCredentials | None:
    if authorities is None:
        return None
    return grpc.ssl_channel_credentials(
        authorities.read_bytes(), _read(settings.peer_key), _read(settings.peer_certificate)
    )


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """What the server is encrypted with; None for plain text.

    Raises:
        ValueError: only one of certificate and key is set, or a client authority without both.
    """
    key, certificate = _read(settings.tls_key), _read(settings.tls_certificate)
    if (key is None) != (certificate is None):
        raise ValueError("tls_certificate and tls_key go together; set both or neither")
    if key is None or certificate is None:
        if settings.tls_client_ca is not None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        return None
    client_ca = _read(settings.tls_client_ca)
    return grpc.ssl_server_credentials(
        [(key, certificate)], client_ca, require_client_auth=client_ca is not None
    )


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
