"""Intervals of regression coefficients at no extra model calls.

The sandwich estimator: it needs no assumption on the noise, which in an explanation is what the
linear model leaves out. Each residual is divided by one minus its leverage (HC3, MacKinnon and
White 1985), so that few samples give wide intervals, not narrow ones.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Z95: Final = 1.959963984540054
"""Half-width of the central 95 % of a normal distribution, in standard deviations."""
_LARGEST_LEVERAGE: Final = 0.999

Floats = npt.NDArray[np.float64]


def influences(
    design: Floats, weights: Floats, residuals: Floats, penalty: Floats | None = None
) -> Floats | None:
    """What each row adds to each coefficient's error, `(N, P)`; their squares sum to variances.

    Args:
        design: `(N, P)`.
        weights: `(N,)`, of the rows in the regression.
        residuals: `(N,)`, of the fit.
        penalty: `(P,)`, of the ridge; None for ordinary least squares.

    Returns:
        None where the regression has no unique solution.
    """
    weighted = design * weights[:, np.newaxis]
    normal = design.T @ weighted
    if penalty is not None:
        normal = normal + np.diag(penalty)
    if np.linalg.matrix_rank(normal, hermitian=True) < len(normal):
        return None
    slopes = np.linalg.solve(normal, weighted.T).T
    leverage = np.einsum("ij,ij->i", design, slopes).clip(0, _LARGEST_LEVERAGE)
    found: Floats = slopes * (residuals / (1 - leverage))[:, np.newaxis]
    return found


def half_width(rows: npt.NDArray[Any]) -> Floats:
    """Half the width of the 95 % interval of each coefficient, `(P,)`, from `influences`."""
    return np.asarray(Z95 * np.sqrt(np.square(rows).sum(axis=0)))
