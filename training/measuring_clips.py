"""Figures of a trained network on clips: quality by data set and engine, hidden cells."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pellucid.architectures.weights import load_keras
from pellucid.cards import Card
from pellucid.contracts import LogMelContract
from training import sounds
from training.datasets.clips import Clips
from training.evaluation import best_threshold, evaluate, recall_by_group
from training.keras_loop import build_keras, margins_of
from training.measuring import DIGITS, HIDDEN


def measure_clips(card: Card, weights: Path, clips: Clips) -> dict[str, Any]:
    """Measure a network of two logits on the split that thresholds are chosen on.

    Args:
        card: the model's.
        weights: float16 safetensors, as they are shipped.
        clips: of the split; figures are by data set.
    """
    contract = card.preprocess
    assert isinstance(contract, LogMelContract)
    model = build_keras(card)
    load_keras(model, weights)
    x = sounds.inputs(clips.samples, contract)
    scores, sets = _scores(model, x), np.array(clips.sets)
    threshold = best_threshold(clips.labels, scores)
    figures: dict[str, Any] = {}
    for name in sorted(set(clips.sets)):
        rows = np.flatnonzero(sets == name)
        labels, chosen = clips.labels[rows], scores[rows]
        groups = tuple(clips.groups[row] for row in rows)
        owners = [clips.owners[row] for row in rows]
        figures[name] = {
            **evaluate(labels, chosen, threshold, owners),
            "recall": recall_by_group(labels, chosen, groups, threshold),
        }
    return {"validation": figures, "hidden": _hidden(model, x, clips.labels, threshold, contract)}


def _hidden(
    model: keras.Model,
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
    threshold: float,
    contract: LogMelContract,
) -> dict[str, Any]:
    silence = (contract.floor_db - contract.mean) / contract.std
    table = {}
    for share in HIDDEN:
        rng = np.random.default_rng(0)
        masked = x.copy()
        for each in masked:
            each[sounds.cells(each.shape, share, rng)] = silence
        scores = _scores(model, masked)
        table[f"{share:.0%}"] = {
            "accuracy": round(float(np.mean((scores >= threshold) == labels)), DIGITS),
            "mean_score": round(float(scores.mean()), DIGITS),
        }
    return table


def _scores(model: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability that clips are fake, `(N,)`."""
    return np.asarray(1 / (1 + np.exp(-margins_of(model.predict(x[..., None], verbose=0)))))
