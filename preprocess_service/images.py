"""PNG and JPEG to upright pixels, grey or RGB, on black."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image, ImageChops, JpegImagePlugin, PngImagePlugin

from pellucid.errors import PellucidError
from pellucid.tensors import Array
from preprocess_service import headers
from preprocess_service.headers import Header
from preprocess_service.media import ImageFacts, Picture
from preprocess_service.refusals import check_limit, unreadable, unsupported
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import JPEG, PNG

_PNG_COLOURS: Final = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgba"}
_JPEG_COLOURS: Final = {1: "grey", 3: "rgb", 4: "cmyk"}
_JPEG_PROCESSES: Final = (0, 1, 2)
"""Baseline, extended and progressive, all Huffman-coded."""
_MAX_SCANS: Final = 64
"""Of a progressive JPEG; each costs a pass over the whole picture. Encoders make about ten."""
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_png(content: bytes, settings: PreprocessSettings) -> Picture:
    """Decode a PNG of any colour type; 16 bits of grey are kept, of RGB the upper 8.

    Raises:
        UnreadableMedia: it is damaged or cut off.
        UnsupportedMedia: it is animated.
        MediaLimitExceeded: it has too many pixels.
    """
    header, colour = headers.read_png(content)
    check_limit("pixels", header.pixels, settings.max_pixels, "max_pixels")
    bare, animated = headers.bare_png(content)
    if animated:
        raise unsupported(PNG, "it is an animation", "send a single picture")
    image = _load(PngImagePlugin.PngImageFile, bare, PNG, header)
    orientation = _orientation(image)
    image = _on_black(image, header.bit_depth)
    return _picture(image, header.bit_depth, _PNG_COLOURS[colour], orientation)


def decode_jpeg(content: bytes, settings: PreprocessSettings) -> Picture:
    """Decode a JPEG: grey, RGB or CMYK.

    Raises:
        UnreadableMedia: it is damaged or cut off.
        UnsupportedMedia: it is of a process that is not read, e.g. lossless or 12 bit.
        MediaLimitExceeded: it has too many pixels or scans.
    """
    header = headers.read_jpeg(content)
    check_limit("pixels", header.pixels, settings.max_pixels, "max_pixels")
    if header.process not in _JPEG_PROCESSES or header.bit_depth != 8:
        why = f"{header.bit_depth} bit, process {header.process}"
        raise unsupported(JPEG, why, "send an 8-bit baseline or progressive JPEG")
    if header.components not in _JPEG_COLOURS:
        raise unsupported(JPEG, f"{header.components} channels", "send grey, RGB or CMYK")
    check_limit("scans", content.count(b"\xff\xda", header.body), _MAX_SCANS, "scans")
    if content.find(b"\xff\xd9", header.body) < 0:
        raise unreadable(JPEG, "it is cut off before its end")
    image = _load(JpegImagePlugin.JpegImageFile, content, JPEG, header)
    orientation = _orientation(image)
    if image.mode == "CMYK":
        # Pillow takes every CMYK for Adobe's, whose inks are stored inverted.
        image = (image if header.adobe else ImageChops.invert(image)).convert("RGB")
    return _picture(image, header.bit_depth, _JPEG_COLOURS[header.components], orientation)


def _load(
    reader: Callable[[BytesIO], Image.Image], content: bytes, media_type: str, header: Header
) -> Image.Image:
    """Decode with one given reader: `Image.open` would try others, and warn by its own limits."""
    try:
        image = reader(BytesIO(content))
        if image.size != (header.width, header.height):  # before memory is taken for it
            raise unreadable(media_type, "its header contradicts itself")
        image.load()
    except (MemoryError, PellucidError):
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise unreadable(media_type, "its pixels are damaged or cut off") from error
    return image


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to refuse the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _on_black(image: Image.Image, bit_depth: int) -> Image.Image:
    """Grey (L, I;16) or RGB, with what is transparent laid on black."""
    transparent = image.info.get("transparency")
    if image.mode == "P":
        image = image.convert("RGB" if transparent is None else "RGBA")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("LA", "RGBA"):
        opaque = image.convert(image.mode.removesuffix("A"))
        black = Image.new(opaque.mode, image.size)
        black.paste(opaque, mask=image.getchannel("A"))
        return black
    if transparent is None:
        return image
    values = np.array(image)
    values[_matches(values, transparent, bit_depth)] = 0
    return Image.fromarray(values)


def _matches(values: Array, transparent: Any, bit_depth: int) -> Array:
    """Which pixels have the colour that the file calls transparent."""
    if values.ndim == 3:
        # Of 16-bit RGB, only the upper 8 bits are left.
        colour = [value >> 8 if bit_depth == 16 else value for value in transparent]
        return np.asarray((values == np.array(colour)).all(axis=-1))
    if bit_depth < 8:  # Pillow scales the pixels to 8 bits, and of this value only 1 bit
        transparent = min(transparent * 255 // ((1 << bit_depth) - 1), 255)
    return np.asarray(values == transparent)


def _picture(image: Image.Image, bit_depth: int, colour: str, orientation: int) -> Picture:
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    values = np.asarray(image)
    facts = ImageFacts(
        width=image.width,
        height=image.height,
        bit_depth=bit_depth,
        colour=colour,
        orientation=orientation,
    )
    return Picture(values, 65_535.0 if values.dtype == np.uint16 else 255.0, facts)
