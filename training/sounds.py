"""How training varies sounds: microphones, rooms, codecs, noise, level, hidden cells.

All but the last works on samples, before the spectrogram (after RawBoost, arXiv:2111.04433).
"""

import io
from collections.abc import Callable

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, firwin2, oaconvolve, sosfilt

from pellucid.contracts import SpectrogramContract
from pellucid.spectrogram import spectrogram

Floats = NDArray[np.float32]

_CODECS = (
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "GSM610"),
    ("WAV", "ULAW"),
)
"""Container and coding, as libsndfile names them."""


def inputs(samples: NDArray[np.int16], contract: SpectrogramContract) -> Floats:
    """Model inputs of clips as they are.

    Args:
        samples: `(N, n)`.
        contract: the model's.

    Returns:
        `(N, bands, frames, C)`.
    """
    return np.stack([spectrogram(each.astype(np.float32) / 32_768, contract) for each in samples])


def varied(
    samples: NDArray[np.int16], contract: SpectrogramContract, strength: float, rng: Generator
) -> Floats:
    """Model inputs of clips, each varied in its own way.

    Args:
        samples: `(N, n)`; the halves are pairs, whose parts start at the same place.
        contract: the model's.
        strength: how often a clip goes through each device: 1 as a rule, 0 never.
        rng: the only source of chance.

    Returns:
        `(N, bands, frames, C)`.
    """
    starts = np.resize(rng.integers(samples.shape[1], size=-(-len(samples) // 2)), len(samples))
    pieces = [
        vary(np.roll(each, start).astype(np.float32) / 32_768, contract, strength, rng)
        for each, start in zip(samples, starts, strict=True)
    ]
    return np.stack([spectrogram(piece, contract) for piece in pieces])


def vary(sound: Floats, contract: SpectrogramContract, strength: float, rng: Generator) -> Floats:
    """Play one sound in a room, record, code and level it anew.

    Args:
        sound: `(n,)`, full scale at -1 and 1.
        contract: for the rate.
        strength: scales the odds of each device.
        rng: the only source of chance.
    """
    rate = contract.sample_rate_hz
    for odds, device in DEVICES.values():
        if rng.random() < odds * strength:
            sound = device(sound, rate, rng)
    level = 10 ** (rng.uniform(-32, -14) / 20)
    sound = sound * (level / (float(np.sqrt(np.mean(sound**2))) + 1e-9))
    return np.clip(sound, -1, 1).astype(np.float32)


def through(sound: Floats, device: str, rate: int, rng: Generator) -> Floats:
    """Send one sound through one device, as loud as before.

    Args:
        sound: `(n,)`, full scale at -1 and 1.
        device: a name of `DEVICES`.
        rate: in Hz.
        rng: the only source of chance.
    """
    changed = DEVICES[device][1](sound, rate, rng)
    loudness = np.sqrt(np.mean(sound**2) / (np.mean(changed**2) + 1e-12))
    return np.asarray(np.clip(changed * loudness, -1, 1), np.float32)


def hide(x: Floats, share: float, contract: SpectrogramContract, rng: Generator) -> Floats:
    """Replace random cells of some spectrograms, as explanations do, by silence or by the mean.

    Args:
        x: `(N, bands, frames, C)`; changed in place.
        share: of the spectrograms that are touched.
        contract: for the value of silence.
        rng: the only source of chance.
    """
    silence, _ = contract.value_range
    for each in x:
        if rng.random() < share:
            fill = silence if rng.random() < 0.75 else each.mean(axis=(0, 1))
            odds = np.clip(rng.uniform(-0.05, 1.15), 0, 1)
            each[cells(each.shape[:2], odds, rng)] = fill
    return x


def cells(shape: tuple[int, ...], odds: float, rng: Generator) -> NDArray[np.bool_]:
    """A mask of random cells of a plane, each hidden with these odds, `shape`."""
    rows, columns = rng.integers(4, 15, 2)
    coarse = rng.random((rows, columns)) < odds
    down = np.arange(shape[0]) * rows // shape[0]
    across = np.arange(shape[1]) * columns // shape[1]
    return coarse[np.ix_(down, across)]


def mask_bars(x: Floats, rng: Generator) -> Floats:
    """SpecAugment (arXiv:1904.08779): a bar along each axis takes the clip's mean; in place."""
    _, bands, frames, _ = x.shape
    for each in x:
        mean = each.mean(axis=(0, 1))
        height, width = rng.integers(bands // 6), rng.integers(frames // 6)
        top, left = rng.integers(bands - height), rng.integers(frames - width)
        each[top : top + height] = mean
        each[:, left : left + width] = mean
    return x


def _room(sound: Floats, rate: int, rng: Generator) -> Floats:
    """Echoes that die away, behind the direct sound."""
    seconds = rng.uniform(0.05, 0.4)
    count = int(seconds * rate)
    echoes = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    echoes[: int(0.002 * rate)] = 0
    echoes *= 10 ** (rng.uniform(-20, -3) / 20) / np.linalg.norm(echoes)
    echoes[0] = 1
    return np.asarray(oaconvolve(sound, echoes)[: len(sound)], np.float32)


def _microphone(sound: Floats, rate: int, rng: Generator) -> Floats:
    """A smooth random curve over the frequencies, with a tilt."""
    knots = np.linspace(0, 1, 8)
    gains = rng.normal(0, 2.5, 8) + rng.uniform(-6, 6) * (knots - 0.5)
    filter_ = firwin2(129, knots, 10 ** (gains / 20))
    return np.asarray(oaconvolve(sound, filter_, mode="same"), np.float32)


def _clip(sound: Floats, rate: int, rng: Generator) -> Floats:
    """A stage that saturates."""
    peak = float(np.abs(sound).max()) + 1e-9
    drive = rng.uniform(0.5, 4) / peak
    return np.asarray(np.tanh(sound * drive) / drive, np.float32)


def _noise(sound: Floats, rate: int, rng: Generator) -> Floats:
    """Stationary noise of some colour, 15 to 45 dB below the speech."""
    noise = rng.standard_normal(len(sound)).astype(np.float32)
    noise = _microphone(np.cumsum(noise) * 0.02 + noise if rng.random() < 0.3 else noise, rate, rng)
    share = np.std(sound) / (np.std(noise) + 1e-9) * 10 ** (-rng.uniform(15, 45) / 20)
    return np.asarray(sound + noise * share, np.float32)


def _band(sound: Floats, rate: int, rng: Generator) -> Floats:
    """A telephone's or a codec's upper limit, from 3.2 kHz."""
    edge = rng.uniform(3_200, 0.48 * rate)
    return np.asarray(sosfilt(butter(8, edge, fs=rate, output="sos"), sound), np.float32)


def _codec(sound: Floats, rate: int, rng: Generator) -> Floats:
    """There and back through a lossy file."""
    container, coding = _CODECS[rng.integers(len(_CODECS))]
    sound = sound * np.float32(0.9 / (float(np.abs(sound).max()) + 1e-9))
    file = io.BytesIO()
    lossy = {"compression_level": float(rng.uniform(0.3, 0.95))} if container == "MP3" else {}
    soundfile.write(file, sound, rate, format=container, subtype=coding, **lossy)
    file.seek(0)
    back, _ = soundfile.read(file, dtype="float32", frames=len(sound), fill_value=0)
    return np.asarray(back, np.float32)


DEVICES: dict[str, tuple[float, Callable[[Floats, int, Generator], Floats]]] = {
    "room": (0.25, _room),
    "microphone": (0.6, _microphone),
    "saturation": (0.2, _clip),
    "noise": (0.4, _noise),
    "band_limit": (0.3, _band),
    "codec": (0.25, _codec),
}
"""What training sends sounds through, in this order, and how often."""
