"""What an answer takes, worked out before there is any of it."""

from math import prod
from typing import Final

from pellucid.contracts import ImageContract, LogMelContract
from preprocess_service.refusals import check_limit
from preprocess_service.settings import PreprocessSettings

_FLOAT_BYTES: Final = 4
_DOUBLE_BYTES: Final = 8
_FACTS_BYTES: Final = 1024
_WINDOW_BYTES: Final = 2048
"""Of one window: digest, places, the palette of its picture, and what frames them."""


def check_size(
    windows: int,
    contract: ImageContract | LogMelContract,
    settings: PreprocessSettings,
    *,
    displayed: bool,
) -> None:
    """Check that so many windows may be made, and that their answer can be sent.

    `displayed` says whether pictures for people go with it.

    Raises:
        MediaLimitExceeded: there are too many, or they are too large.
    """
    check_limit("windows", windows, settings.max_windows, "max_windows")
    tensors = windows * _FLOAT_BYTES * prod(contract.shape)
    check_limit("bytes of tensors", tensors, settings.max_tensor_bytes, "max_tensor_bytes")
    answer = _FACTS_BYTES + windows * _window_bytes(contract, displayed)
    check_limit("bytes of answer", answer, settings.max_message_bytes, "max_message_bytes")


def _window_bytes(contract: ImageContract | LogMelContract, displayed: bool) -> int:
    """The most that a window takes as a message: its tensor, its picture and its axes."""
    cells = prod(contract.shape)
    if isinstance(contract, ImageContract):
        rows, axes = contract.height, 0
    else:
        rows, axes = contract.n_mels, _DOUBLE_BYTES * (contract.n_mels + contract.frames)
    # A picture that cannot be compressed grows a little: a byte a row, and the frames of its parts.
    picture = (cells + rows) * 65 // 64 if displayed else 0
    return _WINDOW_BYTES + _FLOAT_BYTES * cells + picture + axes
