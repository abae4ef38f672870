"""Whether scores mean what they say, and where they are cut."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]

BINS = 10


def log_odds(scores: Scores) -> Scores:
    """Logits of scores from 0 to 1; those at the ends count as one in a million from them."""
    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def temperature(labels: Labels, logits: NDArray[np.float64]) -> float:
    """What to divide logits by so that their scores mean what they say (arXiv:1706.04599).

    Choose it on the validation split.

    Args:
        labels: 0 or 1, `(N,)`.
        logits: log odds of 1, `(N,)`.
    """

    def loss(log_temperature: float) -> float:
        margins = np.where(labels == 1, logits, -logits) / np.exp(log_temperature)
        return float(np.logaddexp(0, -margins).mean())

    return round(float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)), 4)
