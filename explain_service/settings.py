"""Settings of the explain service; `PELLUCID_EXPLAIN_<FIELD>` sets each one."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from explain_service.gradient.copies import CHUNK, MEMORY_BYTES, THREADS
from explain_service.run_control import PARTIAL_EVERY_S
from pellucid.serving.settings import TritonSettings


class ExplainSettings(TritonSettings):
    """Settings of the explain service, read once when it starts."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="PELLUCID_EXPLAIN_")

    model_repository: Path = Path("triton_repo")
    """Folder of the models; gradient copies read the weights there."""
    pool: frozenset[str] = frozenset()
    """Names or frameworks of the models that the gateway's `explain_pools` send here, as JSON:
    gradient copies of others are not loaded before somebody asks. Empty: all models."""
    workers: int = Field(default=2, ge=1, le=64)
    """Explanations at once, each on its own thread."""
    queue_length: int = Field(default=16, ge=0, le=1_000)
    """Explanations that may wait; one more is answered QUEUE_FULL."""
    calls_in_flight: int = Field(default=2, ge=1, le=64)
    """Calls to Triton at once, of all explanations together, so that predictions get their turn."""
    masks_per_call: int = Field(default=24, ge=1, le=1_024)
    """Masks in one call to Triton; the input travels with each call."""
    partial_every_s: float = Field(default=PARTIAL_EVERY_S, ge=0)
    """Between two partial maps of one method."""
    finish_s: float = Field(default=1.0, ge=0, le=60)
    """What is kept of the deadline to compute and send what there is; a tenth of it at most."""
    gradient_chunk: int = Field(default=CHUNK, ge=1, le=64)
    """Inputs of 224 x 224 that a gradient copy differentiates at once, 130 MB each for
    DenseNet-121; of larger inputs it takes fewer."""
    gradient_memory_mb: int = Field(default=MEMORY_BYTES >> 20, ge=1)
    """Weights of gradient copies that are kept, in MB; the one that was not used for longest leaves
    first."""
    gradient_threads: int = Field(default=THREADS, ge=1, le=64)
    """Threads of a gradient copy; more are faster only where cores are idle."""
