"""Sound as spectrograms of the short-time Fourier transform: every frequency, and its phase."""

from typing import Literal

import numpy as np

from pellucid.contracts.base import Doubles
from pellucid.contracts.spectrogram import SpectrogramContract


class StftContract(SpectrogramContract):
    """Frequencies of equal width, without that of 0 Hz: row `k` is frequency `k + 1` of the FFT.

    Mel bands blur what vocoders leave between the harmonics and in the phases. With `phase`, two
    channels follow the power, from -1 to 1: the cosine of the second difference of the phase along
    time, 1 where a tone goes on as it was, and along frequency, 1 where a frame is one pulse; 0 at
    the edges, where there is no such difference.
    """

    kind: Literal["stft"]
    phase: bool = False

    @property
    def plane(self) -> tuple[int, int]:
        """Frequencies and frames."""
        return self.n_fft // 2, self.frames

    @property
    def planes(self) -> int:
        """The power, and two of the phase where it is wanted."""
        return 3 if self.phase else 1

    @property
    def value_range(self) -> tuple[Doubles, Doubles]:
        """Values of silence, which has no phase, and of the loudest, with its phases in order."""
        low, high = self.level_range
        phases = self.planes - 1
        return np.array([low] + [0.0] * phases), np.array([high] + [1.0] * phases)
