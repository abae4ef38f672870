"""JPEG 2000 from the outside: what a codestream will cost, before it is decoded.

Layout: ISO/IEC 15444-1, annex A. The decoder keeps state for every tile, precinct and code block,
so a file of two hundred bytes could fill the memory without a single coefficient.
"""

import struct
from collections.abc import Iterator
from typing import Final

from preprocess_service.headers import Header
from preprocess_service.refusals import check_limit, unreadable

_START: Final = b"\xff\x4f\xff\x51"
_SIZE_BYTES: Final = 43
"""From the start up to the depth of the first component."""
_BOXES_BYTES: Final = 4096
"""A file's boxes before its codestream; DICOM wants none, some writers leave them."""
_TILE, _DATA, _END = 0x90, 0x93, 0xD9
_STYLE, _COMPONENT_STYLE = 0x52, 0x53
_SEGMENTS: Final = frozenset(
    {*range(0x50, 0x54), 0x55, *range(0x57, 0x59), *range(0x5C, 0x62), 0x63, 0x64, 0x74, 0x75}
    | {0x77, 0x78}
)
"""Markers with a length, before a tile's data. Behind others a decoder may look anywhere."""
_MAX_TILES: Final = 1 << 14
"""Of 64 x 64, they make the largest picture. The decoder needs some 12 kB for each."""
_MAX_STYLES: Final = 256
"""Different ones; an encoder writes one, or one for each component."""
_MAX_CODE_BLOCKS: Final = 1 << 18
"""Of all components: as many as the largest picture in colour has, at the usual 32 x 32."""


def bare(content: bytes, media_type: str) -> bytes:
    """The codestream without the boxes of a file, which could name another size.

    Raises:
        UnreadableMedia: there is none.
    """
    start = content.find(_START, 0, _BOXES_BYTES)
    if start < 0 or len(content) < start + _SIZE_BYTES:
        raise unreadable(media_type, "it holds no JPEG 2000 picture")
    return content[start:]


def read(stream: bytes, media_type: str) -> Header:
    """Read the header of a bare codestream.

    Raises:
        UnreadableMedia: it is damaged.
        MediaLimitExceeded: it has too many tiles, styles or code blocks.
    """
    x1, y1, x0, y0, across, down, tiles_x, tiles_y = struct.unpack_from(">8I", stream, 8)
    components, depth = struct.unpack_from(">HB", stream, 40)
    if not (x0 < x1 and y0 < y1 and across and down and components):
        raise unreadable(media_type, "its header makes no sense")
    tiles = -(-(x1 - tiles_x) // across) * -(-(y1 - tiles_y) // down)
    check_limit("tiles", tiles, _MAX_TILES, "tiles")
    header = Header(
        width=x1 - x0, height=y1 - y0, components=components, bit_depth=(depth & 0x7F) + 1
    )
    styles = set(_styles(stream, media_type))
    check_limit("coding styles", len(styles), _MAX_STYLES, "coding_styles")
    try:
        blocks = max(_code_blocks(*style, header) for style in styles)
    except (IndexError, ValueError) as error:
        raise unreadable(media_type, "its JPEG 2000 header is damaged") from error
    check_limit("code blocks", blocks, _MAX_CODE_BLOCKS, "code_blocks")
    return header


def _styles(stream: bytes, media_type: str) -> Iterator[tuple[int, bytes]]:
    """Marker and content of all segments that say how a picture, tile or component is coded."""
    offset, next_tile = 2, 0
    while offset + 4 <= len(stream):
        marker = stream[offset + 1] if stream[offset] == 0xFF else 0
        length = int.from_bytes(stream[offset + 2 : offset + 4], "big")
        if marker == _END:
            return
        if marker == _TILE:
            part = int.from_bytes(stream[offset + 6 : offset + 10], "big")
            next_tile = offset + part if part else len(stream)
            if length != 10 or next_tile <= offset + 12:
                raise unreadable(media_type, "a tile of its JPEG 2000 picture is damaged")
        elif marker == _DATA:
            offset = next_tile if next_tile > offset else len(stream)
            continue
        elif marker not in _SEGMENTS or length < 2:
            raise unreadable(media_type, "a JPEG 2000 marker is damaged")
        if marker in (_STYLE, _COMPONENT_STYLE):
            yield marker, stream[offset + 4 : offset + 2 + length]
        offset += 2 + length


def _code_blocks(marker: int, segment: bytes, header: Header) -> int:
    """Code blocks if the whole picture were coded so: those of each resolution, lowest first."""
    start = 5 if marker == _STYLE else 2 + (header.components > 256)
    has_precincts = segment[0 if marker == _STYLE else start - 1] & 1
    levels, across, down = segment[start], segment[start + 1] + 2, segment[start + 2] + 2
    blocks = lower = 0
    for level in range(levels + 1):
        precinct = segment[start + 5 + level] if has_precincts else 0xFF
        halved = level > 0  # a precinct of a higher resolution is shared by three bands
        # Precincts cut blocks that are larger than they are.
        block = min(across, max(0, (precinct & 15) - halved))
        block += min(down, max(0, (precinct >> 4) - halved))
        samples = _samples(header, levels - level)
        blocks += -(-(samples - lower) >> block)
        lower = samples
    return blocks


def _samples(header: Header, halvings: int) -> int:
    """Samples of all components after so many halvings of both sides."""
    width, height = -(-header.width >> halvings), -(-header.height >> halvings)
    return width * height * header.components
