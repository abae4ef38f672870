"""Whether a recording is all there: libsndfile plays what it gets, and a cut-off file is common."""

from preprocess_service.errors import unreadable
from preprocess_service.sniffing import OGG, WAV, skip_id3

_STREAMED = 0x7FFF_0000
"""From this length on, the header was written before the length was known: the samples then reach
to the end of the file."""
_FIRST_FRAME_BYTES = 2048
_COUNTS_FRAMES = 1
"""Flag of the tag in an MP3's first frame."""
_PAGE_BYTES = 27


def check_wav(content: bytes) -> None:
    """Check that the samples are all there.

    Raises:
        UnreadableMedia: a chunk is missing, or the header announces more than the file holds.
    """
    offset, large = 12, 0
    while offset + 8 <= len(content):
        kind = content[offset : offset + 4]
        length = int.from_bytes(content[offset + 4 : offset + 8], "little")
        if kind == b"ds64":  # RF64 keeps the lengths that need 64 bits here
            large = int.from_bytes(content[offset + 16 : offset + 24], "little")
        if kind == b"data":
            announced = large if large and length == 0xFFFF_FFFF else length
            _check_samples(announced, len(content) - offset - 8)
            return
        offset += 8 + length + length % 2
    raise unreadable(WAV, "it is cut off before its samples start")


def _check_samples(announced: int, held: int) -> None:
    if announced == 0 and held > 1:
        raise unreadable(WAV, f"its header announces no samples, {held} bytes follow")
    if held < announced < _STREAMED or announced > 0xFFFF_FFFF:
        raise unreadable(
            WAV, f"its header announces {announced} bytes of samples, the file holds {held}"
        )


def check_ogg(content: bytes) -> None:
    """Check that the last page is complete and marked as the last.

    Raises:
        UnreadableMedia: it is not, so the file was cut off.
    """
    start = content.rfind(b"OggS")
    table = start + _PAGE_BYTES
    if len(content) >= table:
        segments = content[table - 1]
        size = _PAGE_BYTES + segments + sum(content[table : table + segments])
        is_last = bool(content[start + 5] & 4)
        if is_last and start + size <= len(content):
            return
    raise unreadable(OGG, "it is cut off before its last page")


def is_counted(content: bytes) -> bool:
    """Whether an MP3 says how long it is; where it does not, libsndfile only guesses."""
    start = skip_id3(content)
    first = content[start : start + _FIRST_FRAME_BYTES]
    at = max(first.find(b"Xing"), first.find(b"Info"))
    return at > 0 and bool(int.from_bytes(first[at + 4 : at + 8], "big") & _COUNTS_FRAMES)
