"""How alike the maps of one target are."""

from dataclasses import dataclass
from itertools import combinations
from math import ceil
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from pellucid.tensors import FloatArray

TOP_SHARE: Final = 0.1
"""Share of the input whose highest values are compared."""


@dataclass(frozen=True)
class Agreement:
    """Of two maps of one target."""

    method_a: str
    method_b: str
    label: str
    rank_correlation: float | None
    """Spearman's, -1 to 1; None where one map is constant."""
    top_overlap: float
    """Intersection over union of the tenths with the highest values, 0 to 1."""


def compare(label: str, maps: list[tuple[str, FloatArray]]) -> list[Agreement]:
    """All pairs of maps `(H, W)` of one target, in order."""
    return [
        Agreement(first, second, label, _rank_correlation(a, b), _top_overlap(a, b))
        for (first, a), (second, b) in combinations(maps, 2)
    ]


def _rank_correlation(a: FloatArray, b: FloatArray) -> float | None:
    ranks = [rankdata(values.ravel()) for values in (a, b)]
    centred = [values - values.mean() for values in ranks]
    lengths = [float(np.linalg.norm(values)) for values in centred]
    if min(lengths) == 0:
        return None
    return float(np.clip(centred[0] @ centred[1] / (lengths[0] * lengths[1]), -1, 1))


def _top_overlap(a: FloatArray, b: FloatArray) -> float:
    top_a, top_b = _top(a), _top(b)
    return float((top_a & top_b).sum() / (top_a | top_b).sum())


def _top(values: FloatArray) -> npt.NDArray[np.bool_]:
    """The tenth with the highest values; all that are equal to its lowest value belong to it."""
    count = ceil(values.size * TOP_SHARE)
    threshold = np.partition(values.ravel(), -count)[-count]
    return np.asarray(values >= threshold)
