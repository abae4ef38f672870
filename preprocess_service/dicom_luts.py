"""Stored DICOM values to grey, from 0 (black) to 1 (white), as the file wants to be shown.

The chain of PS3.4 N.2: modality (rescale or table), values of interest (table, else window), and
the inversion of MONOCHROME1. Each step maps one value to one value, so the chain is worked out
once for every value that the bits can store, and the picture looked up in the result.

A file without values of interest: 8-bit pictures are shown over all their range, as they were
made for the eye; deeper ones, raw from the detector, from their least value to their greatest.
"""

from typing import Any, Final

import numpy as np
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from pellucid.tensors import Array, FloatArray
from preprocess_service.errors import translated, unreadable
from preprocess_service.sniffing import DICOM

_ROWS_AT_ONCE: Final = 256
_DISPLAY_BITS: Final = 8


def render(stored: Array, dataset: Any) -> FloatArray:
    """Grey of the stored values; both of shape (H, W).

    Raises:
        UnreadableMedia: the display settings of the file make no sense.
    """
    bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation", 0))
    lowest = -(1 << bits - 1) if signed else 0
    values = np.arange(lowest, lowest + (1 << bits), dtype=np.int32)
    least, greatest = int(stored.min()) - lowest, int(stored.max()) - lowest
    with translated(DICOM, "its display settings make no sense"):
        table = _table(values, slice(max(least, 0), greatest + 1), dataset)
    if not np.isfinite(table).all():
        raise unreadable(DICOM, "its display settings are no finite numbers")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        table = 1 - table
    grey = np.empty(stored.shape, np.float32)
    for row in range(0, len(stored), _ROWS_AT_ONCE):
        part = stored[row : row + _ROWS_AT_ONCE].astype(np.int64) - lowest
        grey[row : row + _ROWS_AT_ONCE] = np.take(table.astype(np.float32), part, mode="clip")
    return grey


def _table(values: Array, present: slice, dataset: Any) -> Array:
    """Grey of every value that can be stored; `present` are those of the picture."""
    measured = np.asarray(apply_modality_lut(values, dataset))
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return np.asarray(apply_voi(measured, dataset, index=0)) / ((1 << bits) - 1)
    measured = measured.astype(np.float64)
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width is not None:
        return _window(measured, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
    shown = measured if int(dataset.BitsStored) <= _DISPLAY_BITS else measured[present]
    low, high = float(shown.min()), float(shown.max())
    return ((measured - low) / ((high - low) or 1.0)).clip(0, 1)


def _window(values: Array, centre: float, width: float, function: str) -> Array:
    """The three functions of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID" and width > 0:
        return np.asarray(1 / (1 + np.exp((-4 * (values - centre) / width).clip(-500, 500))))
    if function == "LINEAR_EXACT" and width > 0:
        return np.asarray(((values - centre) / width + 0.5).clip(0, 1))
    if function == "LINEAR" and width > 1:
        return np.asarray(((values - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1))
    if function == "LINEAR" and width == 1:
        return (values > centre - 0.5).astype(np.float64)
    raise unreadable(DICOM, f"its window of width {width:g} makes no sense")


def _first(value: Any) -> float | None:
    """The first of possibly several values; None where there is none."""
    if value is None or value == "":
        return None
    many = value if hasattr(value, "__len__") and not isinstance(value, str) else [value]
    return float(many[0]) if len(many) else None
