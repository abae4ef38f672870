"""Files made in memory, and the contracts that the tests read them with."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from pellucid.contracts import ImageContract, Layout, LogMelContract, StftContract
from preprocess_service import pipeline
from preprocess_service.media import Preprocessed, Window
from preprocess_service.settings import PreprocessSettings

Array = NDArray[Any]
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
RATE = 16_000


def image_contract(**changes: Any) -> ImageContract:
    fields: dict[str, Any] = {
        "kind": "image",
        "height": 24,
        "width": 32,
        "channels": 1,
        "layout": Layout.CHW,
        "mean": (0.0,) * changes.get("channels", 1),
        "std": (1.0,) * changes.get("channels", 1),
    }
    return ImageContract(**(fields | changes))


def sound_contract(**changes: Any) -> LogMelContract:
    fields: dict[str, Any] = {
        "kind": "log_mel",
        "sample_rate_hz": RATE,
        "window_seconds": 0.5,
        "hop_seconds": 0.25,
        "n_fft": 512,
        "win_length": 512,
        "hop_length": 160,
        "n_mels": 40,
        "fmin_hz": 20.0,
        "fmax_hz": 7_600.0,
        "floor_db": -80.0,
        "ceiling_db": 20.0,
        "mean": -30.0,
        "std": 25.0,
        "layout": Layout.CHW,
    }
    return LogMelContract(**(fields | changes))


def stft_contract(**changes: Any) -> StftContract:
    fields: dict[str, Any] = {
        "kind": "stft",
        "sample_rate_hz": RATE,
        "window_seconds": 0.5,
        "hop_seconds": 0.25,
        "n_fft": 512,
        "win_length": 512,
        "hop_length": 127,
        "floor_db": -80.0,
        "ceiling_db": 70.0,
        "mean": -30.0,
        "std": 25.0,
        "layout": Layout.CHW,
    }
    return StftContract(**(fields | changes))


def read(
    content: bytes,
    contract: ImageContract | LogMelContract | StftContract,
    with_preview: bool = True,
    **settings: Any,
) -> Preprocessed:
    limits = PreprocessSettings(**settings)
    return pipeline.preprocess(content, contract, limits, with_preview=with_preview)


def windows(content: bytes, **contract: Any) -> tuple[Window, ...]:
    return read(content, sound_contract(**contract)).windows


def pixels(height: int = 24, width: int = 32, *channels: int, dtype: Any = np.uint8) -> Array:
    rng = np.random.default_rng(7)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, *channels), dtype, endpoint=True)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(values: Array, **options: Any) -> bytes:
    return save(Image.fromarray(values), "PNG", **options)


def smooth_jpeg(mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    ramp = Image.linear_gradient("L").resize(size)
    return save(ramp.convert(mode), "JPEG", quality=95, **options)


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def sound(samples: Array, kind: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def dataset(stored: Array, **elements: Any) -> Dataset:
    """A radiograph of these stored values; `elements` are set on top."""
    picture = Dataset()
    picture.file_meta = FileMetaDataset()
    picture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    picture.SOPClassUID = ComputedRadiographyImageStorage
    picture.SOPInstanceUID = generate_uid()
    picture.PatientName = "Secret^Name"
    picture.Modality = "CR"
    picture.Rows, picture.Columns = stored.shape[:2]
    picture.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    picture.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        picture.PlanarConfiguration = 0
    picture.BitsAllocated = picture.BitsStored = stored.dtype.itemsize * 8
    picture.HighBit = picture.BitsStored - 1
    picture.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    for keyword, value in elements.items():
        setattr(picture, keyword, value)
    if "BitsStored" in elements:
        picture.HighBit = picture.BitsStored - 1
    picture.PixelData = stored.tobytes()
    picture["PixelData"].VR = "OB" if picture.BitsAllocated == 8 else "OW"
    return picture


def dicom(picture: Dataset) -> bytes:
    buffer = BytesIO()
    picture.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def shared_dicoms() -> list[Any]:
    """The real DICOM files beside the checkout; where there are none, one skipped case says so."""
    found = sorted((SHARED / "dicom").glob("*.dcm"))
    if found:
        return [pytest.param(path, id=path.stem) for path in found]
    absent = pytest.mark.skip(reason="shared/data/dicom is not beside this checkout")
    return [pytest.param(Path("absent"), marks=absent)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def compressed(syntax: UID, *frames: bytes, picture: Dataset | None = None) -> bytes:
    picture = dataset(pixels()) if picture is None else picture
    picture.PixelData = encapsulate(list(frames))
    picture.file_meta.TransferSyntaxUID = syntax
    return dicom(picture)


def jpeg_2000(values: Any = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels() if values is None else values)
    return save(image, "JPEG2000", **options)


def ogg_checksum(page: bytes) -> bytes:
    """Ogg's CRC-32: that of zlib with all bits the other way round, and no inversion."""
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    reflected = zlib.crc32(page.translate(turned), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return reflected.to_bytes(4, "big").translate(turned)
