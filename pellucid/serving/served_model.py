"""What the catalogue holds of one model."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pellucid.cards import Card

UNKNOWN_PRECISION: Final = "unknown"
_MOST_ROWS: Final = 16
_MOST_BYTES: Final = 16 << 20
"""Inputs in one call, so that other callers get their turn."""


class State(StrEnum):
    """Of a model in Triton."""

    READY = "READY"
    LOADING = "LOADING"
    """It is loading, or unloading."""
    FAILED = "FAILED"
    """It could not be loaded, or its card cannot be read."""
    UNLOADED = "UNLOADED"
    """Its folder is there, but it was never loaded, or was unloaded."""


@dataclass(frozen=True)
class ServedModel:
    """A classifier that is ready and has a card."""

    card: Card
    version: str
    """Version folder that Triton serves; every inference names it."""
    weights_digest: str
    """SHA-256 in hexadecimal; empty where the configuration has none."""
    masked: bool
    """Whether the graph that expands masks is served too, of the same version and weights."""
    masked_is_coming: bool = False
    """Whether it is not, but Triton has that graph, not loaded yet or of another version."""
    precision: str = UNKNOWN_PRECISION
    """Arithmetic that the model runs in, as far as its configuration says."""
    max_batch: int = 1
    """Inputs that it takes in one call."""

    def rows_per_call(self, nbytes: int) -> int:
        """How many inputs of `nbytes` each go into one call; at least one."""
        return max(1, min(self.max_batch, _MOST_ROWS, _MOST_BYTES // nbytes))


@dataclass(frozen=True)
class Entry:
    """One model of Triton's repository."""

    name: str
    state: State
    reason: str = ""
    """Why it is not ready; empty where it is."""
    model: ServedModel | None = None
    """Where it is ready."""
    retry_after_s: float = 1.0
    """When to come back, where it is not ready."""
