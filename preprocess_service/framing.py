"""Where the windows of a recording lie, and what is in them.

A recording no longer than the window gives one, padded as the contract says. A longer one gives one
at each hop, and the last is aligned to the end: every sample is in a window, and none of them is
padded.
"""

import numpy as np

from pellucid.contracts import SpectrogramContract
from pellucid.tensors import FloatArray


def count_windows(samples: int, contract: SpectrogramContract) -> int:
    """Windows of a recording of so many samples."""
    return len(_hops(samples, contract)) + 1


def window_starts(samples: int, contract: SpectrogramContract) -> list[int]:
    """First samples of the windows of a recording of so many samples, ascending."""
    return [*_hops(samples, contract), max(0, samples - contract.window_samples)]


def window(samples: FloatArray, start: int, contract: SpectrogramContract) -> FloatArray:
    """The window that starts at a sample, of shape `(contract.window_samples,)`."""
    part = samples[start : start + contract.window_samples]
    missing = contract.window_samples - len(part)
    if missing <= 0:
        return part
    if contract.pad == "repeat":
        return np.resize(part, contract.window_samples)
    return np.pad(part, (0, missing))


def _hops(samples: int, contract: SpectrogramContract) -> range:
    """Starts of all windows but the last."""
    hop = max(1, round(contract.hop_seconds * contract.sample_rate_hz))
    return range(0, max(0, samples - contract.window_samples), hop)
