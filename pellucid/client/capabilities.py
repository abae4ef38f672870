"""What a server can do: its models, their methods, its limits, and what an explanation costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.client.choices import Baseline, ModelState, Runtime


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method or of a segmentation."""

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
    """The values to choose from, for strings; the default first."""


@dataclass(frozen=True)
class MeasureCapability:
    """A number that a method gives with every map, which says how far the map can be trusted."""

    name: str
    """Its name in `Explanation.trust`, e.g. `r_squared`."""
    title: str
    """For people, e.g. `additivity gap`."""
    description: str
    """One line: what it is."""


@dataclass(frozen=True)
class MethodCapability:
    """One method for one model."""

    name: str
    """E.g. `lime`."""
    title: str
    """For people, e.g. `Integrated Gradients`."""
    description: str
    """One line: how it works."""
    paper: str
    """Where it was published, e.g. `arXiv:1602.04938`."""
    available: bool
    unavailable_reason: str
    """Why not; empty where it is available."""
    runtime: Runtime | None
    parameters: tuple[Parameter, ...]
    parameters_message: str
    """Full name of the protobuf message of its parameters."""
    measures: tuple[MeasureCapability, ...]
    """The numbers that come with its maps."""
    on_segments: bool
    """Whether it works on segments, and so depends on the segmentation."""


@dataclass(frozen=True)
class SegmentationCapability:
    """One way to cut the input of a model into segments."""

    name: str
    """E.g. `slic`."""
    title: str
    description: str
    """One line: how it works."""
    paper: str
    """Where it was published; empty where it needs no paper."""
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
class ModelCapability:
    """One model. Of one that is not ready, only name, state and reason are known for sure."""

    name: str
    version: str
    title: str
    description: str
    modality: str
    """What it looks at, in the card's own word, e.g. `chest_xray` or `speech`."""
    state: ModelState
    state_reason: str
    """Why it is not ready; empty where it is."""
    precision: str
    """Arithmetic that it runs in, e.g. `float32`; `unknown` where the engine does not say."""
    labels: tuple[str, ...]
    """In the card's order."""
    indexed_cases: int
    """Cases of its index, which `find_similar` answers from; 0 where it has none that fits it."""
    operating_points: Mapping[str, Mapping[str, float]]
    """Raw scores from which labels count as present, by the name of the point, the default first,
    and by label; labels without one are absent."""
    activation: str
    """`softmax`, `sigmoid` or `binary_sigmoid`."""
    media_types: tuple[str, ...]
    """Types of files it accepts, by content."""
    methods: tuple[MethodCapability, ...]
    baselines: tuple[Baseline, ...]
    """What may stand where a segment is hidden, the default first."""
    segmentations: tuple[SegmentationCapability, ...]
    """Ways to cut the input into segments, the default first."""
    parity: Parity | None
    """None while the copy was not loaded yet, or where there is none."""
    weights_digest: str
    """SHA-256, in hexadecimal."""
    card: Mapping[str, Any]
    """The whole card."""

    @property
    def ready(self) -> bool:
        """Whether it answers now."""
        return self.state is ModelState.READY

    @property
    def available_methods(self) -> tuple[str, ...]:
        """Names of the methods that can explain it."""
        return tuple(method.name for method in self.methods if method.available)


@dataclass(frozen=True)
class Limits:
    """Limits of the server; 0 stands for one that it does not name."""

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

    models: tuple[ModelCapability, ...]
    """By name."""
    limits: Limits

    def model(self, name: str) -> ModelCapability:
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
