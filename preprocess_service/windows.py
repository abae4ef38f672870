"""A recording to the windows that a model wants: resampled, cut or padded, log-mel."""

from collections.abc import Callable

import librosa
import numpy as np

from pellucid import tensors
from pellucid.contracts import Layout, LogMelContract
from pellucid.spectrogram import log_mel
from pellucid.tensors import FloatArray
from preprocess_service import answers, display
from preprocess_service.media import Affine, Axes, Recording, Window
from preprocess_service.settings import PreprocessSettings


def cut(
    recording: Recording,
    contract: LogMelContract,
    settings: PreprocessSettings,
    checkpoint: Callable[[], None],
    *,
    displayed: bool,
) -> tuple[Window, ...]:
    """Cut a recording into the model's windows, with pictures of them where they are `displayed`.

    A recording no longer than the window gives one, padded as the contract says. A longer one
    gives one at each hop, and the last is aligned to the end: every sample is in a window, and
    none of them is padded.

    Raises:
        MediaLimitExceeded: there would be too many windows, or too large ones for one answer.
    """
    rate = recording.facts.sample_rate_hz
    count = -(-len(recording.samples) * contract.sample_rate_hz // rate)
    answers.check_size(1 + len(_hops(count, contract)), contract, settings, displayed=displayed)
    checkpoint()
    samples = _resample(recording, contract.sample_rate_hz)
    frequencies = librosa.mel_frequencies(
        contract.n_mels + 2, fmin=contract.fmin_hz, fmax=contract.fmax_hz
    )
    hertz = tuple(float(value) for value in frequencies[1:-1])
    windows = []
    for start in window_starts(len(samples), contract):
        checkpoint()
        windows.append(_window(samples, start, hertz, contract, displayed))
    return tuple(windows)


def window_starts(samples: int, contract: LogMelContract) -> list[int]:
    """First samples of the windows of a recording of so many samples, ascending."""
    return [*_hops(samples, contract), max(0, samples - contract.window_samples)]


def _hops(samples: int, contract: LogMelContract) -> range:
    """Starts of all windows but the last."""
    hop = max(1, round(contract.hop_seconds * contract.sample_rate_hz))
    return range(0, max(0, samples - contract.window_samples), hop)


def _resample(recording: Recording, rate_hz: int) -> FloatArray:
    resampled = librosa.resample(
        recording.samples,
        orig_sr=recording.facts.sample_rate_hz,
        target_sr=rate_hz,
        res_type="soxr_hq",
    )
    return np.asarray(resampled, dtype=np.float32)


def _pad(samples: FloatArray, contract: LogMelContract) -> FloatArray:
    missing = contract.window_samples - len(samples)
    if missing <= 0:
        return samples
    if contract.pad == "repeat":
        return np.resize(samples, contract.window_samples)
    return np.pad(samples, (0, missing))


def _window(
    samples: FloatArray,
    start: int,
    hertz: tuple[float, ...],
    contract: LogMelContract,
    displayed: bool,
) -> Window:
    part = _pad(samples[start : start + contract.window_samples], contract)
    cells = log_mel(part, contract)
    tensor = cells[np.newaxis] if contract.layout is Layout.CHW else cells[:, :, np.newaxis]
    begin, hop = start / contract.sample_rate_hz, contract.hop_length / contract.sample_rate_hz
    seconds = tuple(begin + column * hop for column in range(cells.shape[1]))
    return Window(
        tensor=tensor,
        digest=tensors.digest(tensor),
        # librosa centres column k on sample k * hop; its outer edges are half a hop away.
        to_original=Affine(hop, begin - hop / 2, 1.0, 0.0),
        display_png=display.spectrogram_png(cells, contract) if displayed else b"",
        start_seconds=begin,
        end_seconds=begin + contract.window_samples / contract.sample_rate_hz,
        axes=Axes(seconds, hertz),
    )
