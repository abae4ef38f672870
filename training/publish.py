"""Put what a training found into a model's folder: the weights and the measured part of the card.

The upper part of `card.yaml` is written by hand; all below the mark is replaced by a training.
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

from pellucid.repository.folder import WEIGHTS

MARK = "# Measured by `python -m training`; the lines below are replaced by the next training.\n"


def publish(
    folder: Path, weights: Path, thresholds: dict[str, float], quality: dict[str, Any]
) -> None:
    """Put weights and figures into a model's folder of the repository.

    Args:
        folder: the model's, with its `card.yaml`.
        weights: float16 safetensors: those the figures were measured with.
        thresholds: score from which a label counts as present, by label.
        quality: figures by split, plain numbers and texts.
    """
    version = folder / "1"
    version.mkdir(exist_ok=True)
    shutil.copyfile(weights, version / WEIGHTS)
    write_measured(folder / "card.yaml", thresholds=thresholds, quality=quality)


def write_measured(card: Path, *, thresholds: dict[str, float], quality: dict[str, Any]) -> None:
    """Replace the thresholds and the quality of a card, and leave the rest as it is.

    Args:
        card: path of `card.yaml`.
        thresholds: score from which a label counts as present, by label.
        quality: figures by split, plain numbers and texts.

    Raises:
        ValueError: the part written by hand has thresholds or a quality of its own.
    """
    by_hand = card.read_text(encoding="utf-8").split(MARK)[0].rstrip("\n") + "\n"
    if double := {"thresholds", "quality"} & set(yaml.safe_load(by_hand)):
        raise ValueError(f"{card}: {sorted(double)} stand above the mark")
    measured = yaml.safe_dump(
        {"thresholds": thresholds, "quality": quality}, sort_keys=False, default_flow_style=None
    )
    new = card.with_suffix(".new")
    new.write_text(by_hand + MARK + measured, encoding="utf-8")
    new.replace(card)
