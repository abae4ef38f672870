"""What every method takes, and what it gives.

Shapes: `(H, W)` is the plane of the model's input, `S` its segments, `N` perturbations, `K` labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explain_service.measures import Measure
from explain_service.segmentation import SegmentMap
from explain_service.triton_calls import Caller
from pellucid.api.explain.v1 import methods_pb2
from pellucid.scores import label_logits, probabilities
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of all labels, `(K,)` each, on the scale that is explained; of one call to Triton."""

    full: FloatArray
    """Of the input."""
    empty: FloatArray
    """Of the baseline."""
    precision: str
    """Arithmetic that they were computed in."""

    def gain(self, label: int) -> float:
        """Rise of a label's score from the baseline to the input."""
        return float(self.full[label]) - float(self.empty[label])


@dataclass(frozen=True)
class ExplainInput:
    """What all methods of a request share."""

    model: ServedModel
    tensor: FloatArray
    """`card.preprocess.shape`, as the client sent it; read-only."""
    baseline: FloatArray
    """`(1, *shape)`, or with axes of length 1 that broadcast to it; in the model's input space."""
    references: ReferenceScores
    targets: tuple[int, ...]
    """Labels to explain, by their place in the card."""
    probability: bool
    """Whether scores are explained after the activation; else as logits."""
    seed: int
    segments: SegmentMap
    """`(H, W)`; one segment where no method works on segments."""
    segmentation: methods_pb2.Segmentation
    """How they were cut; every parameter is known."""
    caller: Caller

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of the input, and of every map."""
        return self.model.card.preprocess.plane

    @property
    def segment_count(self) -> int:
        """Number of segments, `S`."""
        return int(self.segments.max()) + 1

    def scores(self, served: FloatArray) -> FloatArray:
        """Scores of all labels `(N, K)` on the scale that is explained, from served logits."""
        return scores_of(self.model, served, probability=self.probability)


def scores_of(model: ServedModel, served: FloatArray, *, probability: bool) -> FloatArray:
    """Scores of all labels `(N, K)`, 0 to 1 or as logits, from served logits `(N, K')`."""
    convert = probabilities if probability else label_logits
    return convert(model.card, served)


@dataclass(frozen=True)
class SegmentValues:
    """Attribution of each segment."""

    segments: SegmentMap
    """`(H, W)`."""
    values: FloatArray
    """`(S,)`."""
    low: FloatArray | None = None
    """`(S,)`, lower end of the 95 % interval; None where there is none."""
    high: FloatArray | None = None
    """`(S,)`, upper end of the 95 % interval; None where there is none."""

    @classmethod
    def of(
        cls,
        segments: SegmentMap,
        values: npt.NDArray[np.float64],
        spread: npt.NDArray[np.float64] | None = None,
    ) -> "SegmentValues":
        """Values `(S,)` and half the width of their intervals `(S,)`, in double precision."""
        low = None if spread is None else (values - spread).astype(np.float32)
        high = None if spread is None else (values + spread).astype(np.float32)
        return cls(segments, values.astype(np.float32), low, high)

    @property
    def map(self) -> FloatArray:
        """The values on the plane, `(H, W)`."""
        return self.values[self.segments]


@dataclass(frozen=True)
class Attribution:
    """One map for one target, and how far it can be trusted."""

    map: FloatArray
    """`(H, W)`, signed: above 0 speaks for the target."""
    segments: SegmentValues | None = None
    """For methods that work on segments."""
    measures: tuple[Measure, ...] = ()
    warnings: tuple[str, ...] = ()
    """In words, what to beware of."""
    truncated: bool = False
    """The time was up: the map rests on fewer calls than asked for."""
