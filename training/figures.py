"""Figures of how well two classes are told apart, each with its interval.

A measure takes weights `(B, N)` of the cases, one row a resample, and gives `(B,)` values: all
resamples at once, and ones for the value itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.calibration import BINS, Labels, Scores

Weights = NDArray[np.float64]

RESAMPLES = 2000
DIGITS = 4
"""Of the figures in a card."""
HIDDEN = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of an input that are hidden to see what a model makes of the rest."""
_MOST_CELLS = 4_000_000
"""Of weights in memory at a time."""


@dataclass(frozen=True)
class Cases:
    """What a model answered about one label."""

    labels: Labels
    """0 or 1, `(N,)`."""
    scores: Scores
    """From 0 to 1, larger means 1, `(N,)`."""
    owners: NDArray[np.str_]
    """Patient, speaker or voice of each case, `(N,)`."""

    @classmethod
    def of(cls, labels: Labels, scores: Scores, owners: Sequence[str]) -> Self:
        """Cases of plain lists."""
        return cls(labels, scores, np.asarray(owners, dtype=np.str_))

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """Some of the cases."""
        return replace(
            self, labels=self.labels[rows], scores=self.scores[rows], owners=self.owners[rows]
        )

    @property
    def classes(self) -> set[int]:
        """Which of the two there are."""
        return set(self.labels.tolist())


Measure = Callable[[Cases, Weights], NDArray[np.float64]]


@dataclass(frozen=True)
class Figure:
    """A measured value with the 2.5th and the 97.5th percentile of its bootstrap."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As a card keeps it, rounded."""
        return {key: round(value, DIGITS) for key, value in asdict(self).items()}


