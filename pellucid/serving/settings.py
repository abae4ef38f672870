"""Settings that every service has; a service adds its own and its prefix.

Each field can be set through the environment: `PELLUCID_GATEWAY_PORT=50050` sets the gateway's
`port`.
"""

from pathlib import Path
from typing import Self

from pydantic import AnyHttpUrl, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Settings of one service, read once when it starts."""

    model_config = SettingsConfigDict(frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: int = Field(default=0, ge=0, le=65_535)
    """Port of the gRPC server; 0 picks a free one."""
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Port of the Prometheus metrics; 0 picks a free one."""
    health_port: int | None = Field(default=None, ge=0, le=65_535)
    """Port of a second server that answers health alone, never with TLS: the probes of a cluster
    have no certificates. 0 picks a free one; absent, there is none."""
    max_connection_age_s: float | None = Field(default=None, gt=0)
    """Age at which a connection is closed, once the calls on it have ended: clients then also find
    replicas that came later. Absent: never."""
    max_message_bytes: int = Field(default=128 << 20, ge=1 << 20)
    """Largest gRPC message, in and out; the services use the same at both ends."""
    max_request_bytes: int | None = Field(default=None, ge=1 << 20)
    """Largest message that comes in, where it is less than `max_message_bytes`."""
    max_parameter_bytes: int = Field(default=1 << 18, ge=1 << 10)
    """Largest part of a request that is not a file or a tensor."""
    receive_timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for the message of a call that has begun."""
    max_concurrent_rpcs: int = Field(default=64, ge=1)
    """Calls at once; one more is answered QUEUE_FULL. Health and reflection are not counted."""
    default_deadline_s: float = Field(default=60.0, gt=0)
    """For callers that give none."""
    max_deadline_s: float = Field(default=900.0, gt=0)
    """Longest deadline that is honoured."""
    drain_s: float = Field(default=0.0, ge=0)
    """Between NOT_SERVING and refusing new calls; on Kubernetes, time to leave the endpoints."""
    grace_s: float = Field(default=10.0, ge=0)
    """What running calls get to finish when the service stops."""
    reflection: bool = True
    """Whether clients may ask for the contracts."""
    log_level: str = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    traces_endpoint: AnyHttpUrl | None = None
    """Where OpenTelemetry traces are sent as OTLP over HTTP, e.g.
    `http://collector:4318/v1/traces`; absent, none are made."""
    traces_share: float = Field(default=1.0, ge=0, le=1)
    """Of the requests that are traced, where the caller does not say."""
    tls_certificate: Path | None = None
    """PEM chain of this service; with `tls_key`, the server speaks TLS only. These and the
    other files of certificates are read again for new connections, so that they may be renewed."""
    tls_key: Path | None = None
    """PEM key of this service."""
    tls_client_ca: Path | None = None
    """PEM authorities whose client certificates are asked for and accepted (mTLS)."""
    peer_ca: Path | None = None
    """PEM authorities of the services behind this one; set, calls to them are encrypted."""
    peer_certificate: Path | None = None
    """PEM chain that this service shows to the services behind it (mTLS)."""
    peer_key: Path | None = None
    """PEM key that goes with `peer_certificate`."""

    @model_validator(mode="after")
    def _encrypts_what_it_shows_certificates_to(self) -> Self:
        if (self.peer_certificate is None) != (self.peer_key is None):
            raise ValueError("peer_certificate and peer_key go together; set both or neither")
        if self.peer_key is not None and not self._authorities():
            raise ValueError(
                "peer_certificate and peer_key are shown to nobody: "
                "set the authorities of the services behind this one"
            )
        return self

    def _authorities(self) -> list[Path]:
        """Of whom this service calls."""
        return [path for path in (self.peer_ca,) if path is not None]


class TritonSettings(ServiceSettings):
    """Settings of a service that calls Triton."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC address, `host:port`."""
    triton_ca: Path | None = None
    """PEM authorities of Triton; set, calls to it are encrypted, and shown the `peer_` pair."""
    triton_call_timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for one inference, whatever the caller's deadline; one that takes longer
    fails."""
    catalogue_interval_s: float = Field(default=1.0, gt=0)
    """Between two readings of what Triton serves."""
    catalogue_timeout_s: float = Field(default=5.0, gt=0)
    """Longest wait for an answer about models."""

    def _authorities(self) -> list[Path]:
        return [path for path in (self.peer_ca, self.triton_ca) if path is not None]
