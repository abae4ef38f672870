from typing import Any

import numpy as np
import pytest
from PIL import Image

from preprocess_service import geometry
from tests.unit.preprocess.files import image_contract, pixels, png, read


def tensor(content: bytes, **contract: Any) -> Any:
    return read(content, image_contract(**contract)).windows[0].tensor


def test_resizing_covers_all_pixels_and_keeps_sixteen_bits():
    values = pixels(96, 128, dtype=np.uint16)
    floats = Image.fromarray(values.astype(np.float32))
    expected = np.asarray(floats.resize((32, 24), Image.Resampling.BILINEAR)) / 65535
    np.testing.assert_allclose(tensor(png(values))[0], expected, rtol=1e-6)


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
            _, _, (left, top, right, bottom), _ = geometry.place(width, height, contract)
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_picture_of_any_size_fits(fit: str):
    for width in (1, 2, 29, 58, 116, 123, 225):
        for height in (1, 29, 225, 1_000):
            found = tensor(png(np.full((height, width), 255, np.uint8)), fit=fit, width=224)
            assert found.shape == (1, 24, 224)
            assert fit == "pad" or (found == 1).all()
