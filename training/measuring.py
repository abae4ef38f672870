"""Figures of a trained network on one split: quality, hidden segments, baselines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pellucid.architectures.weights import load_torch
from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.pictures import Pictures
from training.drawing import in_order
from training.evaluation import best_threshold, evaluate
from training.pictures import hide_share, normalise
from training.weights import build_torch, channels_last

HIDDEN = (0.0, 0.25, 0.5, 0.75, 1.0)
DIGITS = 4


def measure_pictures(card: Card, weights: Path, pictures: Pictures) -> dict[str, Any]:
    """Measure a network of two labels on the split that thresholds are chosen on.

    Args:
        card: the model's.
        weights: float16 safetensors, as they are shipped.
        pictures: of the split.
    """
    contract = card.preprocess
    assert isinstance(contract, ImageContract)
    score = _scorer(card, weights)
    inputs = [(normalise(x, contract.height, contract), y) for x, y in in_order(pictures)]
    labels = torch.cat([y for _, y in inputs])[:, -1].numpy().astype(np.int64)
    scores = score([x for x, _ in inputs])
    threshold = best_threshold(labels, scores)
    generator = Generator().manual_seed(0)
    hidden = {
        share: score([hide_share(x, share, generator) for x, _ in inputs]) for share in HIDDEN
    }
    black = -contract.mean[0] / contract.std[0]
    baselines = {
        "mean": hidden[1.0],
        "black": score([torch.full_like(inputs[0][0][:1], black)]),
    }
    return {
        "validation": evaluate(labels, scores, threshold, pictures.owners),
        "hidden": {
            f"{share:.0%}": {
                "accuracy": round(float(np.mean((each >= threshold) == labels)), DIGITS),
                "mean_score": round(float(each.mean()), DIGITS),
            }
            for share, each in hidden.items()
        },
        "baselines": {
            name: [round(float(q), DIGITS) for q in np.quantile(each, (0.05, 0.5, 0.95))]
            for name, each in baselines.items()
        },
    }


def _scorer(card: Card, weights: Path) -> Callable[[list[Tensor]], NDArray[np.float64]]:
    """What turns inputs `(N, C, H, W)` into scores of the positive label, `(N,)`."""
    assert card.architecture is not None
    if card.architecture.framework == "keras":
        # The other framework is loaded only where it is needed.
        from pellucid.architectures.weights import load_keras
        from training.keras_data import arranged
        from training.keras_loop import build_keras, margins_of

        model = build_keras(card)
        load_keras(model, weights)

        def keras_scores(inputs: list[Tensor]) -> NDArray[np.float64]:
            x = arranged(torch.cat(inputs).numpy(), card.preprocess.layout)
            margins = margins_of(model.predict(x, batch_size=64, verbose=0))
            return np.asarray(1 / (1 + np.exp(-margins)))

        return keras_scores
    module = build_torch(card)
    load_torch(module, weights)
    module = channels_last(module.eval())

    @torch.inference_mode()
    def torch_scores(inputs: list[Tensor]) -> NDArray[np.float64]:
        logits = [module(x.contiguous(memory_format=torch.channels_last)) for x in inputs]
        wide = torch.cat(logits).double()
        margins = wide[:, 0] if wide.shape[1] == 1 else wide[:, 1] - wide[:, 0]
        return np.asarray(margins.sigmoid().numpy())

    return torch_scores
