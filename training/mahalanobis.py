"""Fits a Mahalanobis detector to what a network's graph makes of its training data."""

from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from pellucid.repository.detector import STATISTICS, MahalanobisDetector, expose_statistics
from pellucid.repository.features import expose_features

Floats = NDArray[np.float32]

DIRECTIONS: Final = 16
"""With 64 or 128 white noise and silence are no farther from speech than speech is."""
_BATCH: Final = 32


def fit(values: Floats) -> MahalanobisDetector:
    """Fit a detector to statistics `(N, V)` of the training data."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # What never changes in training, and would be divided by nothing, counts as it is.
    scale = 1 / np.where(deviation > 1e-3 * deviation.max(), deviation, deviation.max())
    scaled = (values - mean) * scale
    _, singular, directions = np.linalg.svd(scaled, full_matrices=False)
    variances = singular**2 / len(values)
    size = min(DIRECTIONS, len(variances) // 2)
    rest = variances[size:].sum() / (values.shape[1] - size)
    return MahalanobisDetector(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        directions=directions[:size].astype(np.float32),
        variances=variances[:size].astype(np.float32),
        rest=np.array([rest], np.float32),
    )


class Statistics:
    """A classifier's graph that gives what a detector compares."""

    def __init__(self, graph: onnx.ModelProto, channel_axis: int) -> None:
        """Add to a copy of a graph what the repository adds when it builds a model."""
        own = onnx.ModelProto()
        own.CopyFrom(graph)
        expose_features(own)
        expose_statistics(own, channel_axis)
        self._session = onnxruntime.InferenceSession(own.SerializeToString())

    def __call__(self, rows: Floats) -> Floats:
        """Statistics `(N, V)` of inputs `(N, *shape)`."""
        found = [
            self._session.run([STATISTICS], {"input": rows[start : start + _BATCH]})[0]
            for start in range(0, len(rows), _BATCH)
        ]
        return np.concatenate(found)
