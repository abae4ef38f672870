"""The model card: everything Pellucid knows of a model besides its weights.

`card.yaml` in a model's folder is what a person edits. The Triton configuration carries it as JSON
in its parameters, so `ModelConfig` over gRPC tells every service all it needs.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

CARD_PARAMETER = "pellucid_card"
"""Triton parameter that holds the card as JSON."""
DIGEST_PARAMETER = "pellucid_weights_digest"
"""Triton parameter that holds the SHA-256 of `weights.safetensors` in hexadecimal."""
ROLE_PARAMETER = "pellucid_role"
"""Triton parameter: `classifier`, or `masked` for the graph that expands masks."""
PRECISION_PARAMETER = "pellucid_precision"
"""Triton parameter, set when a model is loaded: the arithmetic it runs in, e.g. `bfloat16`."""
MASKED_SUFFIX = "_masked"
"""Ends the name of the graph that expands masks, and so no card's own."""
_MAX_SPECTROGRAM_CELLS = 1 << 25
"""Frequencies times frames of one window: bounds the memory of a Fourier transform."""

Rule = tuple[str, bool, str]
"""Field, whether its value fits the other fields, and what it should be."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def _check(self, *rules: Rule) -> Self:
        """Raise for every rule that does not hold, as if its field alone were wrong."""
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError("contradiction", "Input should be {rule}", {"rule": rule}),
                loc=(name,),
                input=getattr(self, name),
            )
            for name, holds, rule in rules
            if not holds
        ]
        if wrong:
            raise ValidationError.from_exception_data(type(self).__name__, wrong)
        return self


class Modality(StrEnum):
    """What a model looks at; it decides the accepted files and how maps are drawn."""

    CHEST_XRAY = "chest_xray"
    SPEECH = "speech"
    PHOTO = "photo"


class Activation(StrEnum):
    """What turns the served logits into scores."""

    SOFTMAX = "softmax"
    """Labels exclude each other; one logit a label."""
    SIGMOID = "sigmoid"
    """Labels are independent; one logit a label."""
    BINARY_SIGMOID = "binary_sigmoid"
    """Two labels, one logit: that of `positive_label`."""


class Layout(StrEnum):
    """Order of a tensor's axes, without the batch."""

    CHW = "CHW"
    HWC = "HWC"


