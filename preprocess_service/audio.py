"""WAV, FLAC, MP3 and Ogg to mono samples, through libsndfile, block by block."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

import numpy as np
import soundfile

from pellucid.tensors import FloatArray
from preprocess_service import completeness
from preprocess_service.errors import check_limit, translated, unreadable, unsupported
from preprocess_service.media import AudioFacts, Recording
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import MP3, OGG, WAV

_DAMAGED: Final = "its samples are damaged or cut off"
_BLOCK_SAMPLES: Final = 1 << 19
"""Of all channels together, decoded at once."""
_MIN_RATE_HZ: Final = 1_000
_MAX_RATE_HZ: Final = 768_000
_UNKNOWN_LENGTH: Final = 1 << 48
"""From this number of frames on, libsndfile means that it does not know."""
_LOUDEST: Final = 100.0
"""Times full scale. Float files may pass 1; one that reaches this was never scaled to it."""
_BIT_DEPTHS: Final = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "FLOAT": 32,
    "DOUBLE": 64,
    "ULAW": 8,
    "ALAW": 8,
}


def decode(content: bytes, media_type: str, settings: PreprocessSettings) -> Recording:
    """Decode a recording and mix its channels by their mean.

    Raises:
        UnreadableMedia: it is damaged, cut off, empty, or holds samples that are no numbers.
        UnsupportedMedia: its sample rate is out of range.
        MediaLimitExceeded: it is too long.
    """
    if media_type == WAV:
        completeness.check_wav(content)
    elif media_type == OGG:
        completeness.check_ogg(content)
    with translated(media_type, _DAMAGED):
        file = soundfile.SoundFile(BytesIO(content))
    with file:
        _check_header(file, media_type, settings)
        blocks = list(_blocks(file, media_type, settings))
        samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        is_announced = media_type != MP3 or completeness.is_counted(content)
        if not len(samples) or (is_announced and len(samples) < file.frames < _UNKNOWN_LENGTH):
            why = f"it announces {file.frames} samples, {len(samples)} can be decoded"
            raise unreadable(media_type, why)
        facts = AudioFacts(
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            duration_seconds=len(samples) / file.samplerate,
            encoding=file.subtype,
            bit_depth=_BIT_DEPTHS.get(file.subtype, 0),
        )
    return Recording(samples, facts)


def _check_header(file: Any, media_type: str, settings: PreprocessSettings) -> None:
    if not _MIN_RATE_HZ <= file.samplerate <= _MAX_RATE_HZ:
        why = f"its sample rate is {file.samplerate} Hz"
        remedy = f"resample it to between {_MIN_RATE_HZ} and {_MAX_RATE_HZ} Hz"
        raise unsupported(media_type, why, remedy)
    if file.frames < _UNKNOWN_LENGTH:
        _check_length(file.frames, file, settings)


def _check_length(frames: int, file: Any, settings: PreprocessSettings) -> None:
    check_limit(
        "seconds", frames / file.samplerate, settings.max_audio_seconds, "max_audio_seconds"
    )
    check_limit("samples", frames * file.channels, settings.max_audio_samples, "max_audio_samples")


def _blocks(file: Any, media_type: str, settings: PreprocessSettings) -> Iterator[FloatArray]:
    """Blocks of mono samples, checked; the length too, since headers may lie."""
    frames = 0
    while True:
        with translated(media_type, _DAMAGED):
            block = file.read(max(1, _BLOCK_SAMPLES // file.channels), "float32", always_2d=True)
        if not len(block):
            return
        _check_samples(block, frames, media_type)
        frames += len(block)
        _check_length(frames, file, settings)
        yield block.mean(axis=1, dtype=np.float32)


def _check_samples(block: FloatArray, start: int, media_type: str) -> None:
    wrong = ~(np.abs(block) <= _LOUDEST)  # this way round, NaN is wrong too
    if not wrong.any():
        return
    frame, channel = (int(index) for index in np.argwhere(wrong)[0])
    value = float(block[frame, channel])
    raise unreadable(
        media_type,
        f"sample {start + frame} of channel {channel} is {value:g}; full scale is 1",
    )
