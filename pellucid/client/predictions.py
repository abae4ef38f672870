"""What a model says of one file, and what was read from it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabelScore:
    """Score of one label."""

    label: str
    score: float
    """Raw: after the activation, 0 to 1. Thresholds apply to it, and maps explain it."""
    logit: float
    """Before the activation."""
    above_threshold: bool | None
    """The raw score reaches the operating point's threshold; None where that gives none."""
    calibrated_score: float | None = None
    """The logit divided by the card's temperature, after the activation, 0 to 1: of cases like
    those of the validation split, about this share is positive. None where the card has no
    temperature."""
    spread: float | None = None
    """Of an ensemble: standard deviation of its members' calibrated scores, whose mean the score
    is; None for other models."""


@dataclass(frozen=True)
class WindowScore:
    """Scores of one window of a recording; a picture has one."""

    scores: tuple[LabelScore, ...]
    """In the card's order."""
    input_digest: str
    """SHA-256 of the tensor, in hexadecimal."""
    start_s: float
    """Seconds from the start of the file; 0 for a picture."""
    end_s: float
    """Past the file's end where the window was padded; 0 for a picture."""
    distance: float | None = None
    """From the model's training data; None where it has no detector."""


@dataclass(frozen=True)
class OutOfDistribution:
    """How unlike a model's training data a file is."""

    score: float
    """Distance from the training data; the median of the windows'."""
    threshold: float
    """Distance that one in twenty files like the training data exceeds."""
    warning: bool
    """The score exceeds the threshold: what the model says may mean nothing."""
    detector: str
    """Kind of the detector, e.g. `mahalanobis`."""


@dataclass(frozen=True)
class ImageFacts:
    """What was read from a picture, besides its pixels."""

    width: int
    """Pixels, after the EXIF orientation was applied."""
    height: int
    """Pixels, after the EXIF orientation was applied."""
    bit_depth: int
    """Bits stored for one sample."""
    colour: str
    """As the file says it, e.g. `grey`, `rgb`, `MONOCHROME1`."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    modality: str
    """DICOM modality, e.g. `DX`; empty for other files."""
    transfer_syntax: str
    """DICOM transfer syntax by name; empty for other files."""


@dataclass(frozen=True)
class AudioFacts:
    """What was read from a recording, besides its samples."""

    sample_rate_hz: int
    """Of the file, before resampling."""
    channels: int
    """Of the file, before mixing."""
    duration_s: float
    """Seconds, of the whole file."""
    encoding: str
    """As the file says it, e.g. `PCM_16`."""
    bit_depth: int
    """Bits stored for one sample; 0 where the encoding has no fixed number."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one file."""

    model: str
    model_version: str
    scores: tuple[LabelScore, ...]
    """In the card's order; for several windows, the mean of the windows' scores."""
    top_label: str
    """Label with the highest score."""
    windows: tuple[WindowScore, ...]
    """One for a picture; for a recording one a window, in order."""
    media_type: str
    """By content, e.g. `image/png`."""
    facts: ImageFacts | AudioFacts | None
    precision: str
    """Arithmetic of the model, e.g. `float32`; `unknown` where the engine does not say."""
    request_id: str
    """Also in every service's logs."""
    operating_point: str = ""
    """Whose thresholds decided what is present; empty where the card has none."""
    out_of_distribution: OutOfDistribution | None = None
    """None where the model has no detector."""

    def score(self, label: str) -> LabelScore:
        """Score of one label.

        Raises:
            KeyError: the model has no such label.
        """
        for score in self.scores:
            if score.label == label:
                return score
        raise KeyError(label)


@dataclass(frozen=True)
class SimilarCase:
    """A case of a model's index."""

    id: str
    """As the index names it: its file, from the folder that was indexed."""
    labels: tuple[str, ...]
    """As its owner labelled it; empty where nobody did."""
    distance: float
    """Euclidean distance of the features that the model's last layer weighs up, from 0."""
    start_s: float
    """Part of the case's file, in seconds; 0 for a picture."""
    end_s: float
    """End of the part; 0 for a picture."""
    thumbnail_png: bytes = field(repr=False)
    """Small picture of what the model saw; empty where the index keeps none."""


@dataclass(frozen=True)
class SimilarCases:
    """The cases of a model's index that the model finds most like one file."""

    prediction: Prediction
    """Of the file."""
    window: int
    """Which window of the file was looked for, from 0."""
    cases: tuple[SimilarCase, ...]
    """The nearest first."""
    indexed: int
    """Cases that were searched."""
    typical_distance: float
    """Median distance of the index's cases from the one most like them."""
