"""The model card: everything Pellucid knows of a model besides its weights.

`card.yaml` in a model's folder is what a person edits. The Triton configuration carries it as JSON
in its parameters, so `ModelConfig` over gRPC gives every service all it needs.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from pellucid.contracts import Baseline, PreprocessContract, baseline_name

CARD_PARAMETER = "pellucid_card"
"""Triton parameter that holds the card as JSON."""
DIGEST_PARAMETER = "pellucid_weights_digest"
"""Triton parameter that holds the SHA-256, in hexadecimal, of the file that the model is made of:
weights, a network or a graph; of an ensemble, that of its members' digests."""
ROLE_PARAMETER = "pellucid_role"
"""Triton parameter: `classifier`, or `masked` for the graph that expands masks."""
PRECISION_PARAMETER = "pellucid_precision"
"""Triton parameter, set when a model is loaded: the arithmetic it runs in, e.g. `bfloat16`."""
MASKED_SUFFIX = "_masked"
"""Ends the name of the graph that expands masks, and so no card's own."""

MEMBER_SCORES = "member_scores"
"""Second output of an ensemble: calibrated scores of its members, `(N, M, K')`."""
FEATURES = "features"
"""Output of a classifier that `gives_features`: the input of its last dense layer, `(N, D)`."""
DISTANCE = "distance"
"""Output of a classifier with a detector: how far inputs are from its training data, `(N, 1)`."""
PointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
Threshold = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Activation(StrEnum):
    """What turns the served logits into scores."""

    SOFTMAX = "softmax"
    """Labels exclude each other; one logit a label."""
    SIGMOID = "sigmoid"
    """Labels are independent; one logit a label."""
    BINARY_SIGMOID = "binary_sigmoid"
    """Two labels, one logit: that of `positive_label`."""


class Output(_Frozen):
    """What the served logits mean."""

    activation: Activation
    positive_label: str | None = None
    """The label whose logit a `binary_sigmoid` model gives."""


class Calibration(_Frozen):
    """Temperature scaling (arXiv:1706.04599): what logits are divided by for calibrated scores."""

    temperature: PositiveFloat | Annotated[dict[str, PositiveFloat], Field(min_length=1)]
    """One number where labels exclude each other, one for each label where they do not. Above 1,
    the raw scores are too sure of themselves."""


class Architecture(_Frozen):
    """What is differentiated: a network that Pellucid builds, or one in a file of the folder."""

    framework: Literal["torch", "keras", "onnx"]
    """`onnx`: the served graph, remade in torch."""
    builder: str | None = None
    """A name that `pellucid.architectures` knows, e.g. `densenet121`, which the weights fit; absent
    where the version folder holds the network itself."""
    arguments: dict[str, Any] = {}
    grad_cam_layers: tuple[str, ...] = ()
    """Layers that Grad-CAM may use, the default first; empty where it makes no sense."""
    parity_tolerance: float = Field(default=2e-2, gt=0)
    """Largest difference in score between Triton and the gradient copy on the probe inputs."""

    @model_validator(mode="after")
    def _builders_have_a_framework(self) -> Self:
        if self.framework == "onnx" and self.builder is not None:
            raise ValueError("builder is for torch and keras; of onnx the graph is the network")
        if self.builder is None and self.arguments:
            raise ValueError("arguments are a builder's, and none is named")
        return self


class Detector(_Frozen):
    """What says that an input is unlike those the model was trained on.

    Its arrays lie beside the weights, in `detector.safetensors`, and are computed in the graph.
    """

    kind: Literal["mahalanobis"]
    threshold: float = Field(gt=0)
    """Distance that 5 % of the validation inputs exceed."""
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the file that the threshold was chosen for; another file is refused."""


def first_error(error: ValidationError) -> str:
    """Which field of a card is wrong and what it should be, without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


