"""Settings of the gateway: `PELLUCID_GATEWAY_<FIELD>` sets each one."""

from pathlib import Path

from limits import parse_many
from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from pellucid.serving.settings import TritonSettings


class GatewaySettings(TritonSettings):
    """Settings of the gateway."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="PELLUCID_GATEWAY_")

    max_concurrent_rpcs: int = Field(default=32, ge=1)
    """Calls at once; each may bring a message of `max_request_bytes`, and is read before it is
    judged."""
    max_request_bytes: int | None = Field(default=48 << 20, ge=1 << 20)
    """Largest message that comes in. Above `max_content_bytes`, so that a file that is little too
    large is answered with an error that names the limit."""
    grace_s: float = Field(default=13.0, ge=0)
    """What running calls get to finish when the gateway stops: more than the explain service's, so
    that the maps that it ends early come through."""
    preprocess_url: str = "127.0.0.1:50052"
    """Address of the preprocess service, `host:port`."""
    explain_url: str = "127.0.0.1:50053"
    """Address of the explain service, `host:port`."""
    explain_pools: dict[str, str] = Field(default_factory=dict)
    """Addresses of explain services for some models alone, by a model's name or framework, as JSON:
    `{"keras": "explain-keras:50053"}`. The others are explained at `explain_url`."""
    max_content_bytes: int = Field(default=32 << 20, ge=1 << 10)
    """Largest file; the preprocess service may read less."""
    refuse_out_of_distribution: bool = False
    """Refuse every file that is unlike its model's training data, not only where a request says
    so; by default it is answered with a warning."""
    index_dir: Path | None = None
    """Folder of the models' indices of cases, each named after its model; without it there are
    none. `pellucid index build` writes them."""
    quota: str = ""
    """How often one client may classify, plan, or look for cases, e.g. `20/second; 600/minute`:
    one more is answered QUOTA_EXCEEDED. Empty: as often as it likes."""
    explain_quota: str = ""
    """The same of explanations, e.g. `10/minute`."""
    explanations_per_client: int | None = Field(default=None, ge=1)
    """Explanations of one client at once, in each gateway; one more is answered QUOTA_EXCEEDED.
    Absent: as many as there are places."""
    quota_store: str = "memory://"
    """Where calls are counted: `redis://HOST:6379` for all gateways together, by default each for
    itself."""
    client_header: str = ""
    """Metadata that names the client, where an edge in front sets it, e.g. `x-forwarded-for`;
    without one a client is known by its certificate, or by its address."""
    preprocess_timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for the preprocess service, whatever the caller's deadline."""
    explain_timeout_s: float = Field(default=30.0, gt=0)
    """Longest wait for the explain service to accept or to plan an explanation, whatever the
    caller's deadline."""
    methods_timeout_s: float = Field(default=5.0, gt=0)
    """What the capabilities wait for the explain or the preprocess service before they do without
    it."""
    health_interval_s: float = Field(default=1.0, gt=0)
    """Between two checks of the services behind this one."""
    health_timeout_s: float = Field(default=3.0, gt=0)
    """After which a service that does not answer such a check counts as failing."""

    @field_validator("quota", "explain_quota")
    @classmethod
    def _is_a_quota(cls, quota: str) -> str:
        try:
            if quota:
                parse_many(quota)
        except ValueError as error:
            raise ValueError(f"{quota!r} is no quota such as 600/minute") from error
        return quota
