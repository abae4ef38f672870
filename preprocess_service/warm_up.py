"""Before the first file: libraries that load late, how loud they are, and what memory they keep."""

import ctypes
import logging
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Final

import numpy as np
import soundfile
from PIL import Image, PngImagePlugin
from pydicom import config, uid
from pydicom.dataset import Dataset, FileMetaDataset

from pellucid.contracts import ImageContract, Layout, LogMelContract
from preprocess_service import pipeline, sniffing
from preprocess_service.settings import PreprocessSettings

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's `malloc.h`."""
_MAPPED_BYTES: Final = 1 << 20

_IMAGE: Final = ImageContract(
    kind="image", height=32, width=32, channels=1, layout=Layout.CHW, mean=(0.0,), std=(1.0,)
)
_SOUND: Final = LogMelContract(
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
_SOUND_FORMATS: Final = {
    sniffing.WAV: "WAV",
    sniffing.FLAC: "FLAC",
    sniffing.MP3: "MP3",
    sniffing.OGG: "OGG",
}


def warm_up() -> None:
    """Prepare this process and read one small file of each kind.

    That loads the decoders and compiles librosa's parts. It goes past the limits that an operator
    has set, which may be smaller than these files.
    """
    _keep_contents_out_of_logs()
    _give_memory_back()
    # The memory of the process is the limit, which texts that are never read must not meet first.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1 << 40
    limits = PreprocessSettings.model_construct()
    for media_type, content in _files().items():
        contract = _SOUND if media_type in sniffing.ACCEPTED["audio"] else _IMAGE
        pipeline.preprocess(content, contract, limits, with_preview=True)


def _keep_contents_out_of_logs() -> None:
    """Stop the decoders from quoting a file's tags, in warnings or in logs, at any level."""
    import gdcm  # after Pillow; see dicom.py

    for name in ("pydicom", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for module in ("pydicom", "PIL", "librosa", "soundfile"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")
    config.settings.reading_validation_mode = config.IGNORE
    for silence in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
        silence()


def _give_memory_back() -> None:
    """Let the memory of a large picture go back to the system once it is answered.

    glibc raises the size from which a block is mapped by itself whenever such a block is freed, and
    then keeps Pillow's. A size that was set stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another libc has no such habit
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def _files() -> dict[str, bytes]:
    """A file of each media type that is accepted."""
    picture = Image.new("L", (48, 48), 128)
    radiograph = _radiograph(48)
    files = {
        sniffing.PNG: _written(partial(picture.save, format="PNG")),
        sniffing.JPEG: _written(partial(picture.save, format="JPEG")),
        sniffing.DICOM: _written(partial(radiograph.save_as, enforce_file_format=True)),
    }
    sound = np.sin(np.arange(4_000, dtype=np.float32) / 8) / 2
    for media_type, kind in _SOUND_FORMATS.items():
        write = partial(soundfile.write, data=sound, samplerate=8_000, format=kind)
        files[media_type] = _written(write)
    return files


def _written(write: Callable[[BytesIO], object]) -> bytes:
    file = BytesIO()
    write(file)
    return file.getvalue()


def _radiograph(side: int) -> Dataset:
    """A grey square of nobody."""
    picture = Dataset()
    picture.file_meta = FileMetaDataset()
    picture.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    picture.SOPClassUID = uid.ComputedRadiographyImageStorage
    picture.SOPInstanceUID = uid.generate_uid()
    picture.Rows = picture.Columns = side
    picture.SamplesPerPixel, picture.PixelRepresentation = 1, 0
    picture.PhotometricInterpretation = "MONOCHROME2"
    picture.BitsAllocated, picture.BitsStored, picture.HighBit = 8, 8, 7
    picture.add_new("PixelData", "OB", bytes([128]) * side**2)
    return picture
