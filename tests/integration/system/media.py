"""Files, whole and spoilt, made on the spot."""

import io
import struct
import zlib

import numpy as np
import pydicom
import soundfile
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

RATE = 16_000


def picture(*, bright: bool = True, size: int = 64) -> NDArray[np.uint8]:
    """Dark, with the planted patch lit or not."""
    pixels = np.zeros((size, size), np.uint8)
    if bright:
        unit = size // 32
        pixels[8 * unit : 16 * unit, 16 * unit : 24 * unit] = 255
    return pixels


def image(kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file that Pillow writes."""
    noise = np.random.default_rng(0).integers(0, 40, (64, 64), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.maximum(picture(), noise)).save(file, kind, **options)
    return file.getvalue()


def animated_gif() -> bytes:
    """Two frames."""
    frames = [Image.fromarray(picture(bright=bright)) for bright in (True, False)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def huge_png(side: int = 50_000) -> bytes:
    """A header of `side` by `side` pixels over a few bytes of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + end

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def dicom() -> bytes:
    """A radiograph of 64 by 64 pixels, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "DX"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.Rows, dataset.Columns = 1, 64, 64
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = (picture().astype(np.uint16) * 16).tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def tone(seconds: float = 1.0, hertz: float = 1_500.0) -> NDArray[np.float32]:
    """A sine of half the full scale."""
    moments = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * moments)).astype(np.float32)


def sound(
    samples: NDArray[np.float32], kind: str = "WAV", subtype: str | None = None, rate: int = RATE
) -> bytes:
    """A recording as a file that libsndfile writes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def lying_wav() -> bytes:
    """A WAV whose header announces ten times what follows."""
    content = bytearray(sound(tone(), subtype="PCM_16"))
    place = content.index(b"data") + 4
    (length,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, 10 * length)
    return bytes(content)


def spoilt_wav(value: float) -> bytes:
    """A WAV of floats, one of which is no number."""
    samples = tone()
    samples[1_000] = value
    return sound(samples, subtype="FLOAT")


def truncated(content: bytes) -> bytes:
    """The first six tenths."""
    return content[: len(content) * 6 // 10]
