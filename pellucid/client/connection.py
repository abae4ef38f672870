"""How a client reaches a server: sizes, keepalive, retries and TLS."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from pellucid.api.gateway.v1 import gateway_pb2

_SERVICE: Final = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name
_IDEMPOTENT: Final = ("GetCapabilities", "Classify", "PlanExplain")
SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": _SERVICE, "method": method} for method in _IDEMPOTENT],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)
"""Unary calls are made again when nobody answered; a stream that broke off is the caller's."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Encryption of a connection; without any field, the system's authorities are trusted."""

    ca: Path | str | None = None
    """PEM authorities that the server's certificate must come from."""
    certificate: Path | str | None = None
    """PEM chain that this client shows (mTLS); goes with `key`."""
    key: Path | str | None = None
    """PEM key that goes with `certificate`."""
    server_name: str = ""
    """Name in the server's certificate, where it differs from the address."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            OSError: one cannot be read.
            ValueError: only one of certificate and key is set.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; set both or neither")
        parts = (self.ca, self.key, self.certificate)
        ca, key, chain = (None if part is None else Path(part).read_bytes() for part in parts)
        return grpc.ssl_channel_credentials(ca, key, chain)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where a server is and how to talk to it."""

    url: str
    """`host:port`, or any gRPC target such as `dns:///gateway:50050`."""
    tls: Tls | None
    """None for plain text."""
    max_message_bytes: int
    """Largest message, in and out."""

    def options(self) -> list[tuple[str, int | str]]:
        """Options of the channel."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            # Servers allow a ping every 30 s; long explanations keep proxies from closing.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.enable_retries", 1),
            ("grpc.service_config", SERVICE_CONFIG),
        ]
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options

    def open(self) -> grpc.Channel:
        """Open a channel; nothing is sent before the first call."""
        if self.tls is None:
            return grpc.insecure_channel(self.url, self.options())
        return grpc.secure_channel(self.url, self.tls.credentials(), self.options())

    def open_async(self) -> grpc.aio.Channel:
        """Open a channel for the running event loop."""
        if self.tls is None:
            return grpc.aio.insecure_channel(self.url, self.options())
        return grpc.aio.secure_channel(self.url, self.tls.credentials(), self.options())
