"""Figures of a trained network on one split: quality, hidden segments, baselines."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from pellucid.architectures.weights import load_torch
from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.pictures import Pictures
from training.drawing import in_order
from training.evaluation import best_threshold, evaluate
from training.pictures import hide_share, normalise
from training.weights import build_torch

HIDDEN = (0.0, 0.25, 0.5, 0.75, 1.0)
DIGITS = 4


def measure_pictures(card: Card, weights: Path, pictures: Pictures) -> dict[str, Any]:
    """Measure a network of one logit on the split that thresholds are chosen on.

    Args:
        card: the model's.
        weights: float16 safetensors, as they are shipped.
        pictures: of the split.
    """
    contract = card.preprocess
    assert isinstance(contract, ImageContract)
    module = build_torch(card)
    load_torch(module, weights)
    module = module.eval().to(memory_format=torch.channels_last)
    inputs = [(normalise(x, contract.height, contract), y) for x, y in in_order(pictures)]
    labels = torch.cat([y for _, y in inputs])[:, 0].numpy().astype(np.int64)
    scores = _scores(module, [x for x, _ in inputs])
    threshold = best_threshold(labels, scores)
    generator = Generator().manual_seed(0)
    hidden = {
        share: _scores(module, [hide_share(x, share, generator) for x, _ in inputs])
        for share in HIDDEN
    }
    black = -contract.mean[0] / contract.std[0]
    baselines = {
        "mean": hidden[1.0],
        "black": _scores(module, [torch.full_like(inputs[0][0][:1], black)]),
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


@torch.inference_mode()
def _scores(module: nn.Module, inputs: list[Tensor]) -> NDArray[np.float64]:
    logits = [module(x.contiguous(memory_format=torch.channels_last))[:, 0] for x in inputs]
    return np.asarray(torch.cat(logits).double().sigmoid().numpy())
