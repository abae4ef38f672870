"""Small files that would unpack to much, take forever, or crash a decoder; and their look-alikes.

They are read in a real worker. Each is refused with its reason, or read as what it is.
"""

import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from PIL.PngImagePlugin import PngInfo
from pydicom import uid

from pellucid.contracts import InputSpec
from pellucid.errors import InvalidArgument, MediaLimitExceeded, UnreadableMedia, UnsupportedMedia
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from tests.unit.preprocess.files import (
    chunk,
    compressed,
    dataset,
    image_contract,
    jpeg_2000,
    ogg_checksum,
    pixels,
    png,
    segment,
    smooth_jpeg,
    sound,
    sound_contract,
)
from tests.unit.preprocess.workers import read_in, running_pool

IMAGE, SOUND = image_contract(), sound_contract()
CONTINUED, FIRST, LAST = 1, 2, 4
MEMORY = 512 << 20


@pytest.fixture
async def pool(fork_server: ForkServer) -> AsyncIterator[DecodingPool]:
    limits = {"decode_timeout_s": 20, "decode_memory_bytes": MEMORY}
    async with running_pool(fork_server, **limits) as pool:
        yield pool


async def refused(
    pool: DecodingPool, content: bytes, *kinds: type[InvalidArgument], contract: InputSpec = IMAGE
) -> InvalidArgument:
    """The error of one of these kinds, the first by default `UnreadableMedia`."""
    with pytest.raises(InvalidArgument) as caught:
        await read_in(pool, content, contract)
    assert type(caught.value) in (kinds or (UnreadableMedia,))
    assert caught.value.field == "content"
    assert caught.value.remedy
    return caught.value


async def same(pool: DecodingPool, content: bytes, plain: bytes) -> bool:
    """Whether two files are read as the same picture."""
    found, expected = await read_in(pool, content, IMAGE), await read_in(pool, plain, IMAGE)
    return found.windows[0].digest == expected.windows[0].digest


# PNG


async def test_a_second_header_of_a_png_counts_before_the_pixels_only(pool: DecodingPool):
    content = png(pixels())
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    at = content.index(b"IDAT") - 4
    error = await refused(pool, content[:at] + second + content[at:], MediaLimitExceeded)
    assert error.metadata["limit"] == "max_pixels"
    at = content.index(b"IEND") - 4
    assert await same(pool, content[:at] + second + content[at:], content)


async def test_texts_and_profiles_of_a_png_do_not_matter(pool: DecodingPool):
    info = PngInfo()
    info.add_text("bomb", "0" * (8 << 20), zip=True)
    content = png(pixels(), pnginfo=info, icc_profile=b"0" * (10 << 20))
    assert await same(pool, content, png(pixels()))


async def test_a_text_that_unpacks_to_more_than_the_memory_is_refused(pool: DecodingPool):
    packer = zlib.compressobj(9)
    text = b"bomb\0\0" + b"".join(packer.compress(bytes(1 << 20)) for _ in range(1_000))
    content = png(pixels())
    at = content.index(b"IDAT") - 4
    bomb = content[:at] + chunk(b"zTXt", text + packer.flush()) + content[at:]
    error = await refused(pool, bomb, MediaLimitExceeded)
    assert error.metadata["limit"] == "decode_memory_bytes"
    assert error.metadata["maximum"] == str(MEMORY)
    assert await same(pool, content, content)


# JPEG


def size_of_jpeg(side: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")


MARKERS = [0x00, 0x01, 0x51, 0xC8, 0xD0, 0xDE, 0xDF, 0xF0, 0xF8]


@pytest.mark.parametrize("before", [b"\xff\xc0", b"\xff\xda"], ids=["frame", "scan"])
@pytest.mark.parametrize("marker", MARKERS)
async def test_nothing_hides_in_a_segment_that_decoders_do_not_skip(
    pool: DecodingPool, marker: int, before: bytes
):
    for kind in ("L", "RGB"):
        content = smooth_jpeg(kind)
        at = content.index(before)
        hidden = content[:at] + segment(marker, size_of_jpeg(60_000)) + content[at:]
        await refused(pool, hidden, UnreadableMedia, MediaLimitExceeded)


async def test_a_size_in_a_segment_that_decoders_skip_is_none(pool: DecodingPool):
    content = smooth_jpeg()
    for before in (b"\xff\xc0", b"\xff\xda"):
        at = content.index(before)
        hidden = content[:at] + segment(0xDC, size_of_jpeg(60_000)) + content[at:]
        assert await same(pool, hidden, content)


@pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3, 0xF7])
async def test_a_jpeg_of_two_headers_is_refused(pool: DecodingPool, marker: int):
    content = smooth_jpeg("L")
    for before in (b"\xff\xda", b"\xff\xc0"):
        at = content.index(before)
        doubled = content[:at] + size_of_jpeg(60_000, marker) + content[at:]
        await refused(pool, doubled, UnreadableMedia, UnsupportedMedia, MediaLimitExceeded)


