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


CONTINUED, FIRST, LAST = 1, 2, 4


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


def page(packet: bytes, number: int, flags: int = 0, *, version: int = 0, stream: int = 1) -> bytes:
    """A page of one packet, which the next page must continue if it has full segments alone."""
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    segments = segments.removesuffix(b"\0") if packet else segments
    head = b"OggS" + bytes([version, flags]) + bytes(8) + struct.pack("<II", stream, number)
    body = bytes([len(segments)]) + segments + packet
    return head + vorbis._checksum(head + bytes(4) + body) + body


def ogg(*packets: bytes, stream: int = 1) -> bytes:
    """An Ogg file of one packet a page."""
    last = len(packets) - 1
    return b"".join(
        page(packet, index, FIRST * (index == 0) + LAST * (index == last), stream=stream)
        for index, packet in enumerate(packets)
    )


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


def test_a_first_page_that_is_marked_as_the_last_hides_no_code_books():
    books = page(code_books(9, (1 << 23) - 1), 2) + page(b"\0", 3, LAST)
    content = page(VORBIS, 0, FIRST | LAST) + page(COMMENT, 1, LAST) + books
    assert refused(content, MediaLimitExceeded)["limit"] == "code_book_entries"


@pytest.mark.parametrize(
    "dropped",
    [
        page(b"junk", 1, CONTINUED),
        page(b"junk", 1, version=1),
        page(bytes(255), 1) + page(b"junk", 2),
        page(bytes(255), 1) + page(b"junk", 3, CONTINUED),
    ],
    ids=["continues nothing", "other version", "not continued", "page lost"],
)
def test_a_page_that_decoders_drop_hides_no_code_books(dropped: bytes):
    books = page(code_books(9, (1 << 23) - 1), 5) + page(b"\0", 6, LAST)
    content = page(VORBIS, 0, FIRST) + dropped + page(COMMENT, 4) + books
    assert refused(content)["why"] == "a page of its header is out of place"


def test_a_stream_that_ends_before_its_code_books_is_unreadable():
    refused(ogg(VORBIS, COMMENT))
    refused(ogg(VORBIS))


def test_vast_setups_are_refused_before_they_are_searched():
    setup = b"\x05vorbis" + b"BCV" * 700_000
    at = range(0, len(setup), 255 * 255)
    pages = [
        page(setup[start : start + 255 * 255], index + 2, CONTINUED * (index > 0))
        for index, start in enumerate(at)
    ]
    content = page(VORBIS, 0, FIRST) + page(COMMENT, 1) + b"".join(pages)
    metadata = refused(content + page(b"\0", 99, LAST), MediaLimitExceeded)
    assert (metadata["limit"], metadata["actual"]) == ("code_book_bytes", str(len(setup)))


def test_the_headers_of_a_stream_may_share_and_span_pages():
    whole = sound(np.zeros(4_000), "OGG")
    pages = list(vorbis._pages(whole))
    assert len(pages[1].segments) > 10  # the comment and the code books
    vorbis.check_code_books(whole, lambda: None)
    comment = COMMENT[:-1] + bytes(255 * 9) + b"\1"
    content = page(VORBIS, 0, FIRST) + page(comment[:255], 1) + page(comment[255:], 2, CONTINUED)
    vast = page(code_books(9, (1 << 23) - 1), 3) + page(b"\0", 4, LAST)
    refused(content + vast, MediaLimitExceeded)


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
