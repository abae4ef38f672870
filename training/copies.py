"""Copy synthesis: real clips made anew by vocoders, so that nothing but the vocoder is different.

A network that learns from them cannot go by voices, words, rooms or microphones
(arXiv:2210.10570).
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from training.datasets.clips import Clips

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


def griffin_lim(samples: Floats, rng: Generator) -> Floats:
    """Keep the magnitudes of the spectrum and guess its phases (doi:10.1109/TASSP.1984.1164317)."""
    n_fft = int(rng.choice([256, 512, 1024]))
    return _phases(np.abs(_spectrum(samples, n_fft)), n_fft, len(samples), rng)


def mel_inversion(samples: Floats, rng: Generator) -> Floats:
    """Keep the mel power only, as vocoders are given it, and guess magnitudes and phases."""
    n_fft, bands = int(rng.choice([512, 1024])), int(rng.choice([64, 80, 100]))
    filters = librosa.filters.mel(sr=16_000, n_fft=n_fft, n_mels=bands)
    magnitudes = np.abs(_spectrum(samples, n_fft))
    back = np.maximum(np.linalg.pinv(filters) @ (filters @ magnitudes), 1e-6)
    return _phases(back.astype(np.float32), n_fft, len(samples), rng)


def phase_noise(samples: Floats, rng: Generator) -> Floats:
    """Keep the magnitudes and disturb the phases, as networks that predict both do."""
    n_fft = int(rng.choice([256, 512, 1024]))
    spectrum = _spectrum(samples, n_fft)
    turns = rng.standard_normal(spectrum.shape).astype(np.float32) * rng.uniform(0.4, 1.5)
    found: Floats = librosa.istft(
        spectrum * np.exp(1j * turns), hop_length=n_fft // 4, length=len(samples)
    )
    return found


def upsampling(samples: Floats, rng: Generator) -> Floats:
    """Leave images of the lower band above it, as transposed convolutions do (arXiv:2010.14356)."""
    factor = int(rng.choice([2, 4]))
    low = sosfilt(butter(8, 0.9 / factor, output="sos"), samples)
    stuffed = np.zeros_like(samples)
    stuffed[::factor] = low[::factor] * factor
    images = stuffed - low
    found: Floats = (samples + images * 10 ** (-rng.uniform(6, 26) / 20)).astype(np.float32)
    return found


MAKERS: dict[str, Callable[[Floats, Generator], Floats]] = {
    "copy by griffin-lim": griffin_lim,
    "copy by mel inversion": mel_inversion,
    "copy by phase noise": phase_noise,
    "copy by upsampling": upsampling,
}


def with_copies(clips: Clips, cache: Path, each: int = 2, seed: int = 0) -> Clips:
    """Add copies of every real clip, each by another vocoder.

    Args:
        clips: a training set.
        cache: folder in which copies are kept; they take minutes to make.
        each: copies of a clip.
        seed: which vocoders, and their settings.
    """
    real = np.flatnonzero(clips.labels == 0)
    chosen = clips.samples[real]
    digest = hashlib.sha256(chosen.tobytes() + f"{each} {seed} {sorted(MAKERS)}".encode())
    path = cache / f"copies-{digest.hexdigest()[:16]}.npz"
    if not path.exists():
        log.info("making %d copies of each of %d clips", each, len(real))
        cache.mkdir(parents=True, exist_ok=True)
        _make(chosen, path, each, seed)
    with np.load(path, allow_pickle=False) as kept:
        samples, makers = kept["samples"], kept["makers"]
    names = list(MAKERS)
    rows = np.repeat(real, each)
    copies = Clips(
        samples,
        np.ones(len(rows), np.int64),
        tuple(clips.sets[row] for row in rows),
        tuple(f"{names[maker]} {clips.sets[row]}" for row, maker in zip(rows, makers, strict=True)),
        tuple(clips.owners[row] for row in rows),
        np.full(len(rows), -1),
    )
    joined = Clips.joined([clips, copies])
    joined.twins[len(clips) :] = rows
    return joined


def _make(clips: NDArray[np.int16], path: Path, each: int, seed: int) -> None:
    samples, makers = [], []
    functions = list(MAKERS.values())
    for number, clip in enumerate(clips):
        rng = np.random.default_rng([seed, number])
        sound = clip.astype(np.float32) / 32_768
        for maker in rng.choice(len(functions), each, replace=False):
            copy = functions[maker](sound, rng)
            level = np.sqrt(np.mean(sound**2) / (np.mean(copy**2) + 1e-12))
            samples.append(np.clip(copy * level * 32_768, -32_768, 32_767).astype(np.int16))
            makers.append(maker)
    new = path.with_suffix(".new.npz")
    np.savez(new, samples=np.stack(samples), makers=np.array(makers))
    new.replace(path)


def _spectrum(samples: Floats, n_fft: int) -> NDArray[np.complex64]:
    spectrum: NDArray[np.complex64] = librosa.stft(samples, n_fft=n_fft, hop_length=n_fft // 4)
    return spectrum


def _phases(magnitudes: Floats, n_fft: int, length: int, rng: Generator) -> Floats:
    found: Floats = librosa.griffinlim(
        magnitudes,
        n_iter=int(rng.integers(8, 33)),
        n_fft=n_fft,
        hop_length=n_fft // 4,
        length=length,
        random_state=int(rng.integers(2**31)),
    )
    return found
