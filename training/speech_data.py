"""The speech clips as decibel spectrograms, and how training varies them.

Everything here works on mel power in decibels before clipping, where a louder recording is an
addition and noise adds its power: so a spectrogram is computed once and varied for nothing.
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pellucid.cards import AudioContract
from pellucid.spectrogram import mel_decibels, normalise

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Spectrograms `(N, n_mels, frames)` in decibels, labels `(N,)`: 0 real, 1 fake."""

    decibels: Floats
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    """Where each clip comes from: the synthesis engine, or the source of the human speech."""


def load_clips(data: Path, column: str, split: str, contract: AudioContract) -> Clips:
    """Read the clips for which the manifest's `column` says `split`.

    Args:
        data: folder of `manifest.csv`.
        column: protocol: `split_b`, or `split` (no engine of its test set is trained on).
        split: `train`, `val`, `test` or `test_seen`.
        contract: the model's; clips have its rate and the length of its window.

    Raises:
        ValueError: there are no such clips, or one has another rate or length.
    """
    with open(data / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row[column] == split]
    if not rows:
        raise ValueError(f"no clip of {data} has {column} == {split}")
    # A product this small is done before a second thread has started, and waiting costs a core.
    with threadpool_limits(1, user_api="blas"):
        decibels = [
            mel_decibels(_read(data / row["path"], contract), contract)
            for row in tqdm(rows, desc=f"{column} {split}", mininterval=10)
        ]
    fake = [row["label"] == "fake" for row in rows]
    groups = [
        row["speaker_or_engine"] if f else row["source"] for row, f in zip(rows, fake, strict=True)
    ]
    return Clips(np.stack(decibels), np.array(fake, np.int64), tuple(groups))


def _read(path: Path, contract: AudioContract) -> Floats:
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != contract.sample_rate_hz or samples.shape != (contract.window_samples,):
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}, not what the card says")
    sound: Floats = samples
    return sound


def sampling_odds(clips: Clips) -> NDArray[np.float64]:
    """Chance of each clip to be drawn: classes alike, engines by the square root of their size.

    Neural text to speech is rare in the data and common in the world, hence the root.
    """
    sizes = Counter(clips.groups)
    odds = np.array([sizes[group] ** -0.5 for group in clips.groups])
    for label in (0, 1):
        odds[clips.labels == label] /= odds[clips.labels == label].sum()
    return np.asarray(odds / odds.sum())


def augment(decibels: Floats, contract: AudioContract, frames: int, rng: Generator) -> Floats:
    """Vary spectrograms as microphones, rooms and codecs do, and turn them into model inputs.

    Args:
        decibels: shape `(N, n_mels, T)`; left as it is.
        contract: how the result is clipped and scaled.
        frames: length of the crop, at most `T`; where it starts is random, and it wraps round.
        rng: the only source of chance.

    Returns:
        Normalised float32 `(N, n_mels, frames)`.
    """
    x = _crop(decibels, frames, rng)
    x += _gain(len(x), rng) + _colour(len(x), x.shape[1], rng)
    x = _add_noise(x, rng)
    x = _limit_band(x, rng)
    return _hide(normalise(x, contract), rng)


def mix(
    x: Floats, targets: Floats, rng: Generator, share: float = 0.5, alpha: float = 0.3
) -> tuple[Floats, Floats]:
    """Blend a `share` of the batches with themselves in another order (arXiv:1710.09412)."""
    if rng.random() > share:
        return x, targets
    weight = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    other = rng.permutation(len(x))
    w = weight[:, None, None]
    return (
        w * x + (1 - w) * x[other],
        weight[:, None] * targets + (1 - weight[:, None]) * targets[other],
    )


def _crop(decibels: Floats, frames: int, rng: Generator) -> Floats:
    length = decibels.shape[2]
    starts = rng.integers(length, size=len(decibels))
    columns = (starts[:, None] + np.arange(frames)) % length
    return np.take_along_axis(decibels, columns[:, None, :], axis=2)


def _gain(n: int, rng: Generator) -> Floats:
    return rng.uniform(-6, 4, (n, 1, 1)).astype(np.float32)


def _colour(n: int, bands: int, rng: Generator) -> Floats:
    """A tilt and a smooth random curve over the bands: another microphone."""
    knots = rng.normal(0, 1.5, (n, 6)) + rng.uniform(-3, 3, (n, 1)) * np.linspace(-1, 1, 6)
    at = np.linspace(0, 5, bands)
    curves = np.stack([np.interp(at, np.arange(6), row) for row in knots])
    return curves[:, :, None].astype(np.float32)


def _add_noise(x: Floats, rng: Generator) -> Floats:
    """Add stationary noise of some colour to a third of the clips, 10 to 45 dB below the speech."""
    chosen = np.flatnonzero(rng.random(len(x)) < 0.33)
    part = x[chosen]
    speech = 10 * np.log10(np.mean(10 ** (part / 10), axis=(1, 2), keepdims=True))
    level = speech - rng.uniform(10, 45, (len(chosen), 1, 1))
    shape = _colour(len(chosen), x.shape[1], rng) * 1.5
    # The power of a noise in a band of several bins has roughly a gamma distribution.
    grain = rng.standard_gamma(3.0, part.shape, dtype=np.float32) / 3
    noise = 10 ** ((level + shape) / 10) * grain
    x[chosen] = 10 * np.log10(10 ** (part / 10) + noise)
    return x


def _limit_band(x: Floats, rng: Generator) -> Floats:
    """Attenuate the upper bands of a fifth of the clips, as codecs and telephones do."""
    bands = x.shape[1]
    for row in np.flatnonzero(rng.random(len(x)) < 0.2):
        cut = rng.integers(int(0.6 * bands), bands)
        slope = np.arange(1, bands - cut + 1, dtype=np.float32) * rng.uniform(2, 12)
        x[row, cut:] -= np.minimum(slope, rng.uniform(10, 50))[:, None]
    return x


def _hide(x: Floats, rng: Generator) -> Floats:
    """SpecAugment (arXiv:1904.08779): a bar along each axis takes the clip's mean."""
    n, bands, frames = x.shape
    mean = x.mean(axis=(1, 2))
    for row in range(n):
        height, width = rng.integers(bands // 6), rng.integers(frames // 6)
        top, left = rng.integers(bands - height), rng.integers(frames - width)
        x[row, top : top + height] = mean[row]
        x[row, :, left : left + width] = mean[row]
    return x
