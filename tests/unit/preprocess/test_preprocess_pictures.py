import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from pellucid import tensors
from pellucid.contracts import Layout
from preprocess_service import geometry
from preprocess_service.media import ImageFacts
from tests.unit.preprocess.files import image_contract, pixels, png, read, save, smooth_jpeg


def tensor(content: bytes, **contract: Any) -> Any:
    return read(content, image_contract(**contract)).windows[0].tensor


def test_a_png_of_the_models_size_keeps_every_value():
    values = pixels()
    expected = (values.astype(np.float32) / np.float32(255) - np.float32(0.25)) / np.float32(0.5)
    found = tensor(png(values), mean=(0.25,), std=(0.5,))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[np.newaxis])


def test_a_jpeg_of_the_models_size_has_the_values_that_training_saw():
    content = smooth_jpeg("L", (32, 24))
    seen = np.asarray(Image.open(BytesIO(content)).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor(content)[0], seen)


def test_sixteen_bits_survive():
    values = pixels(dtype=np.uint16)
    found = tensor(png(values))
    np.testing.assert_array_equal(found[0], values.astype(np.float32) / np.float32(65535))


def test_resizing_covers_all_pixels_and_keeps_sixteen_bits():
    values = pixels(96, 128, dtype=np.uint16)
    floats = Image.fromarray(values.astype(np.float32))
    expected = np.asarray(floats.resize((32, 24), Image.Resampling.BILINEAR)) / 65535
    np.testing.assert_allclose(tensor(png(values))[0], expected, rtol=1e-6)


def test_colour_becomes_grey_as_in_training():
    values = pixels(24, 32, 3)
    expected = np.asarray(Image.fromarray(values).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor(png(values))[0], expected)


def test_channels_keep_their_order_and_their_own_normalisation():
    values = pixels(24, 32, 3)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    found = tensor(png(values), channels=3, layout=Layout.HWC, mean=mean, std=std)
    expected = (values / 255 - np.array(mean)) / np.array(std)
    assert found.shape == (24, 32, 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_grey_fills_all_channels_of_a_colour_model():
    found = tensor(png(pixels()), channels=3)
    assert found.shape == (3, 24, 32)
    np.testing.assert_array_equal(found[0], found[2])


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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


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


def test_texts_and_profiles_of_a_png_are_not_unpacked():
    info = PngInfo()
    info.add_text("bomb", "0" * (8 << 20), zip=True)
    values = pixels()
    content = png(values, pnginfo=info, icc_profile=b"0" * (10 << 20))
    np.testing.assert_array_equal(tensor(content), tensor(png(values)))


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


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(40, 120), (120, 40), (96, 128), (7, 5)])
def test_the_way_back_finds_the_original_point(fit: str, size: tuple[int, int]):
    """A ramp along each axis tells where in the original a pixel of the tensor comes from."""
    height, width = size
    for axis in ("x", "y"):
        length = width if axis == "x" else height
        ramp = np.rint((np.arange(length) + 0.5) / length * 60_000).astype(np.uint16)
        plane = np.tile(ramp, (height, 1)) if axis == "x" else np.tile(ramp[:, None], width)
        window = read(png(plane), image_contract(fit=fit)).windows[0]
        back = window.to_original
        rows, columns = np.mgrid[0:24, 0:32] + 0.5
        x = back.x_scale * columns + back.x_offset
        y = back.y_scale * rows + back.y_offset
        margin_x, margin_y = max(1.0, back.x_scale), max(1.0, back.y_scale)
        inside = (x > margin_x) & (x < width - margin_x) & (y > margin_y) & (y < height - margin_y)
        told = window.tensor[0] * 65535 / 60_000 * length
        expected = x if axis == "x" else y
        np.testing.assert_allclose(
            told[inside], expected[inside], atol=0.15
        )  # Pillow's weights are of whole pixels


def test_padding_is_black_and_keeps_the_shape_of_things():
    found = tensor(png(np.full((24, 8), 255, np.uint8)), fit="pad")[0]
    assert (found[:, 12:20] == 1).all()
    assert found.sum() == 24 * 8


def test_cropping_keeps_the_centre():
    values = np.zeros((24, 64), np.uint8)
    values[:, 16:48] = 255
    assert (tensor(png(values), fit="crop") == 1).all()


@pytest.mark.parametrize("side", [24, 224, 299, 2047])
def test_the_box_never_leaves_the_picture(side: int):
    contract = image_contract(height=side, width=side, fit="crop")
    for width in range(1, 400):
        for height in (1, 29, 224, width, 4_001):
            _, _, (left, top, right, bottom), _ = geometry._place(width, height, contract)
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_picture_of_any_size_fits(fit: str):
    for width in (1, 2, 29, 58, 116, 123, 225):
        for height in (1, 29, 225, 1_000):
            found = tensor(png(np.full((height, width), 255, np.uint8)), fit=fit, width=224)
            assert found.shape == (1, 24, 224)
            assert fit == "pad" or (found == 1).all()


def test_the_display_is_what_the_model_sees():
    values = pixels(24, 32, 3)
    result = read(png(values), image_contract(channels=3, mean=(0.5,) * 3, std=(0.2,) * 3))
    shown = Image.open(BytesIO(result.windows[0].display_png))
    np.testing.assert_array_equal(np.asarray(shown), values)


def test_the_digest_is_that_of_the_tensor():
    window = read(png(pixels()), image_contract()).windows[0]
    assert window.digest == tensors.digest(window.tensor)
