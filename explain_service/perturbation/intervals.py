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
_CLEAR_OF_ROUNDING: Final = 1e-6
"""Ratio of pivots; those of a matrix without full rank are of the size of rounding errors."""

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
    if not is_unique(design, weights, penalty):
        return None
    weighted = design * weights[:, np.newaxis]
    normal = _normal(design, weights, penalty)
    slopes = np.linalg.solve(normal, weighted.T).T
    leverage = np.einsum("ij,ij->i", design, slopes).clip(0, _LARGEST_LEVERAGE)
    found: Floats = slopes * (residuals / (1 - leverage))[:, np.newaxis]
    return found


def is_unique(design: Floats, weights: Floats, penalty: Floats | None = None) -> bool:
    """Whether a regression has one solution; see `influences` for the arguments."""
    free = design.shape[1] if penalty is None else int((penalty == 0).sum())
    if len(design) < free:
        return False
    normal = _normal(design, weights, penalty)
    if penalty is not None and _is_surely_definite(normal):
        return True
    return bool(np.linalg.matrix_rank(normal, hermitian=True) == len(normal))


def _is_surely_definite(normal: Floats) -> bool:
    """Whether pivots far from 0 prove it: eigenvalues of thousands of columns take a minute."""
    try:
        pivots = np.square(np.diag(np.linalg.cholesky(normal)))
    except np.linalg.LinAlgError:
        return False
    return bool(pivots.min() > _CLEAR_OF_ROUNDING * pivots.max())


def _normal(design: Floats, weights: Floats, penalty: Floats | None) -> Floats:
    normal = design.T @ (design * weights[:, np.newaxis])
    return np.asarray(normal if penalty is None else normal + np.diag(penalty))


def half_width(rows: npt.NDArray[Any]) -> Floats:
    """Half the width of the 95 % interval of each coefficient, `(P,)`, from `influences`."""
    return np.asarray(Z95 * np.sqrt(np.square(rows).sum(axis=0)))
