"""What a server offers: its models, their methods, its limits, and what an explanation costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method."""

    name: str
    type: str
    """`integer`, `number`, `boolean` or `string`."""
    default: str
    """As text; empty where the model decides."""
    minimum: float | None
    maximum: float | None
    unit: str
    """E.g. `samples`; empty where the number has none."""
    description: str
    choices: tuple[str, ...]
    """The values to choose from, for strings."""


@dataclass(frozen=True)
class MethodOffer:
    """One method for one model."""

    name: str
    available: bool
    unavailable_reason: str
    """Why not; empty where it is available."""
    runtime: str
    """`triton`, `local_copy` or empty."""
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Parity:
    """How far a model's gradient copy agrees with what Triton serves."""

    max_score_difference: float
    """On the scale 0 to 1."""
    tolerance: float
    probes: int
    """Inputs compared."""
    passed: bool


@dataclass(frozen=True)
class ModelOffer:
    """One model."""

    name: str
    version: str
    title: str
    description: str
    modality: str
    """`chest_xray`, `speech` or `photo`."""
    ready: bool
    labels: tuple[str, ...]
    """In the card's order."""
    thresholds: Mapping[str, float]
    """Score from which a label counts as present, by label; labels without one are absent."""
    activation: str
    """`softmax`, `sigmoid` or `binary_sigmoid`."""
    media_types: tuple[str, ...]
    """Types of files it accepts, by content."""
    methods: tuple[MethodOffer, ...]
    parity: Parity | None
    """None while the copy was not loaded yet, or where there is none."""
    grad_cam_layers: tuple[str, ...]
    """The default first."""
    weights_digest: str
    """SHA-256, in hexadecimal."""
    card: Mapping[str, Any]
    """The whole card."""


@dataclass(frozen=True)
class Limits:
    """Limits of the server; 0 stands for one it does not tell."""

    max_content_bytes: int
    max_pixels: int
    max_audio_s: float
    """Seconds of sound."""
    max_methods: int
    """Methods in one request."""
    max_deadline_s: float
    """Longest deadline that is honoured, in seconds."""


@dataclass(frozen=True)
class Capabilities:
    """What is served right now."""

    models: tuple[ModelOffer, ...]
    """By name."""
    limits: Limits

    def model(self, name: str) -> ModelOffer:
        """One model by name.

        Raises:
            KeyError: it is not among them.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)


@dataclass(frozen=True)
class MethodPlan:
    """What one method would cost."""

    method: str
    model_calls: int
    """Inputs that the model evaluates."""
    bytes_to_triton: int
    seconds: float | None
    """From the speed measured so far; None before anything was measured."""


@dataclass(frozen=True)
class Plan:
    """What an explanation would cost."""

    methods: tuple[MethodPlan, ...]
    model_calls: int
    bytes_to_triton: int
    seconds: float | None
    """None before anything was measured."""
