"""Shapley values by their definition, for few segments."""

from itertools import permutations
from typing import Any

import numpy as np

Floats = np.typing.NDArray[np.float64]


def every_mask(segments: int) -> np.typing.NDArray[np.uint8]:
    """All coalitions, `(2 ** S, S)`: bit `k` of the row says whether segment `k` is kept."""
    return np.array([[n >> k & 1 for k in range(segments)] for n in range(2**segments)], np.uint8)


def shapley_values(scores: np.typing.NDArray[Any]) -> Floats:
    """By enumeration of all orders.

    Args:
        scores: of every coalition in the order of `every_mask`, `(2 ** S,)`.
    """
    segments = len(scores).bit_length() - 1
    values, count = np.zeros(segments), 0
    for order in permutations(range(segments)):
        kept, count = 0, count + 1
        for segment in order:
            values[segment] += scores[kept | 1 << segment] - scores[kept]
            kept |= 1 << segment
    return values / count
