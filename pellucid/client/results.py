"""What is answered: the events of an explanation, and what they carry.

Arrays are read-only numpy arrays. Classes that hold arrays compare by identity.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.client.predictions import Prediction
from pellucid.client.questions import Baseline, Method, ScoreSpace, Segmentation

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """Takes a point of the map to the original: x' = a x + b y + c, y' = d x + e y + f.

    x counts columns and y rows, both from the outer edge of the first (0) to the outer edge of the
    last. For sound, x' is in seconds from the start of the file, y' in mel bands.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """The point of the original that (x, y) of the map shows."""
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f


@dataclass(frozen=True, eq=False)
class SpectrogramAxes:
    """Axes of a spectrogram of `H` mel bands and `W` frames."""

    time_s: NDArray[np.float64]
    """Centre of each column, shape (W,), in seconds from the start of the file."""
    frequency_hz: NDArray[np.float64]
    """Centre of each row, shape (H,), in hertz, lowest first."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model saw: a picture, or one window of a recording."""

    digest: str
    """SHA-256 of the tensor, in hexadecimal; every map of a request carries the same."""
    to_original: Affine
    start_s: float
    """Seconds from the start of the file; 0 for a picture."""
    end_s: float
    """Past the file's end where the window was padded; 0 for a picture."""
    axes: SpectrogramAxes | None
    """For sound only."""
    display_png: bytes
    """8-bit PNG of the tensor's height and width; row 0 of a spectrogram is at the bottom."""


@dataclass(frozen=True)
class ResolvedTarget:
    """One label, as it was explained."""

    label: str
    index: int
    """Place in the card, from 0."""
    score: float
    """Score of the input on the scale that was explained."""
    baseline_score: float | None
    """Score of the baseline on the same scale; None where it was not evaluated yet."""
    score_space: ScoreSpace


@dataclass(frozen=True)
class Explained:
    """First event: the prediction, and the part of the file that is explained."""

    prediction: Prediction
    window_index: int
    """Which window is explained, from 0."""
    window: ModelInput
    targets: tuple[ResolvedTarget, ...]
    """What is explained, in order."""


@dataclass(frozen=True)
class Progress:
    """Event: how far one method is."""

    method: str
    calls_done: int
    """Model calls (masks, steps or layers) done."""
    calls_total: int
    elapsed_s: float
    """Seconds since this method began."""
    remaining_s: float | None
    """Estimated seconds; None before the first call came back."""


@dataclass(frozen=True, eq=False)
class SegmentScores:
    """Attribution of each of `S` segments."""

    segments: NDArray[np.uint16]
    """Shape (H, W): which segment a cell belongs to, from 0."""
    values: Floats
    """Shape (S,), signed."""
    low: Floats | None
    """Lower ends of the 95 % intervals, shape (S,); None where the method does not sample."""
    high: Floats | None
    """Upper ends of the 95 % intervals, shape (S,); None where the method does not sample."""


@dataclass(frozen=True)
class Trust:
    """How far a map can be trusted. Each number is None where its method does not define it."""

    completeness_gap: float | None
    """|sum of attributions - (score - baseline score)| of integrated gradients."""
    additivity_gap: float | None
    """|sum of attributions - (score - baseline score)| of SHAP."""
    r_squared: float | None
    """Weighted coefficient of determination of LIME's regression, at most 1."""
    coverage: float | None
    """Share of the input that occlusion covered, 0 to 1."""
    all_zero: bool
    """The map is zero everywhere: the method found nothing."""
    warnings: tuple[str, ...]
    """In words, what to beware of."""


@dataclass(frozen=True)
class Receipt:
    """All that decides the bytes of a map on one server, and what it cost.

    Another configuration, engine or kind of CPU may give other last bits.
    """

    model: str
    model_version: str
    weights_digest: str
    """SHA-256 of the weights, in hexadecimal."""
    input_digest: str
    """SHA-256 of the tensor, in hexadecimal."""
    method: Method | None
    """With every parameter resolved; None for a method this client does not know."""
    score_space: ScoreSpace
    baseline: Baseline | None
    """None where the method uses none."""
    segmentation: Segmentation | None
    """With every parameter resolved; None for methods without segments."""
    seed: int
    precision: str
    """Arithmetic of the model, e.g. `float32`; `unknown` where the engine does not say."""
    model_calls: int
    """Inputs that the model evaluated for this map; shared by its targets."""
    seconds: float
    """Wall-clock time of this method."""
    library_versions: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Event: one finished map of one method for one target."""

    method: str
    """Name of the method, e.g. `lime`."""
    target: ResolvedTarget
    map: Floats
    """Shape (H, W) in the model's input coordinates, signed: above 0 speaks for the target.

    Always finite. Row 0 of a spectrogram is the lowest band.
    """
    segment_scores: SegmentScores | None
    """For methods that work on segments."""
    trust: Trust
    receipt: Receipt
    truncated: bool
    """The deadline came first: the map rests on fewer calls than asked for."""


@dataclass(frozen=True, eq=False)
class Partial:
    """Event: a usable map of a method that still runs; a later one takes its place."""

    explanation: Explanation


@dataclass(frozen=True)
class Agreement:
    """How alike two maps of the same target are."""

    method_a: str
    method_b: str
    label: str
    rank_correlation: float | None
    """Spearman's, -1 to 1; None where one map is constant."""
    top_overlap: float | None
    """Intersection over union of the tenths of the input with the highest values, 0 to 1; None
    where a map has no such tenth."""


@dataclass(frozen=True)
class Comparison:
    """Last event, where there are at least two methods: all pairs, for each target."""

    agreements: tuple[Agreement, ...]


Event = Explained | Progress | Partial | Explanation | Comparison


@dataclass(frozen=True)
class Result:
    """A whole explanation, collected."""

    explained: Explained
    explanations: tuple[Explanation, ...]
    """Finished maps, in the order they came."""
    comparison: Comparison | None
    """None where there was one method only."""

    @property
    def prediction(self) -> Prediction:
        """What the model says of the file."""
        return self.explained.prediction

    def get(self, method: str, label: str | None = None) -> Explanation:
        """The map of one method, for one label or else the first target.

        Raises:
            KeyError: there is no such map.
        """
        for explanation in self.explanations:
            if explanation.method == method and label in (None, explanation.target.label):
                return explanation
        raise KeyError((method, label))