def with_intervals(
    measures: Mapping[str, Measure], cases: Cases, *, stratified: bool = True
) -> dict[str, Figure]:
    """Measure, and resample owners with replacement for the intervals.

    What one patient or one voice brought is not independent: it is drawn together (the cluster
    bootstrap of Field and Welsh, doi:10.1111/j.1467-9868.2007.00593.x).

    Args:
        measures: by name; all see the same resamples.
        cases: to be measured.
        stratified: draw within each class, so that no resample lacks one.
    """
    rng = np.random.default_rng(0)
    size = len(cases.labels)
    ones = np.ones((1, size))
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in measures}
    step = max(1, _MOST_CELLS // max(size, 1))
    for start in range(0, RESAMPLES, step):
        weights = _resamples(cases, min(step, RESAMPLES - start), stratified, rng)
        for name, measure in measures.items():
            drawn[name].append(measure(cases, weights))
    ends = {name: np.nanpercentile(np.concatenate(v), [2.5, 97.5]) for name, v in drawn.items()}
    return {
        name: Figure(float(measure(cases, ones)[0]), *map(float, ends[name]))
        for name, measure in measures.items()
    }


def _resamples(cases: Cases, count: int, stratified: bool, rng: np.random.Generator) -> Weights:
    """How often each case is drawn, `(count, N)`."""
    weights = np.empty((count, len(cases.labels)))
    strata = cases.labels if stratified else np.zeros_like(cases.labels)
    for stratum in np.unique(strata):
        rows = strata == stratum
        names, owner = np.unique(cases.owners[rows], return_inverse=True)
        odds = np.full(len(names), 1 / len(names))
        weights[:, rows] = rng.multinomial(len(names), odds, size=count)[:, owner]
    return weights


def roc(cases: Cases, weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of false alarms and of hits, `(B, T)` each, from no alarm to nothing but alarms."""
    order = np.argsort(-cases.scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cases.scores[order]) != 0])
    rates = []
    for label in (0, 1):
        counts = weights[:, order] * (cases.labels[order] == label)
        grown = np.add.reduceat(counts, starts, axis=1).cumsum(axis=1)
        with np.errstate(invalid="ignore"):  # a class that a resample lacks
            rates.append(np.pad(grown / grown[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def auc(cases: Cases, weights: Weights) -> NDArray[np.float64]:
    """Area under the ROC curve; NaN where a resample lacks a class."""
    false_alarms, hits = roc(cases, weights)
    heights = (hits[:, 1:] + hits[:, :-1]) / 2
    return np.asarray((np.diff(false_alarms, axis=1) * heights).sum(axis=1))


def equal_error_rate(cases: Cases, weights: Weights) -> NDArray[np.float64]:
    """Rate at which misses and false alarms are equally frequent, on the straight ROC."""
    false_alarms, hits = roc(cases, weights)
    gap = false_alarms - (1 - hits)
    # The curve begins with a gap of -1 and ends with one of 1.
    after = np.argmax(gap >= 0, axis=1)[:, None]
    low, high = (np.take_along_axis(gap, at, axis=1) for at in (after - 1, after))
    first, second = (np.take_along_axis(false_alarms, at, axis=1) for at in (after - 1, after))
    return np.asarray((first + low / (low - high) * (second - first))[:, 0])


def brier(cases: Cases, weights: Weights) -> NDArray[np.float64]:
    """Mean squared distance of the scores from the truth, from 0 to 1."""
    squares = (cases.scores - cases.labels) ** 2
    return np.asarray(weights @ squares / weights.sum(axis=1))


def calibration_error(cases: Cases, weights: Weights) -> NDArray[np.float64]:
    """Mean distance of a score from the share of positives among cases that score alike.

    Cases are put into ten bins of the same weight by their score, so that crowded ends count as
    they do in use (adaptive calibration error, arXiv:1904.01685).
    """
    order = np.argsort(cases.scores, kind="stable")
    heavy = np.pad(weights[:, order].cumsum(axis=1), ((0, 0), (1, 0)))
    excess = weights[:, order] * (cases.scores - cases.labels)[order]
    grown = np.pad(excess.cumsum(axis=1), ((0, 0), (1, 0)))
    edges = np.linspace(0, 1, BINS + 1)
    gaps = [
        np.abs(np.diff(np.interp(edges * mass[-1], mass, gap))).sum() / mass[-1]
        for mass, gap in zip(heavy, grown, strict=True)
    ]
    return np.array(gaps)


def thresholded(threshold: float) -> dict[str, Measure]:
    """Measures of the answers at a threshold; a score that reaches it means 1."""

    def shares(cases: Cases, weights: Weights) -> tuple[NDArray[np.float64], ...]:
        reached = cases.scores >= threshold
        kinds = [
            (cases.labels == label) & (reached == alarm) for label in (1, 0) for alarm in (1, 0)
        ]
        return tuple(np.asarray(weights @ kind.astype(float)) for kind in kinds)

    def measured(of: Callable[..., NDArray[np.float64]]) -> Measure:
        def measure(cases: Cases, weights: Weights) -> NDArray[np.float64]:
            with np.errstate(invalid="ignore"):
                return of(*shares(cases, weights))

        return measure

    return {
        "accuracy": measured(lambda tp, fn, fp, tn: (tp + tn) / (tp + fn + fp + tn)),
        "balanced_accuracy": measured(lambda tp, fn, fp, tn: (tp / (tp + fn) + tn / (tn + fp)) / 2),
        "sensitivity": measured(lambda tp, fn, fp, tn: tp / (tp + fn)),
        "specificity": measured(lambda tp, fn, fp, tn: tn / (tn + fp)),
        "f1": measured(lambda tp, fn, fp, tn: 2 * tp / (2 * tp + fn + fp)),
    }


def confusion(cases: Cases, threshold: float) -> dict[str, int]:
    """How often each class is called what."""
    reached = cases.scores >= threshold
    return {
        "true_positives": int(np.sum(reached & (cases.labels == 1))),
        "false_negatives": int(np.sum(~reached & (cases.labels == 1))),
        "false_positives": int(np.sum(reached & (cases.labels == 0))),
        "true_negatives": int(np.sum(~reached & (cases.labels == 0))),
    }