class Card(_Frozen):
    """One model, as its owner describes it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    version: str
    title: str
    description: str
    task: Literal["classification"] = "classification"
    modality: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    """What it looks at, in a word of its own, e.g. `chest_xray`, `speech`, `skin_lesion`."""
    labels: tuple[str, ...] = Field(min_length=2)
    output: Output
    operating_points: dict[PointName, Annotated[dict[str, Threshold], Field(min_length=1)]] = {}
    """Raw scores from which labels count as present, by the name of the policy, e.g. `sensitive`;
    the first is the default. Chosen on the validation split."""
    calibration: Calibration | None = None
    """How raw scores become calibrated ones; chosen on the validation split."""
    default_baseline: str | None = None
    """What stands where a part is hidden and a request does not say, e.g. `mean`; absent: as usual
    for the kind of input. An evaluation puts the most neutral one here."""
    precision: Literal["float32", "auto"] = "float32"
    """`auto` leaves it to the engine, which picks bfloat16 where the CPU has it."""
    preprocess: PreprocessContract
    architecture: Architecture | None = None
    """Absent where there is no gradient copy; then gradient methods are unavailable."""
    members: tuple[str, ...] = ()
    """Of an ensemble, the models of the same contract, labels and output whose calibrated scores
    are averaged; it has no architecture and no weights of its own."""
    detector: Detector | None = None
    """Absent where nothing says that an input is unlike the training data."""
    features: bool = False
    """Whether its graph also puts out the features that its last dense layer weighs up, which an
    index of similar cases is made of; one with a detector always does."""
    training_data: str = ""
    quality: dict[str, Any] = {}
    """Measured figures, with intervals, by split."""
    licence: str = ""
    attribution: str = ""
    intended_use: str = ""

    @property
    def gives_features(self) -> bool:
        """Whether its graph has the output `features`."""
        return self.features or self.detector is not None

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
        for name, thresholds in self.operating_points.items():
            self._check_labels(f"operating point {name}", thresholds)
        self._check_calibration()
        self._check_members()
        if self.output.activation is Activation.BINARY_SIGMOID:
            if len(self.labels) != 2 or self.output.positive_label not in self.labels:
                raise ValueError("binary_sigmoid needs two labels and positive_label among them")
        elif self.output.positive_label is not None:
            raise ValueError("positive_label is for binary_sigmoid only")
        return self

    @model_validator(mode="after")
    def _baseline_is_of_its_input(self) -> Self:
        known = [baseline_name(baseline) for baseline in self.preprocess.baselines]
        if self.default_baseline is not None and self.default_baseline not in known:
            raise ValueError(f"default_baseline has to be one of: {', '.join(known)}")
        return self

    def _check_calibration(self) -> None:
        if self.calibration is None:
            return
        temperature = self.calibration.temperature
        if (self.output.activation is Activation.SIGMOID) != isinstance(temperature, dict):
            raise ValueError(
                "calibration: give one temperature where labels exclude each other, "
                "and one by label where they are independent"
            )
        if isinstance(temperature, dict):
            self._check_labels("calibration", temperature)

    def _check_members(self) -> None:
        if not self.members:
            return
        if len(self.members) < 2 or len(set(self.members)) < len(self.members):
            raise ValueError("members: name two models or more, each once")
        if self.name in self.members:
            raise ValueError("members: a model is no member of itself")
        if self.architecture is not None:
            raise ValueError("members have the architectures, an ensemble has none")

    def _check_labels(self, what: str, by_label: Iterable[str]) -> None:
        if unknown := set(by_label) - set(self.labels):
            raise ValueError(f"{what} names no label of the model: {sorted(unknown)}")

    @property
    def is_calibrated(self) -> bool:
        """Whether every label has a calibrated score."""
        temperature = self.calibration.temperature if self.calibration else {}
        return not isinstance(temperature, dict) or set(temperature) == set(self.labels)

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """What may stand where a part is hidden, the model's default first."""
        every = self.preprocess.baselines
        return tuple(sorted(every, key=lambda one: baseline_name(one) != self.default_baseline))

    @property
    def framework(self) -> str:
        """Of the model's network: `torch`, `keras` or `onnx`; empty where it has none."""
        return self.architecture.framework if self.architecture else ""

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
