"""What may be asked of an explanation besides its methods: targets, scales, baselines, seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from typing_extensions import TypedDict

from pellucid.client.choices import Baseline, ScoreSpace
from pellucid.client.methods import Method, Segmentation


@dataclass(frozen=True)
class Label:
    """A target: one label by name."""

    name: str


@dataclass(frozen=True)
class Index:
    """A target: one label by its place in the model's card."""

    place: int
    """From 0."""


@dataclass(frozen=True)
class TopK:
    """Targets: the labels with the highest scores."""

    k: int = 1
    """1 to the number of labels."""


@dataclass(frozen=True)
class AboveThreshold:
    """Targets: every label that reaches the operating point's threshold; else the highest one."""


Target = Label | Index | TopK | AboveThreshold
Targets = Target | str | Sequence[Target | str]
"""One target or several; a string is a label's name."""
Methods = Method | Message | str | Sequence[Method | Message | str]
"""One method or several: one of this package's classes, a method's name for its defaults, or, for a
method that this package has no class for, the message of its parameters that the capabilities
name."""


class PlanOptions(TypedDict, total=False):
    """What may be asked of an explanation; whatever is left out takes the server's default."""

    methods: Methods | None
    """By default every method that the model can do."""
    target: Targets | None
    """By default the label with the highest score."""
    score_space: ScoreSpace | str | None
    """By default the logit."""
    baseline: Baseline | str | None
    """By default the first of the model's `baselines` in the capabilities."""
    segmentation: Segmentation | str | None
    """By default the first of the model's `segmentations` in the capabilities."""
    seed: int | None
    """Start of every random draw; by default 0."""
    deadline: float | None
    """Seconds for the whole call; by default the client's."""
    request_id: str | None
    """1 to 64 letters, digits, `.`, `_` and `-`; by default a new one."""


class ExplainOptions(PlanOptions, total=False):
    """`PlanOptions`, and what concerns the file in hand."""

    window: int | None
    """Which window of a recording is explained, from 0; by default where the target is highest."""
    operating_point: str | None
    """Whose thresholds decide what is present, one of the model's `operating_points` in the
    capabilities; by default the first."""
    refuse_out_of_distribution: bool
    """Refuse a file that is unlike the model's training data; by default it comes with a
    warning."""
