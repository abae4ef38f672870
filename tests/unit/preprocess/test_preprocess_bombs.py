"""Small pictures that would unpack to much: the check sees one, the decoder another.

Each is refused before memory is taken for it.
"""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from pellucid.errors import MediaLimitExceeded, PellucidError, UnreadableMedia
from preprocess_service import dicom as dicom_reader
from preprocess_service import images, jpeg2000
from preprocess_service.headers import Header
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import DICOM, PNG
from tests.unit.preprocess.files import (
    dataset,
    dicom,
    image_contract,
    pixels,
    png,
    read,
    save,
    smooth_jpeg,
)

IMAGE = image_contract()
LARGE = 9_000
"""Pixels; those of the tests have fewer."""


@pytest.fixture(autouse=True)
def no_large_picture_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ImageFile.ImageFile.load

    def bounded(image: ImageFile.ImageFile) -> Any:
        if image.width * image.height > LARGE:
            pytest.fail("memory was taken for it")
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", bounded)


def refused(content: bytes, kind: type[PellucidError] = UnreadableMedia) -> dict[str, str]:
    with pytest.raises(kind) as caught:
        read(content, IMAGE)
    return caught.value.metadata


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def size_of_jpeg(side: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")


def compressed(syntax: uid.UID, *frames: bytes, picture: Dataset | None = None) -> bytes:
    picture = dataset(pixels()) if picture is None else picture
    picture.PixelData = encapsulate(list(frames))
    picture.file_meta.TransferSyntaxUID = syntax
    return dicom(picture)


def jpeg_2000(values: Any = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels() if values is None else values)
    return save(image, "JPEG2000", **options)


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_a_png_of_two_headers_is_unreadable(before: bytes):
    content = png(pixels())
    at = content.index(before) - 4
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    assert "two headers" in refused(content[:at] + second + content[at:])["why"]


def test_a_size_that_differs_from_the_header_is_refused_before_the_pixels():
    class Liar:
        size = (60_000, 60_000)

        def __init__(self, content: Any) -> None: ...

        def load(self) -> None:
            pytest.fail("memory was taken for it")

    header = Header(width=32, height=24, components=1, bit_depth=8)
    with pytest.raises(UnreadableMedia):
        images._load(Liar, b"", PNG, header)  # type: ignore[arg-type]


@pytest.mark.parametrize("marker", [0x00, 0x01, 0x51, 0xC8, 0xD0, 0xDC, 0xDE, 0xDF, 0xF0, 0xF8])
def test_nothing_hides_in_a_segment_that_decoders_do_not_skip(marker: int):
    hidden = segment(marker, size_of_jpeg(60_000))
    for kind in ("L", "RGB"):
        content = smooth_jpeg(kind)
        at = content.index(b"\xff\xc0")
        refused(content[:at] + hidden + content[at:])
        at = content.index(b"\xff\xda")
        refused(content[:at] + hidden + content[at:])


@pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3, 0xF7])
def test_a_jpeg_of_two_headers_is_unreadable(marker: int):
    content = smooth_jpeg("L")
    at = content.index(b"\xff\xda")
    refused(content[:at] + size_of_jpeg(60_000, marker) + content[at:])
    at = content.index(b"\xff\xc0")
    refused(content[:at] + size_of_jpeg(60_000, marker) + content[at:])


def test_a_jpeg_with_fill_bytes_and_a_comment_is_read():
    content = smooth_jpeg("L", (32, 24), comment=b"\xff\xd8\xff\xc0")
    at = content.index(b"\xff\xdb")
    filled = content[:at] + b"\xff" * 3 + content[at:]
    np.testing.assert_array_equal(
        read(filled, IMAGE).windows[0].tensor, read(content, IMAGE).windows[0].tensor
    )


def test_a_dicom_files_jpeg_is_held_to_the_same_rules():
    content = smooth_jpeg("L", (32, 24))
    assert read(compressed(uid.JPEGBaseline8Bit, content), IMAGE)
    at = content.index(b"\xff\xda")
    for hidden in (segment(0, size_of_jpeg(60_000)), size_of_jpeg(60_000)):
        refused(compressed(uid.JPEGBaseline8Bit, content[:at] + hidden + content[at:]))
    refused(compressed(uid.JPEGLSLossless, content))


def test_a_frame_behind_the_announced_one_is_not_decoded():
    small, large = smooth_jpeg("L", (32, 24)), smooth_jpeg("L", (3_000, 3_000))
    picture = dataset(pixels(), NumberOfFrames=1)
    assert read(compressed(uid.JPEGBaseline8Bit, small, large, picture=picture), IMAGE)


