"""What a method may cost at most."""

from typing import Final

from pellucid.errors import InvalidArgument

MOST_CALLS: Final = 20_000
"""Model calls of one method."""
_MOST_ELEMENTS: Final = 1 << 24
"""Samples times segments of one regression, which holds several such matrices of doubles."""


def check_samples(samples: int, segments: int, field: str) -> None:
    """Refuse a regression that would take too much memory.

    Raises:
        InvalidArgument: `field` is the path of the method's message.
    """
    if samples * segments > _MOST_ELEMENTS:
        raise InvalidArgument(
            f"{samples} samples of {segments} segments are too many",
            field=f"{field}.samples",
            remedy=f"ask for at most {_MOST_ELEMENTS // segments} samples, or for fewer segments",
            segments=str(segments),
        )
