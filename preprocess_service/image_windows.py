"""A picture's file to the one window of an image contract."""

import numpy as np

from pellucid import tensors
from pellucid.contracts import ImageContract
from pellucid.tensors import FloatArray
from preprocess_service import dicom, geometry, images, preview, response_limits
from preprocess_service.media import Picture, Preprocessed, Window
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import JPEG, PNG


def read(
    content: bytes,
    media_type: str,
    contract: ImageContract,
    settings: PreprocessSettings,
    *,
    with_preview: bool,
) -> Preprocessed:
    """Read a picture; arguments and errors are those of `pipeline.preprocess`."""
    response_limits.check_size(1, contract, settings, with_preview=with_preview)
    picture = _decode(content, media_type, settings)
    values, to_original = geometry.fit(picture, contract)
    tensor = _normalise(values, contract)
    window = Window(
        tensor=tensor,
        digest=tensors.digest(tensor),
        to_original=to_original,
        preview_png=preview.picture_png(values) if with_preview else b"",
    )
    return Preprocessed(media_type, (window,), picture.facts)


def _decode(content: bytes, media_type: str, settings: PreprocessSettings) -> Picture:
    if media_type == PNG:
        return images.decode_png(content, settings)
    if media_type == JPEG:
        return images.decode_jpeg(content, settings)
    return dicom.decode(content, settings)


def _normalise(values: FloatArray, contract: ImageContract) -> FloatArray:
    """Shape (H, W, C), 0 to 1, to the model's values and order of axes."""
    mean = np.array(contract.mean, np.float32)
    std = np.array(contract.std, np.float32)
    return contract.arranged((values - mean) / std)
