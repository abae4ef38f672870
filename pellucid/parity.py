"""Whether a copy answers as the served model does, on inputs that never change."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pellucid.api.explain.v1 import explain_pb2
from pellucid.cards import Card
from pellucid.scores import probabilities
from pellucid.tensors import FloatArray

PROBES: Final = 8
_SEED: Final = 20_240_817

Doubles: TypeAlias = npt.NDArray[np.float64]


def probes(card: Card) -> FloatArray:
    """Inputs in the range of a card's contract, `(PROBES, *shape)`; always the same.

    Black, mid-grey, a ramp, two of noise, and three of smooth blobs. For sound, black is silence.
    """
    height, width = card.preprocess.plane
    channels = card.preprocess.planes
    rng = np.random.default_rng(_SEED)
    ramp = np.linspace(0, 1, height * width).reshape(1, height, width)
    patterns: list[Doubles] = [np.zeros_like(ramp), np.full_like(ramp, 0.5), ramp]
    patterns += [rng.random((channels, height, width)) for _ in range(2)]
    patterns += [_blobs(rng, height, width) for _ in range(3)]
    unit = np.stack([np.broadcast_to(one, (channels, height, width)) for one in patterns])
    return card.preprocess.undisplayed(np.moveaxis(unit, 1, -1))


def compare(
    card: Card,
    served: Callable[[FloatArray], FloatArray],
    copy: Callable[[FloatArray], FloatArray],
) -> explain_pb2.Parity:
    """Compare two sources of logits on the probes, on the scale of probabilities.

    A score that is not finite counts as a difference of 1.
    """
    assert card.architecture is not None
    inputs = probes(card)
    differences = np.abs(probabilities(card, served(inputs)) - probabilities(card, copy(inputs)))
    largest = float(np.nan_to_num(differences, nan=1.0).max())
    tolerance = card.architecture.parity_tolerance
    return explain_pb2.Parity(
        max_score_difference=largest,
        tolerance=tolerance,
        probes=len(inputs),
        passed=largest <= tolerance,
    )


def _blobs(rng: np.random.Generator, height: int, width: int) -> Doubles:
    """Sum of a few waves of low frequency, scaled to 0 .. 1; `(1, H, W)`."""
    rows = np.linspace(0, 1, height)[:, np.newaxis]
    columns = np.linspace(0, 1, width)
    waves = np.zeros((1, height, width))
    for fy, fx, phase in rng.uniform(0, [4, 4, 1], (5, 3)):
        waves += np.cos(2 * np.pi * (fy * rows + fx * columns + phase))
    waves -= waves.min()
    waves /= waves.max()
    return waves
