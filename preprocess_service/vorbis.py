"""Ogg Vorbis from the outside: what its code books will cost, before they are built.

A book of eight million entries takes ten bytes to announce, and a header holds 256 of them.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from preprocess_service.refusals import check_limit, unreadable
from preprocess_service.sniffing import OGG

_MAX_ENTRIES: Final = 1 << 20
"""Of all code books together. Encoders need some ten thousand."""
_SETUP: Final = b"\x05vorbis"
_SYNC: Final = b"BCV"
"""Starts a code book, at any bit; 16 bits of dimensions and 24 of entries follow."""
_HEADER_PACKETS: Final = 3
_MAX_STREAMS: Final = 16
_PAGE_BYTES: Final = 27
_IS_FIRST, _IS_LAST = 2, 4
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_code_books(content: bytes) -> None:
    """Check the code books of every stream that starts an Ogg file.

    Raises:
        UnreadableMedia: a page of the headers is damaged.
        MediaLimitExceeded: the books have too many entries.
    """
    packets: dict[bytes, bytearray] = {}
    missing: dict[bytes, int] = {}
    for kind, stream, parts in _pages(content):
        packet = packets.setdefault(stream, bytearray())
        missing.setdefault(stream, _HEADER_PACKETS)
        if len(packets) > _MAX_STREAMS:
            raise unreadable(OGG, "it starts with too many streams")
        for part in parts if missing[stream] else ():
            packet += part
            if len(part) < 255 and missing[stream]:  # a full segment is continued by the next
                _check_packet(bytes(packet))
                packet.clear()
                missing[stream] -= 1
        if kind & _IS_LAST:
            missing[stream] = 0
        if not kind & _IS_FIRST and not any(missing.values()):  # first pages come all together
            return


def _pages(content: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Flags of a page, the number of its stream, and its segments."""
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
        yield page[5], page[14:18], segments
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
