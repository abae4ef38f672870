"""A recording's file to the windows of a spectrogram's contract."""

import librosa
import numpy as np

from pellucid import tensors
from pellucid.contracts import SpectrogramContract
from pellucid.spectrogram import band_hertz, spectrogram
from pellucid.tensors import FloatArray
from preprocess_service import audio, framing, preview, response_limits
from preprocess_service.media import Affine, Axes, Preprocessed, Recording, Window
from preprocess_service.settings import PreprocessSettings


def read(
    content: bytes,
    media_type: str,
    contract: SpectrogramContract,
    settings: PreprocessSettings,
    *,
    with_preview: bool,
) -> Preprocessed:
    """Read a recording; arguments and errors are those of `pipeline.preprocess`."""
    recording = audio.decode(content, media_type, settings)
    rate = recording.facts.sample_rate_hz
    count = -(-len(recording.samples) * contract.sample_rate_hz // rate)
    windows = framing.count_windows(count, contract)
    response_limits.check_size(windows, contract, settings, with_preview=with_preview)
    samples = _resample(recording, contract.sample_rate_hz)
    hertz = tuple(band_hertz(contract).tolist())
    cut = tuple(
        _window(samples, start, hertz, contract, with_preview)
        for start in framing.window_starts(len(samples), contract)
    )
    return Preprocessed(media_type, cut, recording.facts)


def _resample(recording: Recording, rate_hz: int) -> FloatArray:
    resampled = librosa.resample(
        recording.samples,
        orig_sr=recording.facts.sample_rate_hz,
        target_sr=rate_hz,
        res_type="soxr_hq",
    )
    return np.asarray(resampled, dtype=np.float32)


def _window(
    samples: FloatArray,
    start: int,
    hertz: tuple[float, ...],
    contract: SpectrogramContract,
    with_preview: bool,
) -> Window:
    cells = spectrogram(framing.window(samples, start, contract), contract)
    tensor = contract.arranged(cells)
    begin, hop = start / contract.sample_rate_hz, contract.hop_length / contract.sample_rate_hz
    seconds = tuple(begin + column * hop for column in range(cells.shape[1]))
    shown = contract.displayed(tensor)[:, :, 0]
    return Window(
        tensor=tensor,
        digest=tensors.digest(tensor),
        # librosa centres column k on sample k * hop; its outer edges are half a hop away.
        to_original=Affine(hop, begin - hop / 2, 1.0, 0.0),
        preview_png=preview.spectrogram_png(shown) if with_preview else b"",
        start_seconds=begin,
        end_seconds=begin + contract.window_samples / contract.sample_rate_hz,
        axes=Axes(seconds, hertz),
    )
