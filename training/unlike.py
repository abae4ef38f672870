"""Inputs that a model was not made for, to see whether its detector says so."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import spectrogram

from pellucid.contracts import ImageContract, SpectrogramContract
from pellucid.spectrogram import spectrogram as spectrogram_of
from training.datasets.manifests import read_manifest
from training.datasets.pictures import read_pictures
from training.pictures import arranged

Floats = NDArray[np.float32]

COUNT: Final = 60
"""Of each kind."""
_RATE: Final = 16_000


def pictures(contract: ImageContract, data: Path) -> dict[str, Floats]:
    """Sets of pictures by name, each `(N, *shape)`.

    White noise, planes of one grey, spectrograms of music and, where their folders are there,
    photographs and films of adults from other hospitals.
    """
    rng = np.random.default_rng(0)
    side = (contract.channels, contract.height, contract.width)
    noise = rng.integers(0, 256, (COUNT, *side)).astype(np.float32)
    planes = np.linspace(0, 255, 16, dtype=np.float32)[:, None, None, None]
    made = {
        "white_noise": noise,
        "one_grey": np.broadcast_to(planes, (16, *side)),
        "spectrograms": np.stack([_spectrogram(contract, n) for n in range(COUNT)]),
    }
    found = {name: _normalised(values, contract) for name, values in made.items()}
    for name, paths in _files(data).items():
        chosen = sorted(rng.permutation(len(paths))[:COUNT])
        values, _ = read_pictures([paths[n] for n in chosen], contract.channels, contract.plane)
        found[name] = _normalised(values.numpy().astype(np.float32), contract)
    return found


def _files(data: Path) -> dict[str, list[Path]]:
    found, films = {}, data / "nih14/manifest.csv"
    if films.is_file():
        rows = read_manifest(films, "path256", "split")
        found["nih14"] = [films.parent / row["path256"] for row in rows if row["path256"]]
    if (data / "photos").is_dir():
        files = (data / "photos").rglob("*")
        found["photographs"] = sorted(
            path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".png")
        )
    return found


def _spectrogram(contract: ImageContract, number: int) -> Floats:
    """A spectrogram of music as a picture, 0 to 255."""
    samples = _music(2 * _RATE, _RATE, np.random.default_rng([0, number]))
    _, _, power = spectrogram(samples, _RATE, nperseg=512, noverlap=384)
    loud = np.log10(power + 1e-10)
    grey = Image.fromarray(np.uint8(255 * (loud - loud.min()) / np.ptp(loud)))
    plane = np.asarray(grey.resize((contract.width, contract.height)), np.float32)
    return np.broadcast_to(plane, (contract.channels, *plane.shape))


def clips(contract: SpectrogramContract) -> dict[str, Floats]:
    """Sets of clips by name, each `(N, bands, frames, C)`.

    Silence, noise, tones, and music made of notes with overtones.
    """
    makers: dict[str, Callable[[int, int, Generator], Floats]] = {
        "silence": _silence,
        "white_noise": _noise,
        "tones": _tone,
        "music": _music,
    }
    rate, count = contract.sample_rate_hz, round(contract.window_seconds * contract.sample_rate_hz)
    found = {}
    for name, make in makers.items():
        made = (make(count, rate, np.random.default_rng([0, n])) for n in range(COUNT))
        found[name] = np.stack([spectrogram_of(samples, contract) for samples in made])
    return found


def _normalised(values: NDArray[np.float32], contract: ImageContract) -> Floats:
    mean, std = (
        np.array(each, np.float32)[:, None, None] for each in (contract.mean, contract.std)
    )
    return arranged((values / np.float32(255) - mean) / std, contract.layout)


def _levelled(samples: NDArray[np.float64], rng: Generator) -> Floats:
    """At a level of speech, as `training.sounds` has it."""
    level = 10 ** (rng.uniform(-32, -14) / 20)
    levelled: Floats = np.clip(samples * level / samples.std(), -1, 1).astype(np.float32)
    return levelled


def _silence(count: int, rate: int, rng: Generator) -> Floats:
    """From digital silence to a quiet room."""
    return (rng.standard_normal(count) * 10 ** (rng.uniform(-120, -70) / 20)).astype(np.float32)


def _noise(count: int, rate: int, rng: Generator) -> Floats:
    return _levelled(rng.standard_normal(count), rng)


def _tone(count: int, rate: int, rng: Generator) -> Floats:
    return _levelled(np.sin(2 * np.pi * rng.uniform(80, 6_000) * np.arange(count) / rate), rng)


def _music(count: int, rate: int, rng: Generator) -> Floats:
    """Chords or arpeggios of plucked strings, every second time with a drum."""
    root = 110 * 2 ** (rng.integers(24) / 12)
    chord = [(0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 4, 7, 11)][rng.integers(4)]
    beat = rng.uniform(0.12, 0.5)
    starts = np.arange(0, count / rate, beat)
    together = rng.random() < 0.5
    samples = np.zeros(count)
    for number, start in enumerate(starts):
        for step in chord if together else (chord[number % len(chord)],):
            _add(samples, start, _string(root * 2 ** (step / 12), rate, rng), rate)
    if rng.random() < 0.5:
        for start in starts:
            drum = rng.standard_normal(rate // 6) * np.exp(-np.arange(rate // 6) / 400)
            _add(samples, start, 0.7 * drum, rate)
    return _levelled(samples, rng)


def _string(hertz: float, rate: int, rng: Generator) -> NDArray[np.float64]:
    """Half a second of a plucked string: overtones that die away."""
    moments = np.arange(rate // 2) / rate
    overtones: Iterable[int] = range(1, min(10, int(0.48 * rate / hertz)))
    tone = sum(0.6**n * np.sin(2 * np.pi * n * hertz * moments) for n in overtones)
    return np.asarray(tone * np.exp(-moments * rng.uniform(1, 6)))


def _add(samples: NDArray[np.float64], start: float, sound: NDArray[np.float64], rate: int) -> None:
    at = int(start * rate)
    part = sound[: len(samples) - at]
    samples[at : at + len(part)] += part
