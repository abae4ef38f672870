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
    top_overlap: float | None
    """Intersection over union of the tenths with the highest values, 0 to 1; None where a map has
    no such tenth: more than a tenth of its values are equal, and none is above them."""


def compare(label: str, maps: list[tuple[str, FloatArray]]) -> list[Agreement]:
    """All pairs of maps `(H, W)` of one target, in order."""
    # Once for each map, not for each pair: ranking takes nearly all the time.
    views = [(method, _centred_ranks(values), _top(values)) for method, values in maps]
    return [
        Agreement(first, second, label, _correlation(a, b), _overlap(p, q))
        for (first, a, p), (second, b, q) in combinations(views, 2)
    ]


def _centred_ranks(values: FloatArray) -> npt.NDArray[np.float64]:
    ranks = rankdata(values.ravel())
    return np.asarray(ranks - ranks.mean())


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths else None


def _top(values: FloatArray) -> npt.NDArray[np.bool_]:
    """The tenth with the highest values; it may be empty.

    All that are equal to its lowest value belong to it. But where these alone are more than a
    tenth, as are the zeros of a sparse map, only what is above them does.
    """
    count = ceil(values.size * TOP_SHARE)
    threshold = np.partition(values.ravel(), -count)[-count]
    common = (values == threshold).sum() > count
    return np.asarray(values > threshold if common else values >= threshold)


def _overlap(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float | None:
    return float((a & b).sum() / (a | b).sum()) if a.any() and b.any() else None
