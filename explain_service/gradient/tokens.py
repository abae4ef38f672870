"""The places of a transformer's tokens: one for each patch, after a class token or none."""

from math import sqrt
from typing import Final

_BEFORE: Final = 5
"""At most so many tokens stand before the patches: of the class, of distillation, registers."""


def token_grid(tokens: int, plane: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the patches among so many tokens.

    Args:
        tokens: of one input; what comes before the patches is no more than a few.
        plane: height and width of the input, which square patches divide.

    Raises:
        ValueError: no grid of such patches has so many.
    """
    height, width = plane
    for patches in range(tokens, max(tokens - _BEFORE, 0), -1):
        side = sqrt(height * width / patches)
        if side.is_integer() and height % side == 0 and width % side == 0:
            return height // int(side), width // int(side)
    raise ValueError(f"{tokens} tokens are no grid of square patches over {height} x {width}")
