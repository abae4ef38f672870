"""What a model answers about one data set, measured in every way that a card reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pellucid.baselines import make_baseline
from pellucid.cards import Activation, Card
from pellucid.contracts import Baseline, baseline_name
from training import figures
from training.calibration import log_odds
from training.evaluation import evaluate
from training.examples import BATCH, Examples
from training.figures import DIGITS, HIDDEN, Cases, Measure
from training.pictures import hide_share

Floats = NDArray[np.float64]
Score = Callable[[list[Tensor]], Floats]
"""Scores `(N, K')` of inputs `(N, C, H, W)`, as `training.measuring.scorer` makes it."""


@dataclass(frozen=True)
class Assessment:
    """Figures of one data set, and what they were measured on."""

    report: dict[str, Any]
    """As a card keeps it: a table for each label, and of several labels their mean."""
    cases: Mapping[str, Cases] = field(repr=False)
    """Of each label that has both classes."""
    neutrality: Mapping[str, float]
    """Of each baseline: distance of its scores from the thresholds, in log odds."""


@dataclass(frozen=True)
class _Scores:
    """What a model answered to all examples, `(N, L)`."""

    scores: Floats

    def of(self, examples: Examples, column: int) -> Cases:
        """The answers about one label, where the truth about it is known."""
        truth = examples.truths[:, column]
        known = ~np.isnan(truth)
        labels = truth[known].astype(np.int64)
        return Cases(labels, self.scores[known, column], examples.owners[known])


@dataclass(frozen=True)
class _Answers:
    """To the inputs as they are, and by name to what was made of them."""

    plain: _Scores
    shifts: Mapping[str, _Scores]
    hidden: Mapping[str, _Scores]
    baselines: Mapping[str, _Scores]


class Assessor:
    """Asks one model; its thresholds are the card's, and nothing is chosen here."""

    def __init__(self, card: Card, score: Score) -> None:
        """Ask the model of this card.

        Args:
            card: its first operating point counts; a label without a threshold counts from 0.5 on.
            score: of its network.
        """
        self._card, self._score = card, score

    def assess(self, examples: Examples) -> Assessment:
        """Measure all labels of a data set."""
        answers = self._answers_to(examples)
        report: dict[str, Any] = {}
        measured: dict[str, Cases] = {}
        for column, label in enumerate(examples.labels):
            cases = answers.plain.of(examples, column)
            if len(cases.classes) == 2:
                report[label] = self._table(examples, answers, column)
                measured[label] = cases
            else:
                positives = int(cases.labels.sum())
                report[label] = {"positives": positives, "negatives": len(cases.labels) - positives}
        if len(examples.labels) > 1:
            report |= self._together(examples, answers.plain.scores)
        thresholds = np.array([self._threshold(label) for label in examples.labels])
        neutrality = {
            name: float(np.mean(np.abs(log_odds(each.scores) - log_odds(thresholds))))
            for name, each in answers.baselines.items()
        }
        return Assessment(report, measured, neutrality)

    def _answers_to(self, examples: Examples) -> "_Answers":
        baselines = {baseline_name(one): one for one in self._card.baselines}
        return _Answers(
            self._ask(examples, examples.inputs),
            {name: self._ask(examples, make()) for name, make in examples.shifts.items()},
            {f"{share:.0%}": self._with_hidden(examples, share) for share in HIDDEN},
            {name: self._standing_for(examples, one) for name, one in baselines.items()},
        )

    def _table(self, examples: Examples, answers: "_Answers", column: int) -> dict[str, Any]:
        """Everything about one label."""
        label = examples.labels[column]
        cases, threshold = answers.plain.of(examples, column), self._threshold(label)
        known = ~np.isnan(examples.truths[:, column])
        groupings = {name: groups[known] for name, groups in examples.groupings.items()}

        def each(answered: Mapping[str, _Scores], measure: Any) -> dict[str, Any]:
            return {n: measure(one.of(examples, column), threshold) for n, one in answered.items()}

        return {
            **evaluate(cases.labels, cases.scores, threshold, cases.owners.tolist()),
            "by": by_group(cases, groupings, threshold),
            "shifts": each(answers.shifts, _main),
            "hidden": each(answers.hidden, _unseen),
            "baselines": each(answers.baselines, _unseen),
        }

    def _threshold(self, label: str) -> float:
        points = next(iter(self._card.operating_points.values()), {})
        return points.get(label, 0.5)

    def _ask(self, examples: Examples, x: Tensor) -> "_Scores":
        found = self._score(list(torch.split(x.float(), BATCH)))
        if found.shape[1] != len(examples.labels):
            (label,) = examples.labels
            found = found[:, [self._card.labels.index(label)]]
        return _Scores(found)

    def _fill(self, x: Tensor, baseline: Baseline) -> Tensor:
        """What stands for each input, in a shape that broadcasts to `x`."""
        spec = self._card.preprocess
        channel = spec.channel_axis
        made = [make_baseline(spec, baseline, np.moveaxis(one, 0, channel)) for one in x.numpy()]
        return torch.from_numpy(np.moveaxis(np.concatenate(made), channel + 1, 1)).float()

    def _standing_for(self, examples: Examples, baseline: Baseline) -> "_Scores":
        x = examples.inputs
        return self._ask(examples, self._fill(x, baseline).expand(x.shape).contiguous())

    def _with_hidden(self, examples: Examples, share: float) -> "_Scores":
        x, generator = examples.inputs, Generator().manual_seed(0)
        fill = self._fill(x, self._card.baselines[0])
        return self._ask(examples, hide_share(x, share, generator, fill))

    def _together(self, examples: Examples, scores: Floats) -> dict[str, Any]:
        """What is said of several labels at once."""
        owners = np.zeros(len(scores), np.int64)
        everything = Cases(owners, owners.astype(float), examples.owners)

        def macro(_: Cases, weights: figures.Weights) -> Floats:
            areas = []
            for truth, score in zip(examples.truths.T, scores.T, strict=True):
                known = ~np.isnan(truth)
                one = Cases(truth[known].astype(np.int64), score[known], examples.owners[known])
                if len(one.classes) == 2:
                    areas.append(figures.auc(one, weights[:, known]))
            # A resample that lacks a class of every label has no mean.
            known = np.isfinite(areas).sum(axis=0)
            return np.where(known, np.nansum(areas, axis=0) / np.maximum(known, 1), np.nan)

        found = figures.with_intervals({"macro_auc": macro}, everything, stratified=False)
        together: dict[str, Any] = {name: figure.as_dict() for name, figure in found.items()}
        if self._card.output.activation is Activation.SOFTMAX:
            together["confusion"] = self._confusion(examples, scores)
        return together

    def _confusion(self, examples: Examples, scores: Floats) -> dict[str, dict[str, int]]:
        """How often the inputs of each label got which as their highest."""
        truth, found = examples.truths.argmax(axis=1), scores.argmax(axis=1)
        return {
            label: {
                f"called {other}": int(np.sum((truth == row) & (found == column)))
                for column, other in enumerate(examples.labels)
            }
            for row, label in enumerate(examples.labels)
        }


