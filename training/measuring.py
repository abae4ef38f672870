"""Figures of a trained network on one split: quality, hidden segments, baselines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pellucid.architectures.weights import load_torch
from pellucid.cards import Activation, Card
from pellucid.contracts import ImageContract
from training.calibration import log_odds, temperature
from training.datasets.pictures import Pictures
from training.drawing import in_order
from training.evaluation import evaluate, mean_auc
from training.examples import positive_label
from training.figures import DIGITS, HIDDEN
from training.operating_points import ScoredTwice, operating_points
from training.pictures import arranged, hide_share, normalise, vary
from training.recipe import PictureChanges
from training.weights import build_torch, channels_last

DEVICES = PictureChanges(pose=0, mirror=False, noise=0, exposure=2, sharpness=2)
"""Exposure and sharpness, twice as strongly as in training: what differs between hospitals, more
than between the patients of one, and must not move a threshold."""


def measure_pictures(card: Card, weights: Path, pictures: Pictures) -> dict[str, Any]:
    """Measure a network on the split that thresholds are chosen on.

    Args:
        card: the model's.
        weights: float16 safetensors, as they are shipped.
        pictures: of the split.

    Returns:
        `operating_points` and `calibration` as the card has them, and figures.
    """
    contract = card.preprocess
    assert isinstance(contract, ImageContract)
    score = scorer(card, weights)
    inputs = [normalise(x, contract.height, contract) for x, _ in in_order(pictures)]
    truths = pictures.targets.numpy()
    labels = card.labels
    if card.output.activation is not Activation.SIGMOID:
        truths, labels = truths[:, -1:], (positive_label(card),)
    generator = Generator().manual_seed(0)
    hidden = {
        share: score([hide_share(x, share, generator) for x in inputs])[:, -len(labels) :]
        for share in HIDDEN
    }
    black = torch.from_numpy(contract.value_range[0]).to(inputs[0]).view(1, -1, 1, 1)
    dark = score([black.expand_as(inputs[0][:1])])[:, -len(labels) :]
    changed = score([vary(x, contract, DEVICES, generator) for x in inputs])[:, -len(labels) :]
    figures: dict[str, Any] = {}
    points: dict[str, dict[str, float]] = {}
    temperatures: dict[str, float] = {}
    for column, label in enumerate(labels):
        known = ~np.isnan(truths[:, column])
        truth = truths[known, column].astype(np.int64)
        if len(set(truth.tolist())) < 2:
            figures[label] = {"positives": int(truth.sum())}
            continue
        scores = {share: each[known, column] for share, each in hidden.items()}
        owners = np.array(pictures.owners)[known]
        chosen = operating_points([ScoredTwice(truth, scores[0.0], changed[known, column], owners)])
        for name, threshold in chosen.items():
            points.setdefault(name, {})[label] = threshold
        temperatures[label] = temperature(truth, log_odds(scores[0.0]))
        figures[label] = {
            **_measure_label(truth, scores, chosen["balanced"], list(owners)),
            "black": round(float(dark[0, column]), DIGITS),
        }
    independent = card.output.activation is Activation.SIGMOID
    return {
        "operating_points": points,
        "calibration": {"temperature": temperatures if independent else temperatures[labels[0]]},
        "validation": figures,
        "macro_auc": round(mean_auc(truths, hidden[0.0]), DIGITS),
    }


def _measure_label(
    truth: NDArray[np.int64],
    hidden: dict[float, NDArray[np.float64]],
    threshold: float,
    owners: list[str],
) -> dict[str, Any]:
    return {
        **evaluate(truth, hidden[0.0], threshold, owners),
        "hidden": {
            f"{share:.0%}": {
                "accuracy": round(float(np.mean((each >= threshold) == truth)), DIGITS),
                "score": [round(float(q), DIGITS) for q in np.quantile(each, (0.05, 0.5, 0.95))],
            }
            for share, each in hidden.items()
        },
    }


def scorer(card: Card, weights: Path) -> Callable[[list[Tensor]], NDArray[np.float64]]:
    """What turns inputs `(N, C, H, W)` into scores of the labels, `(N, K)`."""
    assert card.architecture is not None

    def scores_of(logits: Tensor) -> NDArray[np.float64]:
        softmax = card.output.activation is Activation.SOFTMAX
        wide = logits.double()
        return np.asarray((wide.softmax(1) if softmax else wide.sigmoid()).numpy())

    if card.architecture.framework == "keras":
        # The other framework is loaded only where it is needed.
        from pellucid.architectures.weights import load_keras
        from training.keras_loop import build_keras

        model = build_keras(card)
        load_keras(model, weights)

        def keras_scores(inputs: list[Tensor]) -> NDArray[np.float64]:
            x = arranged(torch.cat(inputs).numpy(), card.preprocess.layout)
            return scores_of(torch.from_numpy(model.predict(x, batch_size=64, verbose=0)))

        return keras_scores
    module = build_torch(card)
    load_torch(module, weights)
    module = channels_last(module.eval())

    @torch.inference_mode()
    def torch_scores(inputs: list[Tensor]) -> NDArray[np.float64]:
        logits = [module(x.contiguous(memory_format=torch.channels_last)) for x in inputs]
        return scores_of(torch.cat(logits))

    return torch_scores
