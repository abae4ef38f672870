"""Ogg Vorbis from the outside: what its code books will cost, before they are built.

A book of eight million entries takes ten bytes to announce, and a header holds 256 of them.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from preprocess_service.refusals import check_limit, unreadable
from preprocess_service.sniffing import OGG

_MAX_ENTRIES: Final = 1 << 20
"""Of all code books together. Encoders need some ten thousand."""
_MAX_SETUP_BYTES: Final = 1 << 20
"""Encoders write some ten thousand."""
_SETUP: Final = b"\x05vorbis"
_SYNC: Final = b"BCV"
"""Starts a code book, at any bit; 16 bits of dimensions and 24 of entries follow."""
_HEADER_PACKETS: Final = 3
_MAX_STREAMS: Final = 16
_PAGE_BYTES: Final = 27
_IS_CONTINUED, _IS_FIRST = 1, 2
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    """What counts of a page."""

    version: int
    flags: int
    stream: bytes
    number: int
    segments: list[bytes]


@dataclass
class _Stream:
    """What was seen of a stream's headers."""

    packet: bytearray = field(default_factory=bytearray)
    """That which the next page must continue; empty if there is none."""
    missing: int = _HEADER_PACKETS
    next_page: int = 0


def check_code_books(content: bytes, checkpoint: Callable[[], None]) -> None:
    """Check the code books of every stream that starts an Ogg file.

    Raises:
        UnreadableMedia: a page of the headers is damaged, or may be read in two ways.
        MediaLimitExceeded: the books have too many entries, or take too many bytes.
    """
    streams: dict[bytes, _Stream] = {}
    for page in _pages(content):
        stream = streams.setdefault(page.stream, _Stream())
        if len(streams) > _MAX_STREAMS:
            raise unreadable(OGG, "it starts with too many streams")
        if stream.missing:
            _check_order(page, stream)
        for part in page.segments if stream.missing else ():
            stream.packet += part
            if len(part) < 255 and stream.missing:  # a full segment is continued by the next
                checkpoint()
                _check_packet(bytes(stream.packet))
                stream.packet.clear()
                stream.missing -= 1
        first_pages_are_over = not page.flags & _IS_FIRST  # they come all together
        if first_pages_are_over and not any(stream.missing for stream in streams.values()):
            return


def _check_order(page: _Page, stream: _Stream) -> None:
    """Refuse what a decoder drops or joins by rules of its own, so that it would see other packets.

    The end of a stream is none of it: decoders read on.
    """
    is_lost = bool(stream.packet) and page.number != stream.next_page
    is_continued = bool(page.flags & _IS_CONTINUED)
    if page.version or is_lost or is_continued != bool(stream.packet):
        raise unreadable(OGG, "a page of its header is out of place")
    stream.next_page = page.number + 1


def _pages(content: bytes) -> Iterator[_Page]:
    offset = 0
    while offset < len(content):
        table = offset + _PAGE_BYTES
        lengths = content[table : table + content[table - 1]] if table <= len(content) else b""
        at = table + len(lengths)
        page = content[offset : at + sum(lengths)]
        if not page.startswith(b"OggS") or _checksum(page) != page[22:26]:
            raise unreadable(OGG, "a page of its header is damaged")
        segments = []
        for length in lengths:
            segments.append(content[at : at + length])
            at += length
        number = int.from_bytes(page[18:22], "little")
        yield _Page(page[4], page[5], page[14:18], number, segments)
        offset = at


def _checksum(page: bytes) -> bytes:
    """Ogg's CRC-32 is that of zlib with all bits the other way round, and no inversion."""
    blank = page[:22] + bytes(4) + page[26:]
    reflected = zlib.crc32(blank.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return reflected.to_bytes(4, "big").translate(_REVERSED)


def _check_packet(packet: bytes) -> None:
    start = packet.find(_SETUP)
    if start < 0:
        return
    check_limit("bytes of code books", len(packet) - start, _MAX_SETUP_BYTES, "code_book_bytes")
    bits, entries = int.from_bytes(packet[start:], "little"), 0
    for shift in range(8):
        shifted = (bits >> shift).to_bytes(len(packet) - start, "little")
        at = shifted.find(_SYNC)
        while at >= 0:
            dimensions = int.from_bytes(shifted[at + 3 : at + 5], "little")
            count = int.from_bytes(shifted[at + 5 : at + 8], "little")
            if dimensions.bit_length() + count.bit_length() <= 24:  # else the decoder stops here
                entries += count
            at = shifted.find(_SYNC, at + 1)
    check_limit("entries of code books", entries, _MAX_ENTRIES, "code_book_entries")
