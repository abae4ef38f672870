"""Before the first file: libraries that load late, how loud they are, and what memory they keep."""

import ctypes
import logging
import warnings
from io import BytesIO
from typing import Final

import gdcm
import numpy as np
import soundfile
from PIL import Image
from pydicom import config

from pellucid.cards import AudioContract, ImageContract, Layout
from pellucid.serving.deadline import Deadline
from preprocess_service.preprocessor import Preprocessor

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's `malloc.h`."""
_MAPPED_BYTES: Final = 1 << 20

_IMAGE = ImageContract(
    kind="image", height=32, width=32, channels=1, layout=Layout.CHW, mean=(0.0,), std=(1.0,)
)
_SOUND = AudioContract(
    kind="log_mel",
    sample_rate_hz=16_000,
    window_seconds=0.25,
    hop_seconds=0.25,
    n_fft=512,
    win_length=512,
    hop_length=256,
    n_mels=32,
    fmin_hz=0.0,
    fmax_hz=8_000.0,
    floor_db=-80.0,
    ceiling_db=0.0,
    mean=0.0,
    std=1.0,
    layout=Layout.CHW,
)


def keep_contents_out_of_logs() -> None:
    """Stop the decoders from quoting a file's tags, in warnings or in logs, at any level."""
    for name in ("pydicom", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for module in ("pydicom", "PIL", "librosa", "soundfile"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")
    config.settings.reading_validation_mode = config.IGNORE
    for silence in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
        silence()


def give_memory_back() -> None:
    """Let the memory of a large picture go back to the system once it is answered.

    glibc raises the size from which a block is mapped by itself whenever such a block is freed, and
    then keeps Pillow's. A size that was set stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another libc has no such habit
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


async def warm_up(preprocessor: Preprocessor) -> None:
    """Read one small file of each kind, which loads the decoders and compiles librosa's parts."""
    sound = np.sin(np.arange(4_000, dtype=np.float32) / 8) / 2
    for kind in ("PNG", "JPEG"):
        picture = BytesIO()
        Image.new("L", (48, 48), 128).save(picture, kind)
        await preprocessor.preprocess(picture.getvalue(), _IMAGE, Deadline.after(120))
    for kind in ("WAV", "FLAC", "OGG", "MP3"):
        recording = BytesIO()
        soundfile.write(recording, sound, 8_000, format=kind)
        await preprocessor.preprocess(recording.getvalue(), _SOUND, Deadline.after(120))