@pytest.mark.filterwarnings("ignore")  # pydicom warns of them; the service silences it
def test_samples_behind_the_announced_ones_are_not_read():
    picture = dataset(pixels())
    picture.PixelData *= 3
    found = dicom_reader.decode(dicom(picture), PreprocessSettings(), lambda: None)
    assert found.values.shape == (24, 32)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_2000_is_read_with_and_without_boxes(boxed: bool, dtype: Any):
    values = pixels(dtype=dtype)
    frame = jpeg_2000(values, no_jp2=not boxed)
    picture = dataset(values, WindowCenter=1 << 15, WindowWidth=1 << 16)
    if dtype is np.uint8:
        del picture.WindowCenter
    plain = dicom_reader.decode(dicom(picture), PreprocessSettings(), lambda: None)
    content = compressed(uid.JPEG2000Lossless, frame, picture=picture)
    found = dicom_reader.decode(content, PreprocessSettings(), lambda: None)
    np.testing.assert_array_equal(found.values, plain.values)


def test_the_boxes_of_jpeg_2000_do_not_decide_the_size():
    frame = bytearray(jpeg_2000())
    at = frame.index(b"ihdr") + 4
    frame[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    assert read(compressed(uid.JPEG2000Lossless, bytes(frame)), IMAGE)


def test_a_jpeg_is_not_taken_for_the_jpeg_2000_in_its_comment():
    small = jpeg_2000(no_jp2=True)
    large = smooth_jpeg("L", (3_000, 3_000))
    hidden = large[:2] + segment(0xFE, small) + large[2:]
    assert read(compressed(uid.JPEG2000Lossless, hidden), IMAGE)
    refused(compressed(uid.JPEGBaseline8Bit, small))


def test_many_tiles_are_refused():
    frame = bytearray(jpeg_2000(np.zeros((255, 255), np.uint8), no_jp2=True))
    frame[24:32] = struct.pack(">II", 1, 1)
    picture = dataset(pixels(255, 255))
    metadata = refused(
        compressed(uid.JPEG2000Lossless, bytes(frame), picture=picture), MediaLimitExceeded
    )
    assert (metadata["limit"], metadata["actual"]) == ("tiles", "65025")


def test_a_large_picture_in_small_tiles_is_none_too_many():
    frame = bytearray(jpeg_2000(no_jp2=True))
    frame[8:16] = struct.pack(">II", 5_000, 4_000)
    frame[24:32] = struct.pack(">II", 64, 64)
    assert jpeg2000.read(bytes(frame), DICOM).pixels == 20_000_000


@pytest.mark.parametrize("in_tile", [False, True])
def test_many_precincts_are_refused(in_tile: bool):
    values = np.zeros((1_024, 1_024), np.uint8)
    frame = jpeg_2000(values, no_jp2=True, num_resolutions=1)
    style = bytearray(frame[frame.index(b"\xff\x52") + 4 : frame.index(b"\xff\x5c")])
    style[0] |= 1
    small = segment(0x52, bytes(style) + b"\0")
    at = frame.index(b"\xff\x90") if not in_tile else frame.index(b"\xff\x93")
    bomb = bytearray(frame[:at] + small + frame[at:])
    if in_tile:
        part = frame.index(b"\xff\x90") + 6
        length = int.from_bytes(frame[part : part + 4], "big") + len(small)
        bomb[part : part + 4] = length.to_bytes(4, "big")
    content = compressed(uid.JPEG2000Lossless, bytes(bomb), picture=dataset(values))
    assert refused(content, MediaLimitExceeded)["limit"] == "code_blocks"


def test_small_precincts_are_refused_only_in_a_large_resolution():
    values = np.zeros((2_048, 2_048), np.uint8)
    frame = jpeg_2000(values, no_jp2=True, num_resolutions=3)
    at = frame.index(b"\xff\x52")
    style = bytearray(frame[at + 4 : frame.index(b"\xff\x5c")])
    style[0] |= 1

    def sized(*precincts: int) -> bytes:
        small = segment(0x52, bytes(style) + bytes(precincts))
        return frame[:at] + small + frame[frame.index(b"\xff\x5c") :]

    assert jpeg2000.read(sized(0x11, 0xFF, 0xFF), DICOM).pixels
    bomb = sized(0xFF, 0xFF, 0x11)
    content = compressed(uid.JPEG2000Lossless, bomb, picture=dataset(values))
    assert refused(content, MediaLimitExceeded)["limit"] == "code_blocks"


def test_many_styles_are_refused():
    frame = jpeg_2000(no_jp2=True)
    at = frame.index(b"\xff\x5c")
    style = frame[frame.index(b"\xff\x52") + 4 : at]
    styles = b"".join(segment(0x52, style + struct.pack(">H", number)) for number in range(300))
    content = compressed(uid.JPEG2000Lossless, frame[:at] + styles + frame[at:])
    assert refused(content, MediaLimitExceeded)["limit"] == "coding_styles"


def test_nothing_hides_behind_a_foreign_marker_of_jpeg_2000():
    frame = jpeg_2000(no_jp2=True)
    at = frame.index(b"\xff\x5c")
    refused(compressed(uid.JPEG2000, frame[:at] + segment(0x20, bytes(12)) + frame[at:]))
