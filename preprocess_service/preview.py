"""What the model sees, as pictures for people."""

from functools import cache
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from PIL import Image

from pellucid.contracts.base import Doubles
from pellucid.tensors import FloatArray


def picture_png(values: FloatArray) -> bytes:
    """PNG of a picture of shape (H, W, C), from 0 to 1: grey for one channel, else RGB."""
    pixels = np.rint(values * 255).astype(np.uint8)
    return _png(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def spectrogram_png(cells: Doubles) -> bytes:
    """PNG of a spectrogram (bands, frames), 0 to 1, in magma; low bands are at the bottom."""
    shade = np.rint(cells * 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(shade[::-1])).convert("P")
    image.putpalette(_magma())
    return _png(image)


@cache
def _magma() -> bytes:
    colours = colormaps["magma"](np.arange(256))[:, :3]
    return bytes(np.rint(colours * 255).astype(np.uint8).tobytes())


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    # Level 6, the default, takes longer than decoding and resizing together, for a tenth less.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
