"""PNG and JPEG to upright pixels, grey or RGB, on black."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image, ImageChops, JpegImagePlugin, PngImagePlugin

from pellucid.tensors import Array
from preprocess_service.errors import check_limit, translated, unreadable, unsupported
from preprocess_service.media import ImageFacts, Picture
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import JPEG, PNG

_DAMAGED: Final = "its pixels are damaged or cut off"
_PNG_COLOURS: Final = {
    "1": "grey",
    "L": "grey",
    "I;16": "grey",
    "RGB": "rgb",
    "P": "palette",
    "LA": "grey_alpha",
    "RGBA": "rgba",
}
_PNG_END: Final = b"IEND\xaeB`\x82"
"""The last chunk's name and checksum, which Pillow does not look at."""
_JPEG_COLOURS: Final = {"L": "grey", "RGB": "rgb", "CMYK": "cmyk"}
_COMMON_FRAMES: Final = ("SOF0", "SOF1", "SOF2")
"""Baseline, extended and progressive, all Huffman-coded."""
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
    image = _open(PngImagePlugin.PngImageFile, content, PNG, settings)
    if getattr(image, "is_animated", False):
        raise unsupported(PNG, "it is an animation", "send a single picture")
    if _PNG_END not in content:
        raise unreadable(PNG, "it is cut off before its end")
    with translated(PNG, _DAMAGED):
        colour, bit_depth = _PNG_COLOURS[image.mode], _bit_depth(image)
        # All checksums, of which loading looks at few; a picture that was verified cannot load.
        PngImagePlugin.PngImageFile(BytesIO(content)).verify()
        image.load()
    orientation = _orientation(image)
    return _picture(_on_black(image, bit_depth), bit_depth, colour, orientation)


def decode_jpeg(content: bytes, settings: PreprocessSettings) -> Picture:
    """Decode a JPEG: grey, RGB or CMYK.

    Raises:
        UnreadableMedia: it is damaged or cut off.
        UnsupportedMedia: it is of a process that is not read, e.g. lossless or 12 bit.
        MediaLimitExceeded: it has too many pixels.
    """
    _check_process(content)
    image = _open(JpegImagePlugin.JpegImageFile, content, JPEG, settings)
    if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise unreadable(JPEG, "it is cut off before its end")
    with translated(JPEG, _DAMAGED):
        image.load()
    orientation, colour = _orientation(image), _JPEG_COLOURS[image.mode]
    if image.mode == "CMYK":
        # Pillow takes every CMYK for Adobe's, whose inks are stored inverted.
        image = (image if "adobe" in image.info else ImageChops.invert(image)).convert("RGB")
    return _picture(image, 8, colour, orientation)


def _open(
    reader: Callable[[BytesIO], Image.Image],
    content: bytes,
    media_type: str,
    settings: PreprocessSettings,
) -> Image.Image:
    """Read the header with one given reader: `Image.open` would try others too."""
    with translated(media_type, "its header is damaged or cut off"):
        image = reader(BytesIO(content))
    check_limit("pixels", image.width * image.height, settings.max_pixels, "max_pixels")
    return image


def _bit_depth(image: Any) -> int:
    """Bits of a sample as the file has them: Pillow's raw mode ends with them, e.g. `L;4`."""
    raw = image.tile[0].args
    bits = raw.removesuffix("B").partition(";")[2]
    return int(bits) if bits else 1 if raw == "1" else 8


def _check_process(content: bytes) -> None:
    """Refuse what Pillow does not read with the name of what it is."""
    offset = 2
    while content[offset : offset + 1] == b"\xff" and offset + 5 <= len(content):
        name, title, _ = JpegImagePlugin.MARKER.get(0xFF00 | content[offset + 1], ("", "", None))
        if name.startswith("SOF"):
            bits = content[offset + 4]
            if name not in _COMMON_FRAMES or bits != 8:
                remedy = "send an 8-bit baseline or progressive JPEG"
                raise unsupported(JPEG, f"{bits} bit, {title.lower()}", remedy)
            return
        offset += 2 + int.from_bytes(content[offset + 2 : offset + 4], "big")


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
