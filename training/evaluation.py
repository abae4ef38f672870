"""Figures for a card: how well two classes are told apart, with bootstrap intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from training.calibration import Labels, Scores, brier_score, calibration_error

RESAMPLES = 2000
DIGITS = 4


@dataclass(frozen=True)
class Figure:
    """A measured value with the 2.5th and the 97.5th percentile of its bootstrap."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As a card keeps it, rounded."""
        return {key: round(value, DIGITS) for key, value in asdict(self).items()}


def equal_error_rate(labels: Labels, scores: Scores) -> float:
    """Rate at which misses and false alarms are equally frequent, on the straight ROC."""
    false_alarms, hits, _ = roc_curve(labels, scores)
    gap = false_alarms - (1 - hits)
    after = int(np.argmax(gap >= 0))
    if after == 0:
        return float(false_alarms[0])
    step = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(false_alarms[after - 1] + step * (false_alarms[after] - false_alarms[after - 1]))


def bootstrap(
    measure: Callable[[Labels, Scores], float],
    labels: Labels,
    scores: Scores,
    owners: Sequence[str],
    seed: int = 0,
) -> Figure:
    """Measure, and resample owners with replacement within each class for the interval.

    What one patient or one voice brought is not independent: it is drawn together (the cluster
    bootstrap of Field and Welsh, doi:10.1111/j.1467-9868.2007.00593.x).

    Args:
        measure: a function of labels and scores.
        labels: 0 or 1, shape `(N,)`.
        scores: larger means 1, shape `(N,)`.
        owners: patient, speaker or voice of each case, `N` names.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    classes = [_rows_by_owner(labels == label, np.asarray(owners)) for label in (0, 1)]
    values = []
    for _ in range(RESAMPLES):
        rows = np.concatenate(
            [each[n] for each in classes for n in rng.integers(len(each), size=len(each))]
        )
        values.append(measure(labels[rows], scores[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return Figure(measure(labels, scores), float(low), float(high))


def _rows_by_owner(chosen: NDArray[np.bool_], owners: NDArray[np.str_]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(chosen & (owners == owner)) for owner in np.unique(owners[chosen])]


def evaluate(
    labels: Labels, scores: Scores, threshold: float, owners: Sequence[str]
) -> dict[str, object]:
    """All figures of one split, as a card keeps them.

    Args:
        labels: 0 or 1, shape `(N,)`.
        scores: from 0 to 1, larger means 1, shape `(N,)`.
        threshold: chosen on the validation split; used by accuracy, balanced accuracy,
            sensitivity, specificity and F1.
        owners: patient, speaker or voice of each case, as for `bootstrap`.
    """
    measures: dict[str, Callable[[Labels, Scores], float]] = {
        "auc": lambda y, s: float(roc_auc_score(y, s)),
        "accuracy": lambda y, s: float(np.mean((s >= threshold) == y)),
        "accuracy_at_half": lambda y, s: float(np.mean((s >= 0.5) == y)),
        "balanced_accuracy": lambda y, s: float(balanced_accuracy_score(y, s >= threshold)),
        "sensitivity": lambda y, s: float(np.mean(s[y == 1] >= threshold)),
        "specificity": lambda y, s: float(np.mean(s[y == 0] < threshold)),
        "f1": lambda y, s: float(f1_score(y, s >= threshold, zero_division=0)),
        "equal_error_rate": equal_error_rate,
        "brier": brier_score,
        "calibration_error": calibration_error,
    }
    figures: dict[str, object] = {
        name: bootstrap(measure, labels, scores, owners).as_dict()
        for name, measure in measures.items()
    }
    counts = {"positives": int(labels.sum()), "negatives": int((1 - labels).sum())}
    return {"threshold": threshold, **counts, **figures}


def mean_auc(targets: NDArray[Any], scores: NDArray[Any]) -> float:
    """Mean area under the ROC curve over the labels that have positives and negatives."""
    areas = []
    for truth, score in zip(targets.T, scores.T, strict=True):
        known = ~np.isnan(truth)
        if len(set(truth[known])) == 2:
            areas.append(float(roc_auc_score(truth[known], score[known])))
    return float(np.mean(areas)) if areas else math.nan


def recall_by_group(
    labels: Labels, scores: Scores, groups: tuple[str, ...], threshold: float
) -> dict[str, float]:
    """Share of each group's cases that the threshold puts into their class."""
    right = (scores >= threshold) == labels
    names = np.array(groups)
    return {name: round(float(right[names == name].mean()), DIGITS) for name in sorted(set(groups))}
