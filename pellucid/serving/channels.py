"""Channels to other services: one setting of sizes and keepalive, TLS where it is asked for."""

import json
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
import structlog

from pellucid.serving.renewed_channel import RenewedChannel
from pellucid.serving.settings import ServiceSettings, TritonSettings

log = structlog.get_logger(__name__)

KEEPALIVE_MS: Final = 60_000
"""Clients ping this rarely at most; servers allow half of it."""

TRITON_INFER: Final = ("inference.GRPCInferenceService", "ModelInfer")
"""Service and method; idempotent, so it may be retried."""
_RETRIES: Final = {
    "maxAttempts": 3,
    "initialBackoff": "0.3s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_THROTTLING: Final = {"maxTokens": 10, "tokenRatio": 0.1}
"""Retries cease while more than half of the last calls failed: they would only add to the load."""


def channel_options(
    max_message_bytes: int, retried: tuple[str, str] | None = None
) -> list[tuple[str, int | str]]:
    """Options of a client's channel.

    Args:
        max_message_bytes: both ends of a connection use the same.
        retried: service and method that may be retried, e.g. `TRITON_INFER`; gRPC does so twice
            at most, while the call's time lasts, where there was no answer.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        # A service that comes back is found within a second; gRPC's own limit is two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.lb_policy_name", "round_robin"),
    ]
    if retried is None:
        return options
    service, method = retried
    policy = {"name": [{"service": service, "method": method}], "retryPolicy": _RETRIES}
    return [
        *options,
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [policy], "retryThrottling": _THROTTLING}),
        ),
        # What does not fit is sent once only; gRPC's own limit is 256 KiB.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),
    ]


def open_channel(target: str, settings: ServiceSettings) -> grpc.aio.Channel:
    """Open a channel to a service behind this one, as its settings say."""
    options = channel_options(settings.max_message_bytes)
    opened: grpc.aio.Channel = _open(grpc.aio, target, settings.peer_ca, settings, options)
    return opened


def open_triton_channel(url: str, settings: TritonSettings) -> grpc.aio.Channel:
    """Open a channel to Triton, as the settings say; inferences without an answer are retried."""
    options = channel_options(settings.max_message_bytes, TRITON_INFER)
    opened: grpc.aio.Channel = _open(grpc.aio, url, settings.triton_ca, settings, options)
    return opened


def open_blocking_triton_channel(url: str, settings: TritonSettings) -> grpc.Channel:
    """The same for threads: its calls block, or give futures."""
    options = channel_options(settings.max_message_bytes, TRITON_INFER)
    opened: grpc.Channel = _open(grpc, url, settings.triton_ca, settings, options)
    return opened


def _open(
    kind: Any,
    target: str,
    authorities: Path | None,
    settings: ServiceSettings,
    options: list[tuple[str, int | str]],
) -> Any:
    """A channel of `grpc` or `grpc.aio`: plain, or with TLS where there are `authorities`."""
    if authorities is None:
        return kind.insecure_channel(target, options)

    def opened() -> Any:
        credentials = grpc.ssl_channel_credentials(
            authorities.read_bytes(), _read(settings.peer_key), _read(settings.peer_certificate)
        )
        return kind.secure_channel(target, credentials, options)

    files = (authorities, settings.peer_key, settings.peer_certificate)
    return RenewedChannel(opened, [path for path in files if path is not None])


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """What the server is encrypted with; None for plain text.

    Raises:
        ValueError: only one of certificate and key is set, or a client authority without both.
    """
    key, certificate = settings.tls_key, settings.tls_certificate
    if (key is None) != (certificate is None):
        raise ValueError("tls_certificate and tls_key go together; set both or neither")
    if key is None or certificate is None:
        if settings.tls_client_ca is not None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        return None
    files = (key, certificate, settings.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(
        _certificates(_contents(files)),
        _Renewal(files),  # type: ignore[arg-type]  # None, which gRPC knows, is not in its types
        require_client_authentication=settings.tls_client_ca is not None,
    )


_Paths: TypeAlias = tuple[Path, Path, Path | None]
"""Of key, chain and, for mTLS, client authorities."""
_Files: TypeAlias = tuple[bytes, bytes, bytes | None]


class _Renewal:
    """Called at each handshake; gives the certificates where their files have changed."""

    def __init__(self, files: _Paths) -> None:
        """Remember what key, chain and client authorities hold."""
        self._files = files
        self._known = _contents(files)

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """The new certificates; None where they are the same, or are being written."""
        try:
            now = _contents(self._files)
            if now == self._known:
                return None
            found = _certificates(now)
        except (OSError, ValueError) as error:
            log.warning("certificates not renewed", why=str(error))
            return None
        self._known = now
        log.info("certificates renewed", certificate=str(self._files[1]))
        return found


def _certificates(files: _Files) -> grpc.ServerCertificateConfiguration:
    key, chain, client_ca = files
    return grpc.ssl_server_certificate_configuration([(key, chain)], client_ca)


def _contents(paths: _Paths) -> _Files:
    key, chain, client_ca = paths
    return key.read_bytes(), chain.read_bytes(), _read(client_ca)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
