"""The speech clips as decibel spectrograms, and how training varies them.

Everything here works on mel power in decibels before clipping, where a louder recording is an
addition and noise adds its power: so a spectrogram is computed once and varied for nothing.
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pellucid.contracts import LogMelContract
from pellucid.spectrogram import mel_decibels, normalise

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Spectrograms `(N, n_mels, frames)` in decibels, labels `(N,)`: 0 real, 1 fake."""

    decibels: Floats
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    """Where each clip comes from: the synthesis engine, or the source of the human speech."""
    voices: tuple[str, ...]
    """Who speaks each clip: a person, or an engine with a voice."""
    twins: NDArray[np.int64]
    """Row of the human clip that a clip was resynthesised from, or -1, shape `(N,)`."""


def load_clips(data: Path, column: str, split: str, contract: LogMelContract) -> Clips:
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
    voices = tuple(f"{row['speaker_or_engine']} {row['voice']}" for row in rows)
    at = {row["path"]: number for number, row in enumerate(rows)}
    twins = [at.get(row["paired_real"], -1) for row in rows]
    return Clips(
        np.stack(decibels), np.array(fake, np.int64), tuple(groups), voices, np.array(twins)
    )


def _read(path: Path, contract: LogMelContract) -> Floats:
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != contract.sample_rate_hz or samples.shape != (contract.window_samples,):
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}, not what the card says")
    sound: Floats = samples
    return sound


@dataclass(frozen=True)
class Odds:
    """Chance of each clip to be drawn, `(N,)`, within its class."""

    real: NDArray[np.float64]
    fake: NDArray[np.float64]

    @classmethod
    def of(cls, clips: Clips) -> Self:
        """Weigh engines by the square root of their size, and twice if their clips have twins.

        Neural text to speech is rare in the data and common in the world, hence the root;
        resynthesised speech is by far the hardest to hear, hence the two.
        """
        sizes = Counter(clips.groups)
        odds = np.array([sizes[group] ** -0.5 for group in clips.groups])
        odds *= np.where(clips.twins >= 0, 2, 1)
        real, fake = (np.where(clips.labels == label, odds, 0) for label in (0, 1))
        return cls(real / real.sum(), fake / fake.sum())


def draw_batch(clips: Clips, odds: Odds, size: int, rng: Generator) -> NDArray[np.int64]:
    """Draw rows: half of them fake and, for each, a real one, its twin if it has one.

    A twin has the same voice and words, so that nothing but what a vocoder leaves tells the two
    apart; among clips drawn freely the network learns voices and words first and vocoders never.
    """
    fake, real = (rng.choice(len(odds.real), size // 2, p=each) for each in (odds.fake, odds.real))
    twins = clips.twins[fake]
    return np.concatenate([fake, np.where(twins >= 0, twins, real)])


def augment(decibels: Floats, contract: LogMelContract, frames: int, rng: Generator) -> Floats:
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


def _crop(decibels: Floats, frames: int, rng: Generator) -> Floats:
    length = decibels.shape[2]
    # The halves of a batch share their starts, so that twins show the same words.
    starts = np.resize(rng.integers(length, size=(len(decibels) + 1) // 2), len(decibels))
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
    """Add stationary noise of some colour to a sixth of the clips, 15 to 45 dB below the speech."""
    chosen = np.flatnonzero(rng.random(len(x)) < 0.17)
    if not chosen.size:
        return x
    part = x[chosen]
    speech = 10 * np.log10(np.mean(10 ** (part / 10), axis=(1, 2), keepdims=True))
    level = speech - rng.uniform(15, 45, (len(chosen), 1, 1))
    shape = _colour(len(chosen), x.shape[1], rng) * 1.5
    # The power of a noise in a band of several bins has roughly a gamma distribution.
    grain = rng.standard_gamma(3.0, part.shape, dtype=np.float32) / 3
    noise = 10 ** ((level + shape) / 10) * grain
    x[chosen] = 10 * np.log10(10 ** (part / 10) + noise)
    return x


def _limit_band(x: Floats, rng: Generator) -> Floats:
    """Attenuate the upper bands of a tenth of the clips, as codecs and telephones do."""
    bands = x.shape[1]
    for row in np.flatnonzero(rng.random(len(x)) < 0.1):
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
