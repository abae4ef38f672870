"""Pictures from the outside: size and integrity of PNG and JPEG, before decoding."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from preprocess_service.refusals import unreadable
from preprocess_service.sniffing import JPEG, PNG

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
"""Chunks that the decoder gets to see. Texts and profiles change nothing here, but they are
compressed and may unpack to any size."""
_START: Final = b"\xff\xd8"
_SCAN: Final = 0xDA
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""JPEG start-of-frame markers; F7 is that of JPEG-LS."""
JPEG_LS: Final = 0xF7 - 0xC0
"""The process of JPEG-LS."""
_JPEG_LS_PARAMETERS: Final = 0xF8
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), _JPEG_LS_PARAMETERS, 0xFE})
"""JPEG segments that may come before the first scan, besides the frame: tables, restart interval,
what applications add, comments."""


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
        UnreadableMedia: a chunk is missing, cut off or damaged, or there are two headers.
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
        if kind == b"IHDR" and offset != len(_SIGNATURE):
            raise unreadable(PNG, "it has two headers")
        animated = animated or kind == b"acTL"
        if kind in _KEPT:
            parts.append(view[offset:end])
        offset = end
    return b"".join(parts), animated


def read_jpeg(content: bytes, media_type: str = JPEG) -> Header:
    """Read the header of a JPEG of any process, JPEG-LS included.

    Decoders skip what is foreign in ways of their own, and would come upon another size than the
    one that is found here. So nothing foreign may stand before the first scan.

    Raises:
        UnreadableMedia: it ends before its first scan, is none, or may be read in two ways.
    """
    frame, adobe, tuned = None, False, False
    for offset, marker, segment in _segments(content, media_type):
        if marker in _FRAMES:
            if frame is not None:
                raise unreadable(media_type, "it has two headers")
            frame = _frame(marker, segment, media_type)
        adobe = adobe or (marker == 0xEE and segment.startswith(b"Adobe"))
        tuned = tuned or marker == _JPEG_LS_PARAMETERS
        if marker == _SCAN and frame is not None:
            if tuned and frame.process != JPEG_LS:
                raise unreadable(media_type, "it has parameters of another process")
            return replace(frame, adobe=adobe, body=offset)
    raise unreadable(media_type, "it is cut off before its picture starts")


def _segments(content: bytes, media_type: str) -> Iterator[tuple[int, int, bytes]]:
    """Offset, marker and content of each segment up to the first scan."""
    if not content.startswith(_START):
        raise unreadable(media_type, "it does not start as a JPEG")
    offset, marker = len(_START), 0
    while offset + 4 <= len(content) and marker != _SCAN:
        marker = content[offset + 1]
        if content[offset] != 0xFF or marker not in (0xFF, _SCAN, *_FRAMES, *_TABLES):
            raise unreadable(media_type, "a JPEG marker is damaged")
        if marker == 0xFF:  # any number of these may stand before a marker
            offset += 1
            continue
        length = int.from_bytes(content[offset + 2 : offset + 4], "big")
        if length < 2:
            return
        yield offset, marker, content[offset + 4 : offset + 2 + length]
        offset += 2 + length


def _frame(marker: int, segment: bytes, media_type: str) -> Header:
    if len(segment) < 6:
        raise unreadable(media_type, "its header is cut off")
    depth, height, width, components = struct.unpack_from(">BHHB", segment)
    if not width or not height:
        raise unreadable(media_type, "its header gives no size")
    return Header(
        width=width,
        height=height,
        components=components,
        bit_depth=depth,
        process=marker - 0xC0,
    )
