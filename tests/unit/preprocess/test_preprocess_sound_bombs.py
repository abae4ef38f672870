"""Small recordings that would unpack to much, whatever their headers say."""

import struct

import numpy as np
import pytest

from pellucid.errors import MediaLimitExceeded, PellucidError, UnreadableMedia
from preprocess_service import vorbis
from tests.unit.preprocess.files import read, sound, sound_contract


def refused(content: bytes, kind: type[PellucidError] = UnreadableMedia) -> dict[str, str]:
    with pytest.raises(kind) as caught:
        read(content, sound_contract())
    return caught.value.metadata


def flac_without_length(seconds: int, rate: int) -> bytes:
    """A FLAC whose header leaves the number of samples open, as streams do."""
    content = bytearray(sound(np.zeros(seconds * rate, np.int16), "FLAC", rate=rate))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def test_a_recording_that_does_not_tell_its_length_is_counted():
    content = flac_without_length(600, 8_000)
    metadata = refused(content, MediaLimitExceeded)
    assert metadata["limit"] == "max_audio_seconds"
    assert float(metadata["actual"]) < 400  # it stopped at the block that was too much


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
def test_a_recording_is_counted_whatever_its_header_says(kind: str):
    content = sound(np.zeros(3 * 8_000), kind, rate=8_000)
    with pytest.raises(MediaLimitExceeded):
        read(content, sound_contract(), max_audio_samples=16_000)


def ogg(*packets: bytes, stream: int = 1) -> bytes:
    """An Ogg file of one packet a page."""
    pages = []
    for index, packet in enumerate(packets):
        flags = 2 * (index == 0) + 4 * (index == len(packets) - 1)
        segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        head = b"OggS\0" + bytes([flags]) + bytes(8) + struct.pack("<II", stream, index)
        body = bytes([len(segments)]) + segments + packet
        blank = head + bytes(4) + body
        pages.append(head + vorbis._checksum(blank) + body)
    return b"".join(pages)


def code_books(count: int, entries: int) -> bytes:
    """The setup of a Vorbis stream: ordered books whose words all have 23 bits."""
    fields = [(count - 1, 8)]
    for _ in range(count):
        fields += [(0x564342, 24), (1, 16), (entries, 24), (1, 1), (22, 5)]
        fields += [(entries, entries.bit_length()), (0, 4)]
    bits, at = 0, 0
    for value, width in fields:
        bits |= value << at
        at += width
    return b"\x05vorbis" + bits.to_bytes(at // 8 + 1, "little")


VORBIS = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 16_000, 0, 64_000, 0, 0xB8, 1)
COMMENT = b"\x03vorbis" + bytes(8) + b"\1"


@pytest.mark.parametrize("count", [1, 100, 256])
def test_vast_code_books_are_refused(count: int):
    content = ogg(VORBIS, COMMENT, code_books(count, (1 << 23) - 1), b"\0")
    assert len(content) < 4_000
    metadata = refused(content, MediaLimitExceeded)
    assert metadata["limit"] == "code_book_entries"
    assert metadata["actual"] == str(count * ((1 << 23) - 1))


def test_a_stream_that_ends_at_once_hides_no_code_books():
    books = ogg(VORBIS, COMMENT, code_books(9, (1 << 23) - 1), b"\0", stream=2)
    refused(ogg(VORBIS) + books, MediaLimitExceeded)


def test_an_ogg_of_many_streams_is_unreadable():
    content = b"".join(ogg(VORBIS, stream=stream) for stream in range(20))
    assert refused(content)["why"] == "it starts with too many streams"


def test_a_damaged_page_of_an_oggs_header_is_unreadable():
    content = bytearray(ogg(VORBIS, COMMENT, code_books(1, 9), b"\0"))
    content[60] ^= 1
    assert "page" in refused(bytes(content))["why"]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (48_000, 6)])
def test_the_code_books_of_encoders_are_read(rate: int, channels: int):
    content = sound(np.zeros((rate, channels)), "OGG", rate=rate)
    assert read(content, sound_contract()).windows
