"""Settings of an embedded system."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pellucid.client.connection import Tls

ServiceName = Literal["prometheus", "triton", "preprocess", "explain", "gateway"]
ALL_SERVICES: tuple[ServiceName, ...] = ("triton", "preprocess", "explain", "gateway")
"""In the order they depend on each other; they are stopped in the reverse order."""
OBSERVED: tuple[ServiceName, ...] = ("prometheus", *ALL_SERVICES)
"""With Prometheus, which needs none of them and watches all."""

Port = int
"""0 stands for any free port."""


class SystemSettings(BaseModel):
    """What to run, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: Path = Path("triton_repo")
    """Triton's model repository."""
    state_dir: Path = Path(".pellucid")
    """Folder of the state file and the logs; one system has one."""
    host: str = "127.0.0.1"
    """Address that the gateway listens on, its metrics with it; Triton and the inner services, and
    their metrics, are for this machine alone."""
    gateway_port: Port = 50050
    """The only port that clients need."""
    ports: dict[str, Port] = Field(default_factory=dict)
    """Other ports by purpose, e.g. `triton`, `explain`, `gateway_metrics`; free if absent."""
    services: tuple[ServiceName, ...] = ALL_SERVICES
    """What to start; tests of one service may want Triton alone."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables for the services, e.g. `PELLUCID_EXPLAIN_WORKERS`."""
    traces: str | None = None
    """Where the services and Triton send OpenTelemetry traces: OTLP over HTTP, e.g.
    `http://localhost:4318/v1/traces`."""
    tls: Tls | None = None
    """How health is asked of a service that speaks TLS as `PELLUCID_<SERVICE>_TLS_CERTIFICATE`
    says, here or in `variables`; if absent, that very certificate is trusted."""
    models: frozenset[str] | None = None
    """Names of the models that are built and loaded; all where None."""
    first: frozenset[str] = frozenset()
    """Names of the models that are built and loaded before the system counts as ready; the others
    follow while it serves, which needs `watch`. All are the first where none is named."""
    watch: bool = True
    """Whether model folders that appear, change or go while the system runs are followed."""
    cache: Path | None = None
    """Folder of Triton's environment; the user's cache folder if absent."""
    start_timeout_s: float = Field(default=300, gt=0)
    """Seconds until every service must be healthy, after everything is built."""
    stop_grace_s: float = Field(default=15, gt=0)
    """Seconds that each service gets to end by itself."""
