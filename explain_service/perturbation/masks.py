"""The model as a function on masks: all that a perturbation method sees of it."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pellucid.tensors import FloatArray

Masks = npt.NDArray[np.uint8]
"""Rows of bits, `(N, S)`: 1 keeps a segment of the input, 0 shows the baseline."""


class MaskRows(Protocol):
    """An array of masks, or something that makes its rows when they are needed."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Some rows, `Masks`."""


class MaskedModel(Protocol):
    """Scores of one input under masks, on the scale that is explained, for all labels."""

    @property
    def segments(self) -> int:
        """Length of a mask, `S`."""

    @property
    def full(self) -> FloatArray:
        """Scores of the input, `(K,)`."""

    @property
    def empty(self) -> FloatArray:
        """Scores of the baseline, `(K,)`."""

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        """Scores `(n, K)`, block after block, in order; ends early when the time is up.

        Raises:
            Cancelled: the request was.
        """
