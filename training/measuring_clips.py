"""Figures of a trained network on clips: quality by data set and engine, hidden cells."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pellucid.architectures.weights import load_keras
from pellucid.cards import Card
from pellucid.contracts import SpectrogramContract
from training import sounds
from training.calibration import temperature
from training.datasets.clips import Clips
from training.evaluation import evaluate, recall_by_group
from training.figures import DIGITS, HIDDEN
from training.keras_loop import build_keras, margins_of
from training.operating_points import ScoredTwice, operating_points


def measure_clips(card: Card, weights: Path, clips: Clips) -> dict[str, Any]:
    """Measure a network of two logits on the split that thresholds are chosen on.

    Args:
        card: the model's.
        weights: float16 safetensors, as they are shipped.
        clips: of the split; figures are by data set.

    Returns:
        `operating_points` and `calibration` as the card has them, one of all sets, and figures.
    """
    contract = card.preprocess
    assert isinstance(contract, SpectrogramContract)
    model = build_keras(card)
    load_keras(model, weights)
    x = sounds.inputs(clips.samples, contract)
    changed = sounds.varied(clips.samples, contract, 1, np.random.default_rng(1))
    margins = _margins(model, x)
    scores, sets, owners = expit(margins), np.array(clips.sets), np.array(clips.owners)
    cases = ScoredTwice(clips.labels, scores, expit(_margins(model, changed)), owners)
    points = operating_points([cases[sets == name] for name in sorted(set(clips.sets))])
    threshold = points["balanced"]
    figures: dict[str, Any] = {}
    for name in sorted(set(clips.sets)):
        rows = np.flatnonzero(sets == name)
        labels, chosen = clips.labels[rows], scores[rows]
        groups = tuple(clips.groups[row] for row in rows)
        figures[name] = {
            **evaluate(labels, chosen, threshold, list(owners[rows])),
            "recall": recall_by_group(labels, chosen, groups, threshold),
        }
    return {
        "operating_points": {name: {card.labels[1]: value} for name, value in points.items()},
        "calibration": {"temperature": temperature(clips.labels, margins)},
        "validation": figures,
        "hidden": _hidden(model, x, clips.labels, threshold, contract),
    }


def _hidden(
    model: keras.Model,
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
    threshold: float,
    contract: SpectrogramContract,
) -> dict[str, Any]:
    silence, _ = contract.value_range
    table = {}
    for share in HIDDEN:
        rng = np.random.default_rng(0)
        masked = x.copy()
        for each in masked:
            each[sounds.cells(each.shape, share, rng)] = silence
        scores = expit(_margins(model, masked))
        table[f"{share:.0%}"] = {
            "accuracy": round(float(np.mean((scores >= threshold) == labels)), DIGITS),
            "mean_score": round(float(scores.mean()), DIGITS),
        }
    return table


def _margins(model: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds that clips are fake, `(N,)`."""
    return margins_of(model.predict(x, verbose=0))
