"""What a response takes, worked out before there is any of it."""

from math import prod
from typing import Final

from pellucid.contracts import InputSpec
from preprocess_service.errors import check_limit
from preprocess_service.settings import PreprocessSettings

_FLOAT_BYTES: Final = 4
_DOUBLE_BYTES: Final = 8
_FACTS_BYTES: Final = 1024
_WINDOW_BYTES: Final = 2048
"""Of one window: digest, places, the palette of its picture, and what frames them."""


def check_size(
    windows: int, contract: InputSpec, settings: PreprocessSettings, *, with_preview: bool
) -> None:
    """Check that so many windows may be made, and that a response can carry them.

    Raises:
        MediaLimitExceeded: there are too many, or they are too large.
    """
    check_limit("windows", windows, settings.max_windows, "max_windows")
    tensors = windows * _FLOAT_BYTES * prod(contract.shape)
    check_limit("bytes of tensors", tensors, settings.max_tensor_bytes, "max_tensor_bytes")
    response = _FACTS_BYTES + windows * window_bytes(contract, with_preview)
    check_limit("bytes of response", response, settings.max_message_bytes, "max_message_bytes")


def window_bytes(contract: InputSpec, with_preview: bool) -> int:
    """The most that a window takes as a message: its tensor, its picture and its axes."""
    (rows, columns), cells = contract.plane, prod(contract.shape)
    # A picture that cannot be compressed grows a little: a byte a row, and the frames of its parts.
    picture = (cells + rows) * 65 // 64 if with_preview else 0
    return _WINDOW_BYTES + _FLOAT_BYTES * cells + picture + _DOUBLE_BYTES * (rows + columns)