async def test_a_jpeg_of_many_scans_is_read(pool: DecodingPool):
    content = smooth_jpeg("L", (64, 48), progressive=True)
    scans = content[content.index(b"\xff\xda") : -2]
    assert (await read_in(pool, content[:-2] + scans * 40 + content[-2:], IMAGE)).windows


async def test_a_large_jpeg_of_endless_scans_takes_too_long(fork_server: ForkServer):
    content = smooth_jpeg("L", (4_000, 4_000), progressive=True)
    scans = segment(0xDA, b"\1\1\0\x3f\x3f\x10") * 100_000
    async with running_pool(fork_server, decode_timeout_s=1) as pool:
        error = await refused(pool, content[:-2] + scans + content[-2:], MediaLimitExceeded)
        assert error.metadata["limit"] == "decode_timeout_s"
        assert (await read_in(pool, smooth_jpeg(), IMAGE)).windows


# DICOM


async def test_a_dicom_files_jpeg_is_held_to_the_same_rules(pool: DecodingPool):
    content = smooth_jpeg("L", (32, 24))
    assert (await read_in(pool, compressed(uid.JPEGBaseline8Bit, content), IMAGE)).windows
    at = content.index(b"\xff\xda")
    for hidden in (segment(0, size_of_jpeg(60_000)), size_of_jpeg(60_000)):
        bomb = compressed(uid.JPEGBaseline8Bit, content[:at] + hidden + content[at:])
        await refused(pool, bomb)
    await refused(pool, compressed(uid.JPEGLSLossless, content))