def by_group(
    cases: Cases, groupings: Mapping[str, NDArray[np.str_]], threshold: float
) -> dict[str, dict[str, Any]]:
    """Quality by subgroup; a group of one class is held against all cases of the other.

    Args:
        cases: of one label.
        groupings: subgroup of each case, for each way to divide them; ways that say no more than
            the label itself, or nothing, are left out.
        threshold: of the label.
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, groups in groupings.items():
        parts = set(zip(groups.tolist(), cases.labels.tolist(), strict=True))
        names = sorted({group for group, _ in parts})
        if len(names) < 2 or (len(parts) == 2 and len(names) == 2):
            continue
        tables[name] = {group: _group(cases, groups == group, threshold) for group in names}
    return tables


def _group(cases: Cases, inside: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    own = cases[inside]
    if len(own.classes) == 2:
        return {"cases": len(own.labels), **_main(own, threshold)}
    (label,) = own.classes
    recall = {"recall": figures.thresholded(threshold)["accuracy"]}
    against = cases[inside | (cases.labels != label)]
    found = {
        **figures.with_intervals(recall, own),
        **figures.with_intervals({"auc": figures.auc}, against),
    }
    return {"cases": len(own.labels), **{name: one.as_dict() for name, one in found.items()}}


def _main(cases: Cases, threshold: float) -> dict[str, Any]:
    measures: dict[str, Measure] = {
        "auc": figures.auc,
        "balanced_accuracy": figures.thresholded(threshold)["balanced_accuracy"],
    }
    return {n: one.as_dict() for n, one in figures.with_intervals(measures, cases).items()}


def _unseen(cases: Cases, threshold: float) -> dict[str, Any]:
    """What is answered where little or nothing is seen."""
    right = (cases.scores >= threshold) == cases.labels
    recalls = [right[cases.labels == label].mean() for label in (0, 1)]
    low, middle, high = (
        round(float(q), DIGITS) for q in np.quantile(cases.scores, (0.05, 0.5, 0.95))
    )
    return {
        "accuracy": round(float(right.mean()), DIGITS),
        "balanced_accuracy": round(float(np.mean(recalls)), DIGITS),
        "score": {"value": middle, "low": low, "high": high},
    }
