"""Named thresholds of one label, chosen on the validation split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibration import Labels, Scores
from training.figures import DIGITS

FOLDS = 5
SEED = 0


@dataclass(frozen=True)
class ScoredTwice:
    """Cases of one data set, each scored as it is and as training changes it."""

    labels: Labels
    """0 or 1, `(N,)`."""
    plain: Scores
    """Raw scores, 0 to 1, `(N,)`."""
    changed: Scores
    """Of the same cases with exposure, sharpness, devices changed, `(N,)`."""
    owners: NDArray[np.str_]
    """Patient, speaker or voice of each case, `(N,)`."""

    def __getitem__(self, rows: NDArray[np.bool_]) -> "ScoredTwice":
        """Some of the cases."""
        return ScoredTwice(
            self.labels[rows], self.plain[rows], self.changed[rows], self.owners[rows]
        )

    @property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each case, `(N,)`: owners of each class are dealt to the folds at random."""
        rng = np.random.default_rng(SEED)
        folds = np.zeros(len(self.labels), np.int64)
        for label in (0, 1):
            names, owner = np.unique(self.owners[self.labels == label], return_inverse=True)
            folds[self.labels == label] = (rng.permutation(len(names)) % FOLDS)[owner]
        return folds


def operating_points(sets: Sequence[ScoredTwice]) -> dict[str, float]:
    """Thresholds by name; each keeps its promise in every set, as it is and changed.

    `balanced`, the first and so the default, has the best balanced accuracy (`best_threshold`);
    `sensitive` misses at most one positive in twenty, `specific` alarms at no more than one
    negative in twenty, and neither is on the other side of `balanced`; `fixed_0.3` is what systems
    before this one used throughout.
    """
    balanced = best_threshold(sets)
    fifths = [np.quantile(scores[labels == 1], 0.05) for labels, scores in _views(sets)]
    tops = [np.quantile(scores[labels == 0], 0.95) for labels, scores in _views(sets)]
    points = {
        "balanced": balanced,
        "sensitive": min(balanced, *map(float, fifths)),
        "specific": max(balanced, *(float(np.nextafter(top, 1)) for top in tops)),
        "fixed_0.3": 0.3,
    }
    return {name: round(value, DIGITS) for name, value in points.items()}


def best_threshold(sets: Sequence[ScoredTwice]) -> float:
    """Median, over five folds of owners left out in turn, of the middle of the plateau.

    A few cases near the boundary decide where the maximum of the balanced accuracy lies, hardly any
    where its plateau does; a patient with many pictures is left out as a whole.
    """
    chosen = []
    for fold in range(FOLDS):
        rest = [each[each.folds != fold] for each in sets]
        # The only owner of a class cannot be left out.
        chosen.append(
            plateau_middle(
                [
                    part if len(set(part.labels.tolist())) == 2 else whole
                    for part, whole in zip(rest, sets, strict=True)
                ]
            )
        )
    return round(float(np.median(chosen)), DIGITS)


def plateau_middle(sets: Sequence[ScoredTwice]) -> float:
    """Middle of the widest run of thresholds that are as good as the best within its error.

    A threshold is as good as its balanced accuracy in the set where it does worst, plain or
    changed; the error is half the standard error of that accuracy, with one right and one wrong
    case added to each class, since a class without an error is not known to have none.
    """
    # Between two neighbouring scores every threshold decides alike.
    ends = np.unique(np.concatenate([[0, 1], *(scores for _, scores in _views(sets))]))
    accuracies, errors = zip(*(_balanced(*view, ends[1:]) for view in _views(sets)), strict=True)
    worst = np.argmin(accuracies, axis=0)
    accuracy, error = (np.choose(worst, each) for each in (accuracies, errors))
    best = int(accuracy.argmax())
    good = np.flatnonzero(accuracy >= accuracy[best] - error[best] / 2)
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    low, high = max(((ends[run[0]], ends[run[-1] + 1]) for run in runs), key=np.ptp)
    return float((low + high) / 2)


def _views(sets: Sequence[ScoredTwice]) -> Iterator[tuple[Labels, Scores]]:
    for each in sets:
        yield each.labels, each.plain
        yield each.labels, each.changed


def _balanced(
    labels: Labels, scores: Scores, thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Balanced accuracy at each threshold, and its standard error."""
    below = [np.searchsorted(np.sort(scores[labels == k]), thresholds) for k in (0, 1)]
    sizes = [int((labels == k).sum()) for k in (0, 1)]
    right = [below[0], sizes[1] - below[1]]
    accuracy = sum(r / n for r, n in zip(right, sizes, strict=True)) / 2
    rates = [(r + 1) / (n + 2) for r, n in zip(right, sizes, strict=True)]
    variance = sum(p * (1 - p) / n for p, n in zip(rates, sizes, strict=True))
    return np.asarray(accuracy), np.sqrt(variance) / 2
