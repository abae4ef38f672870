"""The log-mel spectrogram of an audio contract: one definition for training and for serving."""

from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from pellucid.contracts import LogMelContract

_LEAST_POWER = 1e-10


def mel_decibels(samples: NDArray[np.floating], contract: LogMelContract) -> NDArray[np.float32]:
    """Mel power of a sound in decibels relative to full scale, not yet clipped.

    Args:
        samples: mono sound, full scale at -1 and 1, at the contract's rate, shape `(n,)`.
        contract: what the model was trained on.

    Returns:
        Decibels from -100, shape `(n_mels, 1 + n // hop_length)`; row 0 is the lowest band.

    Raises:
        ValueError: the samples are not one finite channel.
    """
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"expected finite samples of one channel, got shape {samples.shape}")
    spectrum = librosa.stft(
        samples.astype(np.float32, copy=False),
        n_fft=contract.n_fft,
        win_length=contract.win_length,
        hop_length=contract.hop_length,
        window="hann",
        center=True,
    )
    power = _filters(contract) @ np.abs(spectrum) ** 2
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, _LEAST_POWER))
    return decibels


def normalise(decibels: NDArray[np.float32], contract: LogMelContract) -> NDArray[np.float32]:
    """Clip decibels to the contract's range and scale them to the model's input."""
    clipped = np.clip(decibels, contract.floor_db, contract.ceiling_db)
    return ((clipped - contract.mean) / contract.std).astype(np.float32)


def log_mel(samples: NDArray[np.floating], contract: LogMelContract) -> NDArray[np.float32]:
    """Turn a window of sound into what the model sees, without its batch and channel axes.

    Args:
        samples: mono sound, full scale at -1 and 1, at the contract's rate, shape `(n,)`;
            the model wants `n == contract.window_samples`, this function takes any.
        contract: what the model was trained on.

    Returns:
        Normalised log-mel spectrogram, shape `(n_mels, 1 + n // hop_length)`; row 0 is the
        lowest band.

    Raises:
        ValueError: the samples are not one finite channel.
    """
    return normalise(mel_decibels(samples, contract), contract)


@lru_cache(maxsize=8)
def _filters(contract: LogMelContract) -> NDArray[np.float32]:
    """Mel filters `(n_mels, bins)`; they take librosa five times as long as the spectrum."""
    filters: NDArray[np.float32] = librosa.filters.mel(
        sr=contract.sample_rate_hz,
        n_fft=contract.n_fft,
        n_mels=contract.n_mels,
        fmin=contract.fmin_hz,
        fmax=contract.fmax_hz,
    )
    return filters
