"""What a file is, by its content; its name is never asked for.

Libraries that do this know many more types, but not ours: `filetype` takes a FLAC behind an ID3 tag
for an MP3, any Ogg for sound, and misses RF64 and MP3 of low rates; `puremagic` misses DICOM.
"""

from typing import Final

from pellucid.errors import UnreadableMedia, UnsupportedMedia
from preprocess_service.errors import FIELD

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
DICOM: Final = "application/dicom"
WAV: Final = "audio/wav"
FLAC: Final = "audio/flac"
MP3: Final = "audio/mpeg"
OGG: Final = "audio/ogg"
UNKNOWN: Final = "application/octet-stream"

ACCEPTED: Final[dict[str, tuple[str, ...]]] = {
    "image": (PNG, JPEG, DICOM),
    "audio": (WAV, FLAC, MP3, OGG),
}
"""Media types by what a contract reads: its `media`."""
_NOUNS: Final = {"image": "pictures", "audio": "sound"}
_SIGNATURES: Final[tuple[tuple[bytes, int, bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", PNG),
    (b"\xff\xd8\xff", 0, b"", JPEG),
    (b"", 128, b"DICM", DICOM),
    (b"RIFF", 8, b"WAVE", WAV),
    (b"RF64", 8, b"WAVE", WAV),
    (b"fLaC", 0, b"", FLAC),
    (b"OggS", 28, b"\x01vorbis", OGG),
    (b"OggS", 28, b"OpusHead", OGG),
    (b"OggS", 28, b"\x7fFLAC", OGG),
    (b"OggS", 28, b"Speex   ", OGG),
    (b"OggS", 0, b"", "application/ogg"),
    (b"GIF8", 0, b"", "image/gif"),
    (b"BM", 0, b"", "image/bmp"),
    (b"II*\0", 0, b"", "image/tiff"),
    (b"MM\0*", 0, b"", "image/tiff"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"", 4, b"ftypheic", "image/heic"),
    (b"", 4, b"ftypmif1", "image/heif"),
    (b"", 4, b"ftypavif", "image/avif"),
    (b"", 4, b"ftyp", "video/mp4"),
    (b"\0\0\0\x0cjP  ", 0, b"", "image/jp2"),
    (b"\xff\x4f\xff\x51", 0, b"", "image/jp2"),
    (b"8BPS", 0, b"", "image/vnd.adobe.photoshop"),
    (b"%PDF", 0, b"", "application/pdf"),
    (b"PK\x03\x04", 0, b"", "application/zip"),
    (b"\x1f\x8b", 0, b"", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", 0, b"", "application/x-7z-compressed"),
    (b"\x1aE\xdf\xa3", 0, b"", "video/webm"),
    (b"RIFF", 8, b"AVI ", "video/x-msvideo"),
    (b"RIFF", 0, b"", UNKNOWN),
    (b"FORM", 0, b"", "audio/aiff"),
    (b".snd", 0, b"", "audio/basic"),
    (b"caff", 0, b"", "audio/x-caf"),
    (b"#!AMR", 0, b"", "audio/amr"),
    (b"wvpk", 0, b"", "audio/x-wavpack"),
    (b"\x7fELF", 0, b"", "application/x-executable"),
)
"""First bytes, an offset and what stands there; the first that fits counts."""
_TRUNCATED: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"fLaC")
_ID3_BYTES: Final = 10


def sniff(content: bytes, media: str) -> str:
    """Media type of a file that a contract which reads `media` can be filled from.

    Raises:
        UnreadableMedia: it is empty, or ends within its signature.
        UnsupportedMedia: it is something else; the error says what, and what is accepted.
    """
    if not content:
        raise UnreadableMedia("the file is empty", field=FIELD, remedy="send the file's bytes")
    found = identify(content)
    if found in ACCEPTED[media]:
        return found
    if any(signature.startswith(content) for signature in _TRUNCATED):
        raise UnreadableMedia(
            f"the file ends after {len(content)} bytes",
            field=FIELD,
            remedy="send the complete file",
        )
    accepted = ", ".join(ACCEPTED[media])
    raise UnsupportedMedia(
        f"the file is {found}, which a model for {_NOUNS[media]} does not read",
        field=FIELD,
        remedy=f"send one of: {accepted}",
        found=found,
        accepted=accepted,
    )


def identify(content: bytes) -> str:
    """Media type by content; `application/octet-stream` where nothing is recognised."""
    for first, offset, more, media_type in _SIGNATURES:
        if content.startswith(first) and content.startswith(more, offset):
            return media_type
    start = skip_id3(content)
    if start and content.startswith(b"fLaC", start):
        return FLAC
    if start or _is_mp3_frame(content[:4]):
        return MP3
    return _text(content[:1024])


def skip_id3(content: bytes) -> int:
    """Offset of what follows the ID3v2 tags at the start; 0 where there are none."""
    start = 0
    while content.startswith(b"ID3", start) and len(content) >= start + _ID3_BYTES:
        size = 0
        for byte in content[start + 6 : start + _ID3_BYTES]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_BYTES if content[start + 5] & 0x10 else 0
        start += _ID3_BYTES + size + footer
    return start


def _is_mp3_frame(head: bytes) -> bool:
    """Whether this is the header of an MPEG layer III frame: ISO/IEC 11172-3, 2.4.1.3."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version, bit_rate, sample_rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and 1 <= bit_rate <= 14 and sample_rate != 3


def _text(head: bytes) -> str:
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if lowered.startswith((b"<?xml", b"<svg")):
        return "image/svg+xml" if b"<svg" in lowered else "application/xml"
    printable = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)
    return "text/plain" if printable else UNKNOWN
