import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pellucid.errors import MediaLimitExceeded, UnreadableMedia, UnsupportedMedia
from preprocess_service import dicom as dicom_reader
from preprocess_service.media import ImageFacts
from preprocess_service.settings import PreprocessSettings
from tests.unit.preprocess.files import (
    compressed,
    dataset,
    dicom,
    image_contract,
    jpeg_2000,
    pixels,
    read,
    save,
    shared_dicoms,
    smooth_jpeg,
)

DEEP = pixels(dtype=np.uint16) >> 4


def test_colour_is_read():
    values = pixels(24, 32, 3)
    found = read(dicom(dataset(values)), image_contract(channels=3)).windows[0].tensor
    np.testing.assert_allclose(found.transpose(1, 2, 0), values / 255, atol=1e-6)


def test_facts_are_those_of_the_file():
    facts = read(dicom(dataset(DEEP, BitsStored=12)), image_contract()).facts
    assert facts == ImageFacts(
        width=32,
        height=24,
        bit_depth=12,
        colour="MONOCHROME2",
        modality="CR",
        transfer_syntax="Explicit VR Little Endian",
    )


def test_who_is_in_the_picture_is_never_read():
    content = dicom(dataset(DEEP))
    assert b"Secret" in content
    assert "PatientName" not in dicom_reader.read_elements(content, PreprocessSettings())


@pytest.mark.parametrize(
    "elements",
    [
        {"NumberOfFrames": 2},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"BitsAllocated": 32, "BitsStored": 32},
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_reason(elements: dict[str, Any]):
    with pytest.raises(UnsupportedMedia) as caught:
        read(dicom(dataset(DEEP, **elements)), image_contract())
    assert caught.value.metadata["why"]
    assert caught.value.remedy


def test_an_object_without_a_picture_is_unsupported():
    report = dataset(DEEP, SOPClassUID=uid.BasicTextSRStorage)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    with pytest.raises(UnsupportedMedia):
        read(dicom(report), image_contract())


def test_an_image_without_its_pixels_is_unreadable():
    picture = dataset(DEEP)
    del picture.PixelData
    with pytest.raises(UnreadableMedia):
        read(dicom(picture), image_contract())


def test_a_video_is_unsupported_by_name():
    picture = dataset(DEEP)
    picture.PixelData = encapsulate([b"\0\0\1\xb3"])
    picture.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    with pytest.raises(UnsupportedMedia) as caught:
        read(dicom(picture), image_contract())
    assert "MPEG2" in caught.value.metadata["why"]


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5},
        {"Rows": 0},
        {"Rows": 25},
        {"SamplesPerPixel": 3},
    ],
)
def test_a_contradiction_is_unreadable(elements: dict[str, Any]):
    with pytest.raises(UnreadableMedia):
        read(dicom(dataset(DEEP, **elements)), image_contract())


def test_pixels_are_counted_before_they_are_decoded():
    with pytest.raises(MediaLimitExceeded) as caught:
        read(dicom(dataset(DEEP, Rows=60_000, Columns=60_000)), image_contract())
    assert caught.value.metadata["limit"] == "max_pixels"


def deflated(body: bytes) -> bytes:
    file = BytesIO()
    file.write(b"\0" * 128 + b"DICM")
    meta = dataset(DEEP).file_meta
    meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    write_file_meta_info(file, meta, enforce_standard=False)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return file.getvalue() + packer.compress(body) + packer.flush()


def test_a_deflate_bomb_is_stopped_at_the_limit():
    with pytest.raises(MediaLimitExceeded) as caught:
        read(deflated(bytes(64 << 20)), image_contract(), max_inflated_bytes=1 << 20)
    assert caught.value.metadata["limit"] == "max_inflated_bytes"


