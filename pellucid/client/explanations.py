"""Maps, and what comes with each: what it explains, how far to trust it, what decided its bytes.

Arrays are read-only numpy arrays. Classes that hold arrays compare by identity.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage
from numpy.typing import NDArray

from pellucid.client.choices import Baseline, Grade, ScoreSpace
from pellucid.client.methods import Method, Segmentation

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ResolvedTarget:
    """One label, as it was explained."""

    label: str
    index: int
    """Place in the card, from 0."""
    score: float
    """Score of the input on the scale that was explained."""
    baseline_score: float
    """Score of the baseline on the same scale."""
    score_space: ScoreSpace


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
class Measure:
    """One number that says how far a map can be trusted."""

    name: str
    """E.g. `r_squared`; the capabilities of the method describe it."""
    title: str
    """For people, e.g. `additivity gap`."""
    value: float
    grade: Grade | None
    """None where the server does not grade it."""
    words: str
    """What the value means for this map, in one sentence."""


@dataclass(frozen=True)
class Trust:
    """How far a map can be trusted: `trust["r_squared"].value`, or one measure after another."""

    measures: tuple[Measure, ...]
    """The numbers that the method gives."""
    all_zero: bool
    """The map is zero everywhere: the method found nothing."""
    warnings: tuple[str, ...]
    """In words, what to beware of; empty where nothing was noticed."""

    def __iter__(self) -> Iterator[Measure]:
        """Every measure, in the method's order."""
        return iter(self.measures)

    def __contains__(self, name: object) -> bool:
        """Whether the method gives the measure of this name."""
        return any(measure.name == name for measure in self.measures)

    def __getitem__(self, name: str) -> Measure:
        """One measure by name.

        Raises:
            KeyError: the method does not give it.
        """
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)


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
    method: Method | AnyMessage | None
    """With every parameter resolved; for a method that this package has no class for, the message
    of its parameters; None where the server is newer than this package."""
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
    """One map of one method for one target; an event where it is finished."""

    method: str
    """Name of the method, e.g. `lime`."""
    title: str
    """Name of the method for people, e.g. `Integrated Gradients`."""
    description: str
    """One line: how the method works."""
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
    finished: bool
    """False for a partial map: its method was still running."""
