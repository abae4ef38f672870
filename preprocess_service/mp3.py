"""MPEG audio layer III from the outside: whether all frames are there, and how long they last.

The decoder plays what it gets, so only this walk over the frame headers tells a file that was cut
off. Layout of a header: ISO/IEC 11172-3, 2.4.1.3.
"""

from dataclasses import dataclass
from typing import Final

from preprocess_service.refusals import unreadable

_MEDIA_TYPE: Final = "audio/mpeg"
_KBITS_V1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_V2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_V1: Final = (44_100, 48_000, 32_000)
_DIVISORS: Final = {3: 1, 2: 2, 0: 4}
"""Of the sample rate, by version bits: MPEG-1, MPEG-2, MPEG-2.5."""
_HEADER_BYTES: Final = 4
_ID3_HEADER_BYTES: Final = 10
_TRAILERS: Final = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"\0")


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One frame: its length with the header, and what it plays."""

    length: int
    samples: int
    rate_hz: int


def skip_id3(content: bytes) -> int:
    """Offset of what follows the ID3v2 tags at the start; 0 where there are none."""
    start = 0
    while content.startswith(b"ID3", start) and len(content) >= start + _ID3_HEADER_BYTES:
        size = 0
        for byte in content[start + 6 : start + _ID3_HEADER_BYTES]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_HEADER_BYTES if content[start + 5] & 0x10 else 0
        start += _ID3_HEADER_BYTES + size + footer
    return start


def header_at(content: bytes, offset: int) -> FrameHeader | None:
    """The layer III frame header at an offset; None where there is none."""
    head = content[offset : offset + _HEADER_BYTES]
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, rate_index, bits_index = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version not in _DIVISORS or rate_index == 3 or not 1 <= bits_index <= 14:
        return None
    rate_hz = _RATES_V1[rate_index] // _DIVISORS[version]
    is_v1 = version == 3
    kbits = (_KBITS_V1 if is_v1 else _KBITS_V2)[bits_index - 1]
    samples = 1152 if is_v1 else 576
    length = samples // 8 * kbits * 1000 // rate_hz + (head[2] >> 1 & 1)
    return FrameHeader(length, samples, rate_hz)


def check_complete(content: bytes, max_seconds: float) -> float:
    """Walk over all frames.

    Returns:
        Seconds that the frames last; it stops counting once `max_seconds` are exceeded.

    Raises:
        UnreadableMedia: no frame at all, or the file ends early.
    """
    offset = skip_id3(content)
    first = header_at(content, offset)
    if first is None:
        raise unreadable(_MEDIA_TYPE, "no MPEG layer III frame follows the tags")
    announced = _announced_frames(content[offset : offset + first.length])
    frames, seconds = 0, 0.0
    header: FrameHeader | None = first
    while header is not None and seconds <= max_seconds:
        if offset + header.length > len(content):
            raise unreadable(_MEDIA_TYPE, f"it ends in the middle of frame {frames + 1}")
        offset += header.length
        frames += 1
        seconds += header.samples / header.rate_hz
        header = header_at(content, offset)
    at_end = len(content) - offset < _HEADER_BYTES or content.startswith(_TRAILERS, offset)
    if at_end and frames < announced:
        raise unreadable(_MEDIA_TYPE, f"it announces {announced} frames and holds {frames}")
    return seconds


def _announced_frames(frame: bytes) -> int:
    """Frames that the encoder's Xing or Info tag counts; 0 where there is none."""
    for tag in (b"Xing", b"Info"):
        at = frame.find(tag)
        if at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    return 0
