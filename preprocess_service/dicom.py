"""DICOM to upright pixels: the file's structure, its limits, its compressed forms.

Only the elements that pixels need are looked at; who is in the picture is never read.
"""

import zlib
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from threading import Lock
from typing import Any, Final

from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import RLELosslessDecoder
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag

from pellucid.errors import PellucidError
from pellucid.tensors import Array
from preprocess_service import grayscale, headers, jpeg2000, rle
from preprocess_service.media import ImageFacts, Picture
from preprocess_service.refusals import check_limit, unreadable, unsupported
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
_JPEG_2000: Final = (uid.JPEG2000Lossless, uid.JPEG2000)
_PLUGINS: Final = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "gdcm",
    uid.JPEGLSNearLossless: "gdcm",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEG2000: "pillow",
    uid.RLELossless: rle.PLUGIN,
}
"""Who decodes what; pydicom alone would take whatever happens to be installed."""
_DCT: Final = (0, 1, 2)
_LOSSLESS: Final = (*_DCT, 3)
_PROCESSES: Final = {
    uid.JPEGBaseline8Bit: _DCT,
    uid.JPEGLossless: _LOSSLESS,
    uid.JPEGLosslessSV1: _LOSSLESS,
    uid.JPEGLSLossless: (headers.JPEG_LS,),
    uid.JPEGLSNearLossless: (headers.JPEG_LS,),
}
"""What each decoder reads in its own way, and so gets no other; some writers name DCT lossless."""
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
_gdcm = Lock()
"""gdcm keeps global state; nothing says that two threads may decode at once."""

RLELosslessDecoder.add_plugin(rle.PLUGIN, (rle.__name__, rle.decode_frame.__name__))


def decode(content: bytes, settings: PreprocessSettings, checkpoint: Callable[[], None]) -> Picture:
    """Decode the single picture of a DICOM file, as its own display settings show it.

    Raises:
        UnreadableMedia: it is damaged or cut off.
        UnsupportedMedia: it holds no picture, several frames, or a form that is not read.
        MediaLimitExceeded: it has too many pixels, or inflates to too many bytes.
    """
    dataset = _read(content, settings)
    checkpoint()
    try:
        facts = _facts(dataset)
    except (TypeError, ValueError, AttributeError) as error:
        raise unreadable(DICOM, "its description of the picture is damaged") from error
    check_limit("pixels", facts.width * facts.height, settings.max_pixels, "max_pixels")
    stored = _pixels(dataset, facts)
    checkpoint()
    if dataset.PhotometricInterpretation in _COLOUR:
        return Picture(stored, 255.0, facts)
    return Picture(grayscale.render(stored, dataset, checkpoint), 1.0, facts)


def _read(content: bytes, settings: PreprocessSettings) -> Any:
    """The elements that matter, with the file's meta information."""
    try:
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
    except (MemoryError, PellucidError):
        raise
    except Exception as error:  # pydicom raises anything on damaged files
        raise unreadable(DICOM, "its structure is damaged or cut off") from error
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


def _pixels(dataset: Any, facts: ImageFacts) -> Array:
    """Stored values, shape (H, W), or RGB of shape (H, W, 3)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    plugin = _PLUGINS.get(syntax, "")
    try:
        if plugin:
            # What was checked is all that the decoder gets to see, not a frame behind it.
            dataset.PixelData = encapsulate([_checked_frame(dataset, syntax, facts)])
        with _gdcm if plugin == "gdcm" else nullcontext():
            return pixel_array(dataset, index=0, decoding_plugin=plugin)
    except (MemoryError, PellucidError):
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise unreadable(DICOM, "its pixels are damaged or cut off") from error


def _checked_frame(dataset: Any, syntax: uid.UID, facts: ImageFacts) -> bytes:
    """The compressed picture; refuses what would unpack to another size than the file announces."""
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == uid.RLELossless:  # its decoder is bounded by the announced size
        return frame
    if syntax in _JPEG_2000:
        frame = jpeg2000.bare(frame, DICOM)
        header = jpeg2000.read(frame, DICOM)
    else:
        header = headers.read_jpeg(frame, DICOM)
        if header.process not in _PROCESSES[syntax]:
            raise unreadable(DICOM, "its compressed picture is of another process than announced")
    samples = int(dataset.get("SamplesPerPixel", 1))
    if (header.width, header.height, header.components) != (facts.width, facts.height, samples):
        raise unreadable(DICOM, "its compressed picture has another size than it announces")
    if header.bit_depth > int(dataset.BitsAllocated):
        raise unreadable(DICOM, "its compressed picture has more bits than it announces")
    return frame
