"""The spectrograms of audio contracts: one definition for training and for serving."""

from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from pellucid.contracts import LogMelContract, SpectrogramContract, StftContract
from pellucid.tensors import FloatArray

_LEAST_POWER = 1e-10


def spectrogram(samples: NDArray[np.floating], contract: SpectrogramContract) -> FloatArray:
    """Turn a window of sound into what the model sees, without its batch axis.

    Args:
        samples: mono sound, full scale at -1 and 1, at the contract's rate, shape `(n,)`;
            the model wants `n == contract.window_samples`, this function takes any.
        contract: what the model was trained on.

    Returns:
        `(bands, 1 + n // hop_length, C)`, whatever the contract's layout; row 0 is the lowest band.

    Raises:
        ValueError: the samples are not one finite channel.
    """
    if isinstance(contract, LogMelContract):
        return _normalised(mel_decibels(samples, contract), contract)[..., np.newaxis]
    assert isinstance(contract, StftContract)
    rows = _transform(samples, contract)[1:]
    levels = _normalised(_decibels(np.abs(rows) ** 2), contract)
    if not contract.phase:
        return levels[..., np.newaxis]
    return np.stack([levels, _steadiness(rows, 1), _steadiness(rows, 0)], axis=-1)


def mel_decibels(samples: NDArray[np.floating], contract: LogMelContract) -> FloatArray:
    """Mel power of a sound in decibels relative to full scale, not yet clipped.

    Args:
        samples: mono sound, full scale at -1 and 1, at the contract's rate, shape `(n,)`.
        contract: what the model was trained on.

    Returns:
        Decibels from -100, shape `(n_mels, 1 + n // hop_length)`; row 0 is the lowest band.

    Raises:
        ValueError: the samples are not one finite channel.
    """
    return _decibels(_filters(contract) @ np.abs(_transform(samples, contract)) ** 2)


def band_hertz(contract: SpectrogramContract) -> NDArray[np.float64]:
    """Centre of each band in hertz, the lowest first, `(bands,)`."""
    if isinstance(contract, LogMelContract):
        edges = librosa.mel_frequencies(
            contract.n_mels + 2, fmin=contract.fmin_hz, fmax=contract.fmax_hz
        )
        return np.asarray(edges[1:-1], np.float64)
    rows = np.arange(1, contract.n_fft // 2 + 1, dtype=np.float64)
    return rows * contract.sample_rate_hz / contract.n_fft


def _transform(
    samples: NDArray[np.floating], contract: SpectrogramContract
) -> NDArray[np.complex64]:
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"expected finite samples of one channel, got shape {samples.shape}")
    found: NDArray[np.complex64] = librosa.stft(
        samples.astype(np.float32, copy=False),
        n_fft=contract.n_fft,
        win_length=contract.win_length,
        hop_length=contract.hop_length,
        window="hann",
        center=True,
    )
    return found


def _decibels(power: NDArray[np.float32]) -> FloatArray:
    decibels: FloatArray = 10 * np.log10(np.maximum(power, _LEAST_POWER))
    return decibels


def _normalised(decibels: FloatArray, contract: SpectrogramContract) -> FloatArray:
    """Clip decibels to the contract's range and scale them to the model's input."""
    clipped = np.clip(decibels, contract.floor_db, contract.ceiling_db)
    return ((clipped - contract.mean) / contract.std).astype(np.float32)


def _steadiness(spectrum: NDArray[np.complex64], axis: int) -> FloatArray:
    """Cosine of the second difference of the phase along an axis; 0 at its ends.

    The product of a value's neighbours with the square of its conjugate has that phase: no angle is
    taken. Where there is no sound there is no phase: 0.
    """
    sizes = np.abs(spectrum)
    units = np.divide(spectrum, sizes, out=np.zeros_like(spectrum), where=sizes > 0)
    along = np.moveaxis(units, axis, 0)
    found = np.zeros(along.shape, np.float32)
    found[1:-1] = (along[2:] * np.conj(along[1:-1]) ** 2 * along[:-2]).real
    return np.moveaxis(found, 0, axis)


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
