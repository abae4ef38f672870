"""What stands where a segment is hidden, in the space of the model's input."""

from typing import Final, TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter

from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.contracts import Layout, LogMelContract
from pellucid.errors import InvalidArgument
from pellucid.tensors import FloatArray

BLUR_SHARE: Final = 1 / 16
"""Standard deviation of the blur, as a share of the input's shorter side."""

Baseline: TypeAlias = "methods_pb2.Baseline.ValueType"


def resolve_baseline(card: Card, wanted: Baseline, field: str) -> Baseline:
    """The baseline to use: what was asked for, or the default of the model's kind of input.

    Raises:
        InvalidArgument: there is no such baseline, or not for this kind of input.
    """
    sound = isinstance(card.preprocess, LogMelContract)
    if wanted == methods_pb2.BASELINE_UNSPECIFIED:
        return methods_pb2.BASELINE_SILENCE if sound else methods_pb2.BASELINE_MEAN
    own = methods_pb2.BASELINE_SILENCE if sound else methods_pb2.BASELINE_BLACK
    if wanted not in (own, methods_pb2.BASELINE_MEAN, methods_pb2.BASELINE_BLUR):
        raise InvalidArgument(
            f"{card.name} has no such baseline",
            field=field,
            remedy=f"choose {'silence' if sound else 'black'}, mean or blur",
            model=card.name,
        )
    return wanted


def make_baseline(card: Card, wanted: Baseline, image: FloatArray) -> FloatArray:
    """Values of a resolved baseline.

    Args:
        card: the model's.
        wanted: from `resolve_baseline`.
        image: the input, `card.preprocess.shape`.

    Returns:
        `(1, *shape)`, or the shortest shape of four axes that broadcasts to it: a constant travels
        to Triton with every call.
    """
    channel = 0 if card.preprocess.layout is Layout.CHW else 2
    if wanted == methods_pb2.BASELINE_BLUR:
        plane = [length for axis, length in enumerate(image.shape) if axis != channel]
        sigma = [min(plane) * BLUR_SHARE] * 3
        sigma[channel] = 0
        blurred = gaussian_filter(image.astype(np.float64), sigma)
        return np.asarray(blurred[np.newaxis], dtype=np.float32)
    return _constant(_levels(card, wanted, image, channel), channel)


def _levels(card: Card, wanted: Baseline, image: FloatArray, channel: int) -> FloatArray:
    """One value a channel."""
    contract = card.preprocess
    if wanted == methods_pb2.BASELINE_MEAN:
        axes = tuple(axis for axis in range(3) if axis != channel)
        levels = image.mean(axis=axes, dtype=np.float64)
    elif isinstance(contract, LogMelContract):
        levels = np.array([(contract.floor_db - contract.mean) / contract.std])
    else:
        levels = -np.array(contract.mean) / np.array(contract.std)
    return np.asarray(levels, dtype=np.float32)


def _constant(levels: FloatArray, channel: int) -> FloatArray:
    if (levels == levels[0]).all():
        return levels[:1].reshape(1, 1, 1, 1)
    shape = [1, 1, 1, 1]
    shape[channel + 1] = len(levels)
    return levels.reshape(shape)
