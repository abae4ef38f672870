"""From the bytes of a file to the tensors of a model: one file, on one thread."""

from collections.abc import Callable

import numpy as np

from pellucid import tensors
from pellucid.contracts import ImageContract, Layout, LogMelContract
from pellucid.tensors import FloatArray
from preprocess_service import answers, audio, dicom, display, geometry, images, sniffing, windows
from preprocess_service.media import Picture, Preprocessed, Window
from preprocess_service.refusals import check_limit
from preprocess_service.settings import PreprocessSettings


def preprocess(
    content: bytes,
    contract: ImageContract | LogMelContract,
    settings: PreprocessSettings,
    checkpoint: Callable[[], None],
    *,
    displayed: bool,
) -> Preprocessed:
    """Read one file.

    Args:
        content: its bytes.
        contract: what to make of it.
        settings: the limits.
        checkpoint: called between the stages; what it raises stops the work.
        displayed: whether to draw what the model sees, for people.

    Raises:
        UnreadableMedia: the file is damaged.
        UnsupportedMedia: it is of a kind that is not read, or not by this contract.
        MediaLimitExceeded: it is too large, or its answer would be.
    """
    check_limit("bytes", len(content), settings.max_content_bytes, "max_content_bytes")
    if isinstance(contract, ImageContract):
        media_type = sniffing.sniff(content, sniffing.Kind.IMAGE)
        answers.check_size(1, contract, settings, displayed=displayed)
        picture = _decode_picture(content, media_type, settings, checkpoint)
        checkpoint()
        window = _picture_window(picture, contract, checkpoint, displayed)
        return Preprocessed(media_type, (window,), picture.facts)
    media_type = sniffing.sniff(content, sniffing.Kind.AUDIO)
    recording = audio.decode(content, media_type, settings, checkpoint)
    cut = windows.cut(recording, contract, settings, checkpoint, displayed=displayed)
    return Preprocessed(media_type, cut, recording.facts)


def _decode_picture(
    content: bytes, media_type: str, settings: PreprocessSettings, checkpoint: Callable[[], None]
) -> Picture:
    if media_type == sniffing.PNG:
        return images.decode_png(content, settings)
    if media_type == sniffing.JPEG:
        return images.decode_jpeg(content, settings)
    return dicom.decode(content, settings, checkpoint)


def _picture_window(
    picture: Picture, contract: ImageContract, checkpoint: Callable[[], None], displayed: bool
) -> Window:
    values, to_original = geometry.fit(picture, contract, checkpoint)
    tensor = _normalise(values, contract)
    checkpoint()
    return Window(
        tensor=tensor,
        digest=tensors.digest(tensor),
        to_original=to_original,
        display_png=display.picture_png(values) if displayed else b"",
    )


def _normalise(values: FloatArray, contract: ImageContract) -> FloatArray:
    """Shape (H, W, C), 0 to 1, to the model's values and order of axes."""
    mean = np.array(contract.mean, np.float32)
    std = np.array(contract.std, np.float32)
    tensor = (values - mean) / std
    return (
        np.ascontiguousarray(tensor.transpose(2, 0, 1))
        if (contract.layout is Layout.CHW)
        else tensor
    )
