"""DICOM to upright pixels: the file's structure, its limits, its compressed forms.

Only the elements that pixels need are read; who is in the picture never is.
"""

import zlib
from io import BytesIO
from typing import Any, Final

import PIL.Image  # noqa: F401 (before gdcm, whose zlib Pillow would else use, and crash)
from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag

from preprocess_service import dicom_luts
from preprocess_service.errors import check_limit, translated, unreadable, unsupported
from preprocess_service.media import ImageFacts, Picture
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import DICOM

_HEAD_BYTES: Final = 132
"""Preamble and `DICM`."""
_NATIVE: Final = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_PLUGINS: Final = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "gdcm",
    uid.JPEGLSNearLossless: "gdcm",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEG2000: "pillow",
    uid.RLELossless: "pydicom",
}
"""Who decodes what; pydicom alone would take whatever happens to be installed."""
_ELEMENTS: Final = tuple(
    Tag(keyword)
    for keyword in (
        "SOPClassUID",
        "Modality",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "RescaleSlope",
        "RescaleIntercept",
        "ModalityLUTSequence",
        "WindowCenter",
        "WindowWidth",
        "VOILUTFunction",
        "VOILUTSequence",
        "PixelData",
    )
)
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def decode(content: bytes, settings: PreprocessSettings) -> Picture:
    """Decode the single picture of a DICOM file, as its own display settings show it.

    Raises:
        UnreadableMedia: it is damaged or cut off.
        UnsupportedMedia: it holds no picture, several frames, or a form that is not read.
        MediaLimitExceeded: it has too many pixels, or inflates to too many bytes.
    """
    with translated(DICOM, "its structure is damaged or cut off"):
        dataset = read_elements(content, settings)
    with translated(DICOM, "its description of the picture is damaged"):
        facts = _facts(dataset)
    check_limit("pixels", facts.width * facts.height, settings.max_pixels, "max_pixels")
    with translated(DICOM, "its pixels are damaged or cut off"):
        plugin = _PLUGINS.get(dataset.file_meta.TransferSyntaxUID, "")
        stored = pixel_array(dataset, index=0, decoding_plugin=plugin)
    if facts.colour in _COLOUR:
        return Picture(stored, 255.0, facts)
    return Picture(dicom_luts.render(stored, dataset), 1.0, facts)


def read_elements(content: bytes, settings: PreprocessSettings) -> Any:
    """The elements that matter, with the file's meta information."""
    file = BytesIO(content)
    file.seek(_HEAD_BYTES)
    meta = FileMetaDataset(
        read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    )
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        raise unreadable(DICOM, "it does not say how it is encoded")
    if syntax not in (*_NATIVE, *_PLUGINS):
        accepted = ", ".join(known.name for known in (*_NATIVE, *_PLUGINS))
        why = f"its transfer syntax is {syntax.name}"
        raise unsupported(DICOM, why, f"convert it to one of: {accepted}")
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        file = BytesIO(_inflate(file.read(), settings.max_inflated_bytes))
    dataset: Any = read_dataset(
        file, syntax.is_implicit_VR, syntax.is_little_endian, specific_tags=list(_ELEMENTS)
    )
    dataset.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    dataset.file_meta = meta
    return dataset


def _inflate(deflated: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, max_bytes + 1)
    check_limit("inflated bytes", len(inflated), max_bytes, "max_inflated_bytes")
    if not inflater.eof:
        raise unreadable(DICOM, "its deflated data set is cut off")
    return inflated


def _facts(dataset: Any) -> ImageFacts:
    """What the file says of its picture; refuses what has none or cannot be shown."""
    _check_is_picture(dataset)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise unsupported(DICOM, f"it holds {frames} frames", "send a single frame")
    colour, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    if colour not in (*_GREY, *_COLOUR):
        accepted = ", ".join((*_GREY, *_COLOUR))
        raise unsupported(DICOM, f"its colours are {colour!a}", f"convert to: {accepted}")
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16) or (colour in _COLOUR and allocated != 8):
        raise unsupported(DICOM, f"{allocated} bits are allocated", "send 8 or 16 bit grey")
    if not 1 <= bits <= allocated or int(dataset.get("HighBit", bits - 1)) != bits - 1:
        raise unreadable(DICOM, f"{bits} bits stored do not fit the rest of its description")
    if int(dataset.get("SamplesPerPixel", 1)) != (3 if colour in _COLOUR else 1):
        raise unreadable(DICOM, "its samples per pixel do not fit its colours")
    width, height = int(dataset.Columns), int(dataset.Rows)
    if width < 1 or height < 1:
        raise unreadable(DICOM, "its picture is empty")
    return ImageFacts(
        width=width,
        height=height,
        bit_depth=bits,
        colour=colour,
        modality=str(dataset.get("Modality") or "")[:16],
        transfer_syntax=dataset.file_meta.TransferSyntaxUID.name,
    )


def _check_is_picture(dataset: Any) -> None:
    if "PixelData" in dataset and "Rows" in dataset and "Columns" in dataset:
        return
    kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    if "Rows" in dataset or (kind is not None and "Image Storage" in kind.name):
        raise unreadable(DICOM, "it announces a picture and ends before its pixels")
    raise unsupported(DICOM, "it holds no picture", "send an image object, e.g. CR or DX")
