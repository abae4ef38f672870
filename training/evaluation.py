"""Figures for a card: how well two classes are told apart, with bootstrap intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training import figures
from training.calibration import Labels, Scores
from training.figures import DIGITS, Cases, Measure


def evaluate(
    labels: Labels, scores: Scores, threshold: float, owners: Sequence[str]
) -> dict[str, object]:
    """All figures of one split, as a card keeps them.

    Args:
        labels: 0 or 1, shape `(N,)`.
        scores: from 0 to 1, larger means 1, shape `(N,)`.
        threshold: chosen on the validation split; used by accuracy, balanced accuracy,
            sensitivity, specificity and F1.
        owners: patient, speaker or voice of each case: what one brought is resampled together.
    """
    cases = Cases.of(labels, scores, owners)
    measures: dict[str, Measure] = {
        "auc": figures.auc,
        **figures.thresholded(threshold),
        "accuracy_at_half": figures.thresholded(0.5)["accuracy"],
        "equal_error_rate": figures.equal_error_rate,
        "brier": figures.brier,
        "calibration_error": figures.calibration_error,
    }
    found = figures.with_intervals(measures, cases)
    counts = {"positives": int(labels.sum()), "negatives": int((1 - labels).sum())}
    return {
        "threshold": threshold,
        **counts,
        **figures.confusion(cases, threshold),
        **{name: figure.as_dict() for name, figure in found.items()},
    }


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
