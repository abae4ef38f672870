"""What a model saw of a file: a picture, or one window of a recording.

Arrays are read-only numpy arrays. Classes that hold arrays compare by identity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.client.predictions import Prediction


@dataclass(frozen=True)
class Affine:
    """Takes a point of the map to the original: x' = a x + b y + c, y' = d x + e y + f.

    x counts columns and y rows, both from the outer edge of the first (0) to the outer edge of the
    last. For sound, x' is in seconds from the start of the file, y' in mel bands.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """The point of the original that (x, y) of the map shows."""
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f


@dataclass(frozen=True, eq=False)
class SpectrogramAxes:
    """Axes of a spectrogram of `H` mel bands and `W` frames."""

    time_s: NDArray[np.float64]
    """Centre of each column, shape (W,), in seconds from the start of the file."""
    frequency_hz: NDArray[np.float64]
    """Centre of each row, shape (H,), in hertz, lowest first."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model saw: a picture, or one window of a recording."""

    digest: str
    """SHA-256 of the tensor, in hexadecimal; every map of a request carries the same."""
    to_original: Affine
    start_s: float
    """Seconds from the start of the file; 0 for a picture."""
    end_s: float
    """Past the file's end where the window was padded; 0 for a picture."""
    axes: SpectrogramAxes | None
    """For sound only."""
    display_png: bytes
    """8-bit PNG of the tensor's height and width; row 0 of a spectrogram is at the bottom."""


@dataclass(frozen=True)
class ExplainedInput:
    """First event: the prediction, and the part of the file that is explained."""

    prediction: Prediction
    window_index: int
    """Which window is explained, from 0."""
    window: ModelInput
    queue_position: int
    """Explanations that run or wait on the server before this one."""
