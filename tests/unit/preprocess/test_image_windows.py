from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from pellucid import tensors
from pellucid.contracts import Layout
from tests.unit.preprocess.files import image_contract, pixels, png, read


def tensor(content: bytes, **contract: Any) -> Any:
    return read(content, image_contract(**contract)).windows[0].tensor


def test_a_png_of_the_models_size_keeps_every_value():
    values = pixels()
    expected = (values.astype(np.float32) / np.float32(255) - np.float32(0.25)) / np.float32(0.5)
    found = tensor(png(values), mean=(0.25,), std=(0.5,))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[np.newaxis])


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


def test_the_preview_is_what_the_model_sees():
    values = pixels(24, 32, 3)
    result = read(png(values), image_contract(channels=3, mean=(0.5,) * 3, std=(0.2,) * 3))
    shown = Image.open(BytesIO(result.windows[0].preview_png))
    np.testing.assert_array_equal(np.asarray(shown), values)


def test_the_digest_is_that_of_the_tensor():
    window = read(png(pixels()), image_contract()).windows[0]
    assert window.digest == tensors.digest(window.tensor)
