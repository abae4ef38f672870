"""A model under masks that answers from a formula: no Triton, no network."""

from collections.abc import Callable, Iterator

import numpy as np
from explain_service.tick import Tick
from numpy.typing import NDArray

from explain_service.perturbation.masks import MaskRows

Floats = NDArray[np.float64]


class FakeMaskedModel:
    """Scores `(N, K)` of masks `(N, S)` by `function`; counts what it was asked."""

    def __init__(
        self,
        function: Callable[[Floats], Floats],
        segments: int,
        tick: Tick,
        *,
        batch: int = 16,
        stop_after: int | None = None,
    ) -> None:
        self._function = function
        self._tick = tick
        self._batch = batch
        self._stop_after = stop_after
        self.segments = segments
        self.full = self._scores(np.ones((1, segments)))[0]
        self.empty = self._scores(np.zeros((1, segments)))[0]
        self.asked = 0

    def stream(self, masks: MaskRows) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(masks), self._batch):
            if self._stop_after is not None and self.asked >= self._stop_after:
                return
            block = self._scores(masks[start : start + self._batch].astype(np.float64))
            self.asked += len(block)
            self._tick.step(len(block))
            yield block

    def _scores(self, masks: Floats) -> NDArray[np.float32]:
        return self._function(masks).astype(np.float32)


def linear(weights: Floats) -> Callable[[Floats], Floats]:
    """`masks @ weights + 0.5`, with weights `(S, K)`: the weights are the answer."""
    return lambda masks: masks @ weights + 0.5


def with_interactions(seed: int, segments: int, labels: int = 2) -> Callable[[Floats], Floats]:
    """A smooth function in which segments depend on each other."""
    rng = np.random.default_rng(seed)
    single = rng.normal(size=(segments, labels))
    pairs = rng.normal(0, 0.3, size=(labels, segments, segments))
    return lambda masks: masks @ single + np.einsum("ni,kij,nj->nk", masks, pairs, masks)
