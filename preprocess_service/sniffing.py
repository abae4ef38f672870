"""What a file is, by its content; its name is never asked for."""

from enum import StrEnum
from typing import Final

from pellucid.errors import UnreadableMedia, UnsupportedMedia
from preprocess_service import mp3
from preprocess_service.refusals import FIELD

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
DICOM: Final = "application/dicom"
WAV: Final = "audio/wav"
FLAC: Final = "audio/flac"
MP3: Final = "audio/mpeg"
OGG: Final = "audio/ogg"
UNKNOWN: Final = "application/octet-stream"


class Kind(StrEnum):
    """What a contract is made for."""

    IMAGE = "image"
    AUDIO = "audio"


ACCEPTED: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.IMAGE: (PNG, JPEG, DICOM),
    Kind.AUDIO: (WAV, FLAC, MP3, OGG),
}

_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"\xff\xd8\xff", JPEG),
    (128, b"DICM", DICOM),
    (0, b"fLaC", FLAC),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"\0\0\0\x0cjP  ", "image/jp2"),
    (0, b"\xff\x4f\xff\x51", "image/jp2"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"%PDF", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"FORM", "audio/aiff"),
    (0, b".snd", "audio/basic"),
    (0, b"caff", "audio/x-caf"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"wvpk", "audio/x-wavpack"),
    (0, b"\x7fELF", "application/x-executable"),
)
_RIFF: Final = {b"WAVE": WAV, b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_ISO_BRANDS: Final = {b"heic": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
_OGG_CODECS: Final = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_OGG_FIRST_PACKET: Final = 28


def sniff(content: bytes, kind: Kind) -> str:
    """Media type of a file that a contract of this kind can be filled from.

    Raises:
        UnreadableMedia: it is empty, or ends within its signature.
        UnsupportedMedia: it is something else; the error says what, and what is accepted.
    """
    if not content:
        raise UnreadableMedia("the file is empty", field=FIELD, remedy="send the file's bytes")
    found = identify(content)
    if found in ACCEPTED[kind]:
        return found
    if _is_start_of_signature(content):
        raise UnreadableMedia(
            f"the file ends after {len(content)} bytes",
            field=FIELD,
            remedy="send the complete file",
        )
    accepted = ", ".join(ACCEPTED[kind])
    raise UnsupportedMedia(
        f"the file is {found}, which a model for {_NOUNS[kind]} does not read",
        field=FIELD,
        remedy=f"send one of: {accepted}",
        found=found,
        accepted=accepted,
    )


_NOUNS: Final = {Kind.IMAGE: "pictures", Kind.AUDIO: "sound"}


def identify(content: bytes) -> str:
    """Media type by content; `application/octet-stream` where nothing is recognised."""
    for offset, magic, media_type in _MAGIC:
        if content.startswith(magic, offset):
            return media_type
    if content[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(content[8:12], UNKNOWN)
    if content[:4] == b"OggS":
        is_sound = any(content.startswith(codec, _OGG_FIRST_PACKET) for codec in _OGG_CODECS)
        return OGG if is_sound else "application/ogg"
    if content[4:8] == b"ftyp":
        return _ISO_BRANDS.get(content[8:12], "video/mp4")
    start = mp3.skip_id3(content)
    if start and content.startswith(b"fLaC", start):
        return FLAC
    if start or mp3.header_at(content, 0) is not None:
        return MP3
    return _text(content[:1024])


def _text(head: bytes) -> str:
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if lowered.startswith((b"<?xml", b"<svg")):
        return "image/svg+xml" if b"<svg" in lowered else "application/xml"
    printable = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)
    return "text/plain" if printable else UNKNOWN


def _is_start_of_signature(content: bytes) -> bool:
    signatures = [magic for offset, magic, kind in _MAGIC if offset == 0 and kind in (PNG, FLAC)]
    return any(signature.startswith(content) for signature in (*signatures, b"\xff\xd8"))
