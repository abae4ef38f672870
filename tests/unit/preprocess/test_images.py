import struct
import tracemalloc
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pellucid.errors import MediaLimitExceeded, PellucidError, UnreadableMedia, UnsupportedMedia
from preprocess_service.media import ImageFacts
from tests.unit.preprocess.files import chunk, image_contract, pixels, png, read, save, smooth_jpeg


def tensor(content: bytes, **contract: Any) -> Any:
    return read(content, image_contract(**contract)).windows[0].tensor


def test_a_jpeg_of_the_models_size_has_the_values_that_training_saw():
    content = smooth_jpeg("L", (32, 24))
    seen = np.asarray(Image.open(BytesIO(content)).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor(content)[0], seen)


def test_sixteen_bits_survive():
    values = pixels(dtype=np.uint16)
    found = tensor(png(values))
    np.testing.assert_array_equal(found[0], values.astype(np.float32) / np.float32(65535))


def test_colour_becomes_grey_as_in_training():
    values = pixels(24, 32, 3)
    expected = np.asarray(Image.fromarray(values).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor(png(values))[0], expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_colour_type_of_png_shows_the_same_picture(mode: str):
    image = Image.fromarray(np.where(pixels(24, 32) > 127, 255, 0).astype(np.uint8))
    expected = np.asarray(image, np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor(save(image.convert(mode), "PNG"))[0], expected)


def test_what_is_transparent_is_black():
    values = np.full((24, 32, 4), 255, np.uint8)
    values[:12, :, 3] = 0
    values[12:, :16, 3] = 128
    found = tensor(png(values))[0]
    assert (found[:12] == 0).all()
    np.testing.assert_allclose(found[12:, :16], 128 / 255, atol=1e-6)
    assert (found[12:, 16:] == 1).all()


def test_a_transparent_palette_entry_is_black():
    image = Image.new("P", (32, 24), 1)
    image.putpalette([0, 0, 0, 255, 255, 255, 200, 200, 200])
    image.paste(2, (0, 0, 32, 12))
    found = tensor(save(image, "PNG", transparency=2))[0]
    assert (found[:12] == 0).all()
    assert (found[12:] == 1).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_black(bits: int):
    top = (1 << bits) - 1
    found = tensor(grey_png(bits, [top] * 16 + [0] * 16, transparent=top))[0]
    assert (found == 0).all()
    opaque = tensor(grey_png(bits, [top] * 16 + [0] * 16, transparent=None))[0]
    assert (opaque[:, :16] == 1).all()


def grey_png(bits: int, row: list[int], transparent: int | None) -> bytes:
    """A grey PNG of any depth, 24 equal rows, written by hand."""
    joined = int("".join(format(value, f"0{bits}b") for value in row), 2)
    line = b"\0" + joined.to_bytes(len(row) * bits // 8, "big")
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", len(row), 24, bits, 0, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(">H", transparent)))
    chunks += [(b"IDAT", zlib.compress(line * 24)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def test_a_grey_alpha_png_of_sixteen_bits_is_read():
    line = b"\0" + struct.pack(">HH", 0x8000, 0xFFFF) * 32
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 32, 24, 16, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(line * 24)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)
    np.testing.assert_allclose(tensor(content), 0.5, atol=0.01)


def test_an_interlaced_png_is_read():
    """Adam7 of an 8 x 8 picture, written by hand: pass after pass."""
    values = pixels(8, 8)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b""
    for top, left, down, across in [*passes, (1, 0, 2, 1)]:
        rows += b"".join(b"\0" + row.tobytes() for row in values[top::down, left::across])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)
    found = tensor(content, height=8, width=8)[0]
    np.testing.assert_array_equal(found, values.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_colour_of_jpeg_shows_the_same_picture(mode: str, progressive: bool):
    expected = tensor(png(np.asarray(Image.linear_gradient("L").resize((32, 24)))))
    found = tensor(smooth_jpeg(mode, (32, 24), progressive=progressive))
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_inks_are_inverted_only_where_adobes_marker_says_so():
    content = save(Image.new("CMYK", (32, 24), (0, 0, 0, 0)), "JPEG")
    start = content.index(b"\xff\xee")
    plain = content[:start] + content[start + 2 + content[start + 3] :]
    assert (tensor(content) > 0.98).all()
    assert (tensor(plain) < 0.02).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photograph_is_turned_upright(orientation: int, kind: str):
    image = Image.linear_gradient("L").resize((32, 24)).rotate(30)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = save(image, kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    assert upright is not None
    result = read(content, image_contract(height=upright.height, width=upright.width))
    facts = result.facts
    assert isinstance(facts, ImageFacts)
    assert (facts.width, facts.height, facts.orientation) == (*upright.size, orientation)
    expected = np.asarray(upright, np.float32) / np.float32(255)
    np.testing.assert_array_equal(result.windows[0].tensor[0], expected)


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(pixels()), Image.fromarray(pixels()[::-1].copy())]
    return save(pictures[0], kind, save_all=True, append_images=pictures[1:])


def test_an_animated_png_is_unsupported():
    with pytest.raises(UnsupportedMedia):
        read(frames("PNG"), image_contract())


@pytest.mark.parametrize(
    "content",
    [
        png(pixels(200, 300)),
        smooth_jpeg("RGB", (300, 200)),
        smooth_jpeg("L", (300, 200), progressive=True),
    ],
    ids=["png", "jpeg", "progressive"],
)
def test_a_picture_that_is_cut_off_is_never_half_shown(content: bytes):
    for size in np.linspace(40, len(content) - 1, 60, dtype=int):
        with pytest.raises(UnreadableMedia):
            read(content[:size], image_contract())


def test_every_flipped_bit_of_a_png_is_noticed():
    content = png(pixels())
    for offset in range(8, len(content), 17):
        damaged = bytearray(content)
        damaged[offset] ^= 4
        with pytest.raises(PellucidError):
            read(bytes(damaged), image_contract())


def huge_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_huge_picture_in_a_small_file_is_refused_at_once():
    content = huge_png(50_000)
    assert len(content) < 5_000
    tracemalloc.start()
    with pytest.raises(MediaLimitExceeded) as caught:
        read(content, image_contract())
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert caught.value.metadata["limit"] == "max_pixels"
    assert caught.value.metadata["actual"] == "2500000000"


@pytest.mark.parametrize("process", [b"\xff\xc3", b"\xff\xc9", b"\xff\xcb"])
def test_a_jpeg_of_another_process_is_unsupported(process: bytes):
    with pytest.raises(UnsupportedMedia):
        read(smooth_jpeg().replace(b"\xff\xc0", process, 1), image_contract())


def test_a_jpeg_with_fill_bytes_and_a_comment_is_read():
    content = smooth_jpeg("L", (32, 24), comment=b"\xff\xd8\xff\xc0")
    at = content.index(b"\xff\xdb")
    filled = content[:at] + b"\xff" * 3 + content[at:]
    np.testing.assert_array_equal(tensor(filled), tensor(content))
