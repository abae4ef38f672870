"""Pictures from the outside: size and integrity of PNG, JPEG and JPEG 2000, before decoding."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from preprocess_service.refusals import unreadable
from preprocess_service.sniffing import JPEG, PNG

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
"""Chunks that the decoder gets to see. Texts and profiles change nothing here, but they are
compressed and may unpack to any size."""
_STANDALONE: Final = {0x01, *range(0xD0, 0xD8)}
"""JPEG markers without a length."""
_FRAMES: Final = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG start-of-frame markers; F7 is that of JPEG-LS."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture says before its pixels."""

    width: int
    height: int
    components: int
    bit_depth: int
    process: int = 0
    """JPEG only: number of the start-of-frame marker, e.g. 0 baseline, 2 progressive."""
    adobe: bool = False
    """JPEG only: whether Adobe's marker is there, which says that inks are stored inverted."""
    body: int = 0
    """JPEG only: offset of the first scan's marker."""

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


_PNG_COMPONENTS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def read_png(content: bytes) -> tuple[Header, int]:
    """Read the header of a PNG; also gives its colour type.

    Raises:
        UnreadableMedia: it has none.
    """
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise unreadable(PNG, "it has no complete header")
    width, height, depth, colour = struct.unpack_from(">IIBB", content, 16)
    if not width or not height or colour not in _PNG_COMPONENTS:
        raise unreadable(PNG, "its header makes no sense")
    header = Header(width=width, height=height, components=_PNG_COMPONENTS[colour], bit_depth=depth)
    return header, colour


def bare_png(content: bytes) -> tuple[bytes, bool]:
    """Check all of a PNG and leave only what its pixels need.

    Returns:
        A PNG without texts, profiles and animation, and whether it was animated.

    Raises:
        UnreadableMedia: a chunk is missing, cut off or damaged.
    """
    view = memoryview(content)
    parts: list[memoryview | bytes] = [_SIGNATURE]
    animated, offset, kind = False, len(_SIGNATURE), b""
    while kind != b"IEND":
        if offset + 12 > len(content):
            raise unreadable(PNG, "it is cut off before its end")
        length = int.from_bytes(view[offset : offset + 4], "big")
        kind = bytes(view[offset + 4 : offset + 8])
        end = offset + 12 + length
        if end > len(content):
            raise unreadable(PNG, f"it is cut off in chunk {ascii(kind)[2:-1]}")
        if zlib.crc32(view[offset + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise unreadable(PNG, f"the checksum of chunk {ascii(kind)[2:-1]} is wrong")
        animated = animated or kind == b"acTL"
        if kind in _KEPT:
            parts.append(view[offset:end])
        offset = end
    return b"".join(parts), animated


def read_jpeg(content: bytes, media_type: str = JPEG) -> Header:
    """Read the header of a JPEG of any process, JPEG-LS included.

    Raises:
        UnreadableMedia: it ends before its first scan, or is none.
    """
    offset, frame, adobe = 2, None, False
    while offset + 4 <= len(content):
        if content[offset] != 0xFF:
            raise unreadable(media_type, "a JPEG marker is damaged")
        marker = content[offset + 1]
        if marker == 0xFF or marker in _STANDALONE:
            offset += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[offset + 2 : offset + 4], "big")
        segment = content[offset + 4 : offset + 2 + length]
        if marker in _FRAMES and len(segment) >= 6:
            depth, height, width, components = struct.unpack_from(">BHHB", segment)
            frame = (width, height, components, depth, marker - 0xC0)
        adobe = adobe or (marker == 0xEE and segment.startswith(b"Adobe"))
        if marker == 0xDA and frame is not None:
            width, height, components, depth, process = frame
            if not width or not height:
                raise unreadable(media_type, "its header gives no size")
            return Header(
                width=width,
                height=height,
                components=components,
                bit_depth=depth,
                process=process,
                adobe=adobe,
                body=offset,
            )
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            break
        offset += 2 + length
    raise unreadable(media_type, "it is cut off before its picture starts")


def read_jpeg2000(content: bytes, media_type: str) -> Header:
    """Read the header of a JPEG 2000 codestream (ISO/IEC 15444-1, A.5.1), bare or boxed.

    Raises:
        UnreadableMedia: it has none.
    """
    start = content.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(content) < start + 43:
        raise unreadable(media_type, "it holds no JPEG 2000 picture")
    x1, y1, x0, y0 = struct.unpack_from(">IIII", content, start + 8)
    components, depth = struct.unpack_from(">HB", content, start + 40)
    return Header(
        width=x1 - x0, height=y1 - y0, components=components, bit_depth=(depth & 0x7F) + 1
    )
