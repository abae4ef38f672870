"""How a client reaches a server: sizes, keepalive, retries and TLS."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from pellucid.api.gateway.v1 import gateway_pb2

DEFAULT_URL: Final = "localhost:50050"
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
"""Unary calls are retried where the server is unavailable; a stream that breaks is the caller's."""


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


def is_local(url: str) -> bool:
    """Whether a gRPC target stays on this machine: a loopback address, or a Unix socket."""
    scheme, colon, rest = url.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    named = colon and (scheme in ("ipv4", "ipv6") or rest.startswith("//"))
    # The authority of `dns://authority/host:port` only says who resolves the name.
    addresses = rest.rpartition("/")[2] if named else url
    return all(_is_loopback(address) for address in addresses.split(","))


def _is_loopback(address: str) -> bool:
    host = address.partition("]")[0][1:] if address.startswith("[") else address.partition(":")[0]
    try:
        known = ipaddress.ip_address(host)
        return known.is_loopback or known.is_unspecified  # 0.0.0.0 is reached here as well
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where a server is and how to talk to it."""

    url: str
    """`host:port`, or any gRPC target such as `dns:///gateway:50050`."""
    tls: Tls | None
    """None for plaintext."""
    plaintext: bool
    """Without TLS, talk to another machine all the same."""
    call_credentials: bool
    """Whether credentials go with every call."""
    max_message_bytes: int
    """Largest message, in and out."""

    def __post_init__(self) -> None:
        """Refuse to send files unencrypted to another machine unless that is asked for.

        Raises:
            ValueError: the server is on another machine, and neither `tls` nor `plaintext` is
                given; or two fields exclude each other.
        """
        if self.tls is not None and self.plaintext:
            raise ValueError("tls and plaintext exclude each other; give one")
        if self.tls is None and not self.plaintext and not is_local(self.url):
            raise ValueError(
                f"{self.url} is another machine: give tls=Tls(...), or plaintext=True on a network "
                "where everyone may read along"
            )

        if self.tls is None and self.call_credentials:
            raise ValueError("call credentials travel over TLS alone; give tls=Tls(...) too")

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