async def test_boxes_of_jpeg_2000_that_lie_about_the_size_are_refused(pool: DecodingPool):
    frame = bytearray(jpeg_2000())
    at = frame.index(b"ihdr") + 4
    frame[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    await refused(pool, compressed(uid.JPEG2000Lossless, bytes(frame)))


async def test_a_jpeg_is_not_taken_for_the_jpeg_2000_in_its_comment(pool: DecodingPool):
    large = smooth_jpeg("L", (3_000, 3_000))
    hidden = large[:2] + segment(0xFE, jpeg_2000(no_jp2=True)) + large[2:]
    await refused(pool, compressed(uid.JPEG2000Lossless, hidden))


async def test_many_tiles_cost_no_more_than_memory(pool: DecodingPool):
    frame = bytearray(jpeg_2000(np.zeros((1_023, 1_023), np.uint8), no_jp2=True))
    frame[24:32] = struct.pack(">II", 1, 1)
    picture = dataset(pixels(1_023, 1_023))
    bomb = compressed(uid.JPEG2000Lossless, bytes(frame), picture=picture)
    await refused(pool, bomb, UnreadableMedia, MediaLimitExceeded)
    assert await same(pool, png(pixels()), png(pixels()))


@pytest.mark.parametrize("in_tile", [False, True])
async def test_many_precincts_take_too_much_memory(pool: DecodingPool, in_tile: bool):
    values = np.zeros((1_024, 1_024), np.uint8)
    frame = jpeg_2000(values, no_jp2=True, num_resolutions=1)
    style = bytearray(frame[frame.index(b"\xff\x52") + 4 : frame.index(b"\xff\x5c")])
    style[0] |= 1
    small = segment(0x52, bytes(style) + b"\0")
    at = frame.index(b"\xff\x90") if not in_tile else frame.index(b"\xff\x93")
    bomb = bytearray(frame[:at] + small + frame[at:])
    if in_tile:
        part = frame.index(b"\xff\x90") + 6
        length = int.from_bytes(frame[part : part + 4], "big") + len(small)
        bomb[part : part + 4] = length.to_bytes(4, "big")
    content = compressed(uid.JPEG2000Lossless, bytes(bomb), picture=dataset(values))
    error = await refused(pool, content, MediaLimitExceeded)
    assert error.metadata["limit"] == "decode_memory_bytes"


async def test_many_styles_are_unreadable(pool: DecodingPool):
    frame = jpeg_2000(no_jp2=True)
    at = frame.index(b"\xff\x5c")
    style = frame[frame.index(b"\xff\x52") + 4 : at]
    styles = b"".join(segment(0x52, style + struct.pack(">H", number)) for number in range(300))
    await refused(pool, compressed(uid.JPEG2000Lossless, frame[:at] + styles + frame[at:]))


async def test_run_lengths_unpack_to_the_picture_and_no_further_than_memory(pool: DecodingPool):
    head = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    small = await read_in(pool, compressed(uid.RLELossless, head + b"\x81\xff" * (1 << 18)), IMAGE)
    assert set(small.windows[0].tensor.data) == set(np.ones(1, "<f4").tobytes())
    bomb = compressed(uid.RLELossless, head + b"\x81\xff" * (12 << 20))
    error = await refused(pool, bomb, MediaLimitExceeded)
    assert error.metadata["limit"] == "decode_memory_bytes"


# Vorbis


def page(packet: bytes, number: int, flags: int = 0, *, version: int = 0, stream: int = 1) -> bytes:
    """A page of one packet, which the next page must continue if it has full segments alone."""
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    segments = segments.removesuffix(b"\0") if packet else segments
    head = b"OggS" + bytes([version, flags]) + bytes(8) + struct.pack("<II", stream, number)
    body = bytes([len(segments)]) + segments + packet
    return head + ogg_checksum(head + bytes(4) + body) + body


def ogg(*packets: bytes, stream: int = 1) -> bytes:
    """An Ogg file of one packet a page."""
    last = len(packets) - 1
    return b"".join(
        page(packet, index, FIRST * (index == 0) + LAST * (index == last), stream=stream)
        for index, packet in enumerate(packets)
    )


def code_books(count: int, entries: int = (1 << 23) - 1) -> bytes:
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
async def test_vast_code_books_cost_their_own_file_only(pool: DecodingPool, count: int):
    """libvorbis does not look whether it got the memory: it takes too much, or crashes."""
    content = ogg(VORBIS, COMMENT, code_books(count), b"\0")
    assert len(content) < 4_000
    await refused(pool, content, UnreadableMedia, MediaLimitExceeded, contract=SOUND)
    assert (await read_in(pool, sound(np.zeros(4_000), "OGG"), SOUND)).windows


BOOKS = code_books(9)
DROPPED = {
    "continues nothing": page(b"junk", 1, CONTINUED),
    "other version": page(b"junk", 1, version=1),
    "not continued": page(bytes(255), 1) + page(b"junk", 2),
    "page lost": page(bytes(255), 1) + page(b"junk", 3, CONTINUED),
}
VAST = b"\x05vorbis" + b"BCV" * 700_000
LONG_COMMENT = COMMENT[:-1] + bytes(255 * 9) + b"\1"
ODD_OGGS = {
    "ends at once": ogg(VORBIS) + ogg(VORBIS, COMMENT, BOOKS, b"\0", stream=2),
    "first marked last": page(VORBIS, 0, FIRST | LAST)
    + page(COMMENT, 1, LAST)
    + page(BOOKS, 2)
    + page(b"\0", 3, LAST),
    **{
        name: page(VORBIS, 0, FIRST)
        + dropped
        + page(COMMENT, 4)
        + page(BOOKS, 5)
        + page(b"\0", 6, LAST)
        for name, dropped in DROPPED.items()
    },
    "no code books": ogg(VORBIS, COMMENT),
    "no comment": ogg(VORBIS),
    "vast setup": page(VORBIS, 0, FIRST)
    + page(COMMENT, 1)
    + b"".join(
        page(VAST[start : start + 255 * 255], number + 2, CONTINUED * (number > 0))
        for number, start in enumerate(range(0, len(VAST), 255 * 255))
    )
    + page(b"\0", 99, LAST),
    "spanning pages": page(VORBIS, 0, FIRST)
    + page(LONG_COMMENT[:255], 1)
    + page(LONG_COMMENT[255:], 2, CONTINUED)
    + page(BOOKS, 3)
    + page(b"\0", 4, LAST),
    "20 streams": b"".join(ogg(VORBIS, stream=stream) for stream in range(20)),
}


@pytest.mark.parametrize("name", ODD_OGGS)
async def test_an_odd_ogg_is_refused(pool: DecodingPool, name: str):
    await refused(pool, ODD_OGGS[name], UnreadableMedia, MediaLimitExceeded, contract=SOUND)


async def test_a_damaged_page_of_an_oggs_header_is_unreadable(pool: DecodingPool):
    content = bytearray(ogg(VORBIS, COMMENT, code_books(1, 9), b"\0"))
    content[60] ^= 1
    await refused(pool, bytes(content), contract=SOUND)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (48_000, 6)])
async def test_the_code_books_of_encoders_are_read(pool: DecodingPool, rate: int, channels: int):
    content = sound(np.zeros((rate, channels)), "OGG", rate=rate)
    assert (await read_in(pool, content, SOUND)).windows


# Length


def flac_without_length(seconds: int, rate: int) -> bytes:
    """A FLAC whose header leaves the number of samples open, as streams do."""
    content = bytearray(sound(np.zeros(seconds * rate, np.int16), "FLAC", rate=rate))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


async def test_a_recording_that_does_not_tell_its_length_is_counted(pool: DecodingPool):
    error = await refused(pool, flac_without_length(600, 8_000), MediaLimitExceeded, contract=SOUND)
    assert error.metadata["limit"] == "max_audio_seconds"
    assert float(error.metadata["actual"]) < 400  # it stopped at the block that was too much


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
async def test_a_recording_is_counted_whatever_its_header_says(fork_server: ForkServer, kind: str):
    content: Any = sound(np.zeros(3 * 8_000), kind, rate=8_000)
    async with running_pool(fork_server, max_audio_samples=16_000) as pool:
        await refused(pool, content, MediaLimitExceeded, contract=SOUND)