def test_a_deflated_file_that_is_cut_off_is_unreadable():
    with pytest.raises(UnreadableMedia):
        read(deflated(pixels(500, 500).tobytes())[:-50], image_contract())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_run_lengths_unpack_as_in_pydicom(dtype: Any, channels: tuple[int, ...]):
    values = pixels(24, 32, *channels, dtype=dtype)
    values[4:12] = 77
    picture = dataset(values)
    picture.compress(uid.RLELossless, generate_instance_uid=False)
    picture.file_meta.TransferSyntaxUID = uid.RLELossless
    if channels and dtype is np.uint16:
        pytest.skip("deep colour is refused")
    found = dicom_reader.decode(dicom(picture), PreprocessSettings())
    plain = dicom_reader.decode(dicom(dataset(values)), PreprocessSettings())
    np.testing.assert_array_equal(found.values, plain.values)


def test_a_compressed_picture_of_another_size_is_unreadable():
    picture = dataset(pixels())
    picture.PixelData = encapsulate([smooth_jpeg("L", (3000, 3000))])
    picture.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    with pytest.raises(UnreadableMedia):
        read(dicom(picture), image_contract())


@pytest.mark.parametrize("path", shared_dicoms())
def test_every_real_file_is_shown_as_pydicom_shows_it(path: Path):
    result = read(path.read_bytes(), image_contract())
    picture = dicom_reader.decode(path.read_bytes(), PreprocessSettings())
    reference = pydicom.dcmread(path)
    stored = reference.pixel_array
    shown = apply_voi_lut(apply_modality_lut(stored, reference), reference).astype(float)
    slope, intercept = reference.get("RescaleSlope", 1), reference.get("RescaleIntercept", 0)
    shown = (shown - intercept) / (slope * ((1 << reference.BitsStored) - 1))
    if reference.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    np.testing.assert_allclose(picture.values, shown, atol=2e-3)
    assert 0.05 < result.windows[0].tensor.std() < 0.5
    assert result.media_type == "application/dicom"


@pytest.mark.parametrize("path", shared_dicoms())
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7, 0.95, 0.999])
def test_every_real_file_cut_off_is_refused(path: Path, part: float):
    content = path.read_bytes()
    with pytest.raises((UnreadableMedia, UnsupportedMedia)):
        read(content[: 140 + int(part * (len(content) - 150))], image_contract())


@pytest.mark.parametrize("size", [64, 128, 256])
def test_jpeg_2000_with_precincts_is_read(size: int):
    values = np.zeros((2_500, 3_000), np.uint8)
    values[::100] = 200
    options: dict[str, Any] = {"codeblock_size": (64, 64), "precinct_size": (size, size)}
    frame = save(Image.fromarray(values), "JPEG2000", no_jp2=True, **options)
    picture = dataset(values)
    picture.PixelData = encapsulate([frame])
    picture.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    found = dicom_reader.decode(dicom(picture), PreprocessSettings())
    np.testing.assert_array_equal(found.values * 255, values)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_2000_is_read_with_and_without_boxes(boxed: bool, dtype: Any):
    values = pixels(dtype=dtype)
    frame = jpeg_2000(values, no_jp2=not boxed)
    picture = dataset(values, WindowCenter=1 << 15, WindowWidth=1 << 16)
    if dtype is np.uint8:
        del picture.WindowCenter
    plain = dicom_reader.decode(dicom(picture), PreprocessSettings())
    content = compressed(uid.JPEG2000Lossless, frame, picture=picture)
    found = dicom_reader.decode(content, PreprocessSettings())
    np.testing.assert_array_equal(found.values, plain.values)


@pytest.mark.filterwarnings("ignore")  # pydicom warns of them; the service silences it
def test_samples_behind_the_announced_ones_are_not_read():
    picture = dataset(pixels())
    picture.PixelData *= 3
    found = dicom_reader.decode(dicom(picture), PreprocessSettings())
    assert found.values.shape == (24, 32)


def test_a_frame_behind_the_announced_one_is_not_decoded():
    small, large = smooth_jpeg("L", (32, 24)), smooth_jpeg("L", (3_000, 3_000))
    picture = dataset(pixels(), NumberOfFrames=1)
    assert read(compressed(uid.JPEGBaseline8Bit, small, large, picture=picture), image_contract())
