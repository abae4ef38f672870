"""A picture to the size that a model wants, and the way back."""

import numpy as np
from PIL import Image

from pellucid.contracts import ImageContract
from pellucid.tensors import Array, FloatArray
from preprocess_service.media import Affine, Picture

Box = tuple[float, float, float, float]


def fit(picture: Picture, contract: ImageContract) -> tuple[FloatArray, Affine]:
    """Bring a picture to the model's size and channels.

    Resizing is bilinear over all pixels that a new one covers, in float32, so that 16 bits
    survive; a picture that has the size already keeps its values.

    Returns:
        Shape (H, W, C), from 0 (black) to 1 (white); and the way back to the picture.
    """
    placement = place(picture.facts.width, picture.facts.height, contract)
    size, corner, box, back = placement
    result = np.zeros((contract.height, contract.width, contract.channels), np.float32)
    rows = slice(corner[1], corner[1] + size[1])
    columns = slice(corner[0], corner[0] + size[0])
    for channel, plane in enumerate(_planes(picture, contract.channels)):
        result[rows, columns, channel] = _resize(plane, size, box)
        if picture.values.ndim == 2 or contract.channels == 1:
            result[rows, columns] = result[rows, columns, :1]
            break
    result /= np.float32(picture.white)
    return result.clip(0, 1), back


def _planes(picture: Picture, channels: int) -> list[Array]:
    """Shapes (H, W): one for grey, three for RGB."""
    values = picture.values
    if values.ndim == 2:
        return [values]
    if channels == 1:  # as training did: luma of ITU-R 601-2, rounded
        return [np.asarray(Image.fromarray(values).convert("L"))]
    return [values[:, :, channel] for channel in range(3)]


def _resize(plane: Array, size: tuple[int, int], box: Box) -> FloatArray:
    image = Image.fromarray(plane.astype(np.float32))
    if box == (0, 0, *size) and image.size == size:
        return np.asarray(image)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))


def place(
    width: int, height: int, contract: ImageContract
) -> tuple[tuple[int, int], tuple[int, int], Box, Affine]:
    """New size, its corner in the tensor, the part of the original that is used, the way back."""
    across, down = width / contract.width, height / contract.height
    size, corner = (contract.width, contract.height), (0, 0)
    box: Box = (0, 0, width, height)
    if contract.fit == "crop":
        scale = min(across, down)
        # Along the side that is kept whole, rounding may leave the box a hair outside the picture.
        left = max(0.0, (width - scale * contract.width) / 2)
        top = max(0.0, (height - scale * contract.height) / 2)
        box = (left, top, width - left, height - top)
        return size, corner, box, Affine(scale, left, scale, top)
    if contract.fit == "pad":
        scale = max(across, down)
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        corner = ((contract.width - size[0]) // 2, (contract.height - size[1]) // 2)
        across, down = width / size[0], height / size[1]
    return size, corner, box, Affine(across, -corner[0] * across, down, -corner[1] * down)
