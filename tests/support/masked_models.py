"""A model under masks that answers from a formula: no Triton, no network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from explain_service.attribution import Attribution
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.masks import MaskRows
from explain_service.run_control import RunControl
from explain_service.segmentation import SegmentMap
from pellucid.parameters import resolve

Floats = NDArray[np.float64]
Formula = Callable[[Floats], Floats]
_BATCH = 16


class FormulaModel:
    """Scores `(N, K)` of masks `(N, S)` by a formula; counts what it was asked."""

    def __init__(
        self,
        formula: Formula,
        segments: int,
        control: RunControl,
        *,
        stop_after: int | None = None,
    ) -> None:
        """The time is up once `stop_after` masks were answered."""
        self._formula = formula
        self._control = control
        self._stop_after = stop_after
        self.segments = segments
        self.full = self._scores(np.ones((1, segments)))[0]
        self.empty = self._scores(np.zeros((1, segments)))[0]
        self.asked = 0

    def stream(self, masks: MaskRows) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(masks), _BATCH):
            if self._stop_after is not None and self.asked >= self._stop_after:
                return
            block = self._scores(masks[start : start + _BATCH].astype(np.float64))
            self.asked += len(block)
            self._control.advance(len(block))
            yield block

    def _scores(self, masks: Floats) -> NDArray[np.float32]:
        return self._formula(masks).astype(np.float32)


def explain(
    method: MaskMethod[Any],
    parameters: Message,
    formula: Formula,
    segments: SegmentMap,
    *,
    targets: Sequence[int] = (0,),
    seed: int = 0,
    control: RunControl | None = None,
    stop_after: int | None = None,
) -> list[Attribution]:
    """What a method says of a formula; what `parameters` do not set has its default."""
    control = control or RunControl(total=100)
    resolved = resolve(parameters, method.name)
    own = method.segment_map(resolved, segments, (segments.shape[0], segments.shape[1]), seed)
    model = FormulaModel(formula, int(own.max()) + 1, control, stop_after=stop_after)
    return method.attribute(resolved, model, own, tuple(targets), seed, control)


def linear(weights: Floats) -> Formula:
    """`masks @ weights + 0.5`, with weights `(S, K)`: the weights are the answer."""
    return lambda masks: masks @ weights + 0.5


def with_interactions(seed: int, segments: int) -> Formula:
    """A smooth function for two labels in which segments depend on each other."""
    rng = np.random.default_rng(seed)
    single = rng.normal(size=(segments, 2))
    pairs = rng.normal(0, 0.3, size=(2, segments, segments))
    return lambda masks: masks @ single + np.einsum("ni,kij,nj->nk", masks, pairs, masks)


def random_weights(segments: int) -> Floats:
    """`(S, 2)`."""
    return np.random.default_rng(0).normal(size=(segments, 2))


def grid(side: int, cell: int = 4) -> SegmentMap:
    """`side` by `side` squares of `cell` by `cell`."""
    rows = np.arange(side * cell) // cell
    return (rows[:, None] * side + rows).astype(np.uint16)


def values_of(found: Attribution) -> NDArray[np.float32]:
    """Of the segments, `(S,)`."""
    assert found.segments is not None
    return found.segments.values


def interval_of(found: Attribution) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of the segments' intervals, `(S,)` each."""
    assert found.segments is not None
    assert found.segments.low is not None
    assert found.segments.high is not None
    return found.segments.low, found.segments.high


def measure_of(found: Attribution, name: str) -> float:
    """Value of the measure of this name."""
    values = {measure.kind.name: measure.value for measure in found.measures}
    return values[name]
