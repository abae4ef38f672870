"""What stands where a part is hidden, in the space of the model's input."""

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts import Baseline, InputSpec
from pellucid.tensors import FloatArray

BLUR_SHARE: Final = 1 / 16
"""Standard deviation of the blur, as a share of the input's shorter side."""


def make_baseline(spec: InputSpec, wanted: Baseline, tensor: FloatArray) -> FloatArray:
    """Values of a resolved baseline.

    Args:
        spec: the model's.
        wanted: one of `spec.baselines`.
        tensor: the input, `spec.shape`.

    Returns:
        `(1, *shape)`, or the shortest shape of four axes that broadcasts to it: a constant travels
        to Triton with every call.
    """
    channel = spec.channel_axis
    if wanted == methods_pb2.BASELINE_BLUR:
        sigma = [min(spec.plane) * BLUR_SHARE] * 3
        sigma[channel] = 0
        blurred = gaussian_filter(tensor.astype(np.float64), sigma)
        return np.asarray(blurred[np.newaxis], dtype=np.float32)
    if wanted == methods_pb2.BASELINE_MEAN:
        axes = tuple(axis for axis in range(3) if axis != channel)
        levels = tensor.mean(axis=axes, dtype=np.float64)
    else:
        levels, _ = spec.value_range
    return _constant(np.asarray(levels, dtype=np.float32), channel)


def _constant(levels: FloatArray, channel: int) -> FloatArray:
    if (levels == levels[0]).all():
        return levels[:1].reshape(1, 1, 1, 1)
    shape = [1, 1, 1, 1]
    shape[channel + 1] = len(levels)
    return levels.reshape(shape)