class ImageContract(_Frozen):
    """How a picture becomes a tensor: decode, to grey or RGB, resize, scale, normalise.

    The value of a pixel is `(v - mean) / std` with `v` from 0 (black) to 1 (white).
    """

    kind: Literal["image"]
    height: int = Field(gt=0, le=2048)
    width: int = Field(gt=0, le=2048)
    channels: Literal[1, 3]
    layout: Layout
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    """`stretch` ignores the aspect ratio; `crop` keeps the centre; `pad` adds black."""
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> Self:
        rule = f"one value for each of {self.channels} channels"
        return self._check(
            ("mean", len(self.mean) == self.channels, rule),
            ("std", len(self.std) == self.channels, rule),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one tensor, without the batch axis."""
        return _shape(self.layout, self.channels, self.height, self.width)


class AudioContract(_Frozen):
    """How sound becomes a tensor: mono, resampled, cut into windows, log-mel spectrogram.

    Row 0 is the lowest mel band. A cell is `(d - mean) / std` with `d` the power in decibels
    relative to full scale (`10 log10(max(power, 1e-10))`), clipped to `[floor_db, ceiling_db]`.
    """

    kind: Literal["log_mel"]
    sample_rate_hz: int = Field(ge=4_000, le=96_000)
    window_seconds: float = Field(gt=0, le=60)
    """Length of what the model sees at once."""
    hop_seconds: float = Field(gt=0, le=60)
    """Distance between the starts of consecutive windows of a longer clip."""
    pad: Literal["silence", "repeat"] = "silence"
    """What follows a clip that is shorter than the window."""
    n_fft: int = Field(ge=64, le=16_384)
    win_length: int = Field(ge=64, le=16_384)
    hop_length: int = Field(ge=16, le=16_384)
    n_mels: int = Field(ge=8, le=512)
    fmin_hz: float = Field(ge=0)
    fmax_hz: float = Field(gt=0)
    floor_db: float
    ceiling_db: float
    mean: float
    std: float = Field(gt=0)
    layout: Layout

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        cells = self.frames * (1 + self.n_fft // 2)
        return self._check(
            ("win_length", self.win_length <= self.n_fft, "at most n_fft"),
            ("fmax_hz", self.fmax_hz <= self.sample_rate_hz / 2, "at most half the rate"),
            ("fmin_hz", self.fmin_hz < self.fmax_hz, "below fmax_hz"),
            ("ceiling_db", self.floor_db < self.ceiling_db, "above floor_db"),
            ("window_seconds", self.n_fft <= self.window_samples, "at least n_fft samples"),
            ("hop_length", cells <= _MAX_SPECTROGRAM_CELLS, "larger, or n_fft smaller"),
        )

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def frames(self) -> int:
        """Columns of the spectrogram; librosa centres its frames."""
        return 1 + self.window_samples // self.hop_length

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one tensor, without the batch axis."""
        return _shape(self.layout, 1, self.n_mels, self.frames)


def _shape(layout: Layout, channels: int, height: int, width: int) -> tuple[int, int, int]:
    return (channels, height, width) if layout is Layout.CHW else (height, width, channels)


PreprocessContract = Annotated[ImageContract | AudioContract, Field(discriminator="kind")]


class Output(_Frozen):
    """What the served logits mean."""

    activation: Activation
    positive_label: str | None = None
    """The label whose logit a `binary_sigmoid` model gives."""


class Architecture(_Frozen):
    """The network that the weights fit; `pellucid.architectures` builds it."""

    framework: Literal["torch", "keras"]
    builder: str
    """A name that `pellucid.architectures` knows, e.g. `densenet121`."""
    arguments: dict[str, Any] = {}
    grad_cam_layers: tuple[str, ...] = ()
    """Layers that Grad-CAM may use, the default first; empty where it makes no sense."""
    parity_tolerance: float = Field(default=2e-2, gt=0)
    """Largest difference in score between Triton and the gradient copy on the probe inputs."""


class Card(_Frozen):
    """One model, as its owner describes it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    version: str
    title: str
    description: str
    task: Literal["classification"] = "classification"
    modality: Modality
    labels: tuple[str, ...] = Field(min_length=2)
    output: Output
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Score from which a label counts as present, chosen on the validation split."""
    precision: Literal["float32", "auto"] = "float32"
    """`auto` leaves it to the engine, which picks bfloat16 where the CPU has it."""
    preprocess: PreprocessContract
    architecture: Architecture | None = None
    """Absent where there is no gradient copy; then gradient methods are unavailable."""
    training_data: str = ""
    quality: dict[str, Any] = {}
    """Measured figures, with intervals, by split."""
    licence: str = ""
    attribution: str = ""
    intended_use: str = ""

    @field_validator("name")
    @classmethod
    def _names_no_masked_graph(cls, name: str) -> str:
        if name.endswith(MASKED_SUFFIX):
            raise ValueError(f"{MASKED_SUFFIX} ends the names of graphs that expand masks")
        return name

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from each other")
        if unknown := set(self.thresholds) - set(self.labels):
            raise ValueError(f"thresholds name no label of the model: {sorted(unknown)}")
        if self.output.activation is Activation.BINARY_SIGMOID:
            if len(self.labels) != 2 or self.output.positive_label not in self.labels:
                raise ValueError("binary_sigmoid needs two labels and positive_label among them")
        elif self.output.positive_label is not None:
            raise ValueError("positive_label is for binary_sigmoid only")
        return self

    @property
    def logits(self) -> int:
        """Width of the served output."""
        return 1 if self.output.activation is Activation.BINARY_SIGMOID else len(self.labels)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `card.yaml`.

        Raises:
            pydantic.ValidationError: it names the field that is wrong.
        """
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the card that a Triton configuration carries."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """The card as it goes into a Triton configuration; equal cards give equal text."""
        return self.model_dump_json(exclude_defaults=True)
