"""Ticks at round numbers: seconds, and frequencies on a mel axis."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUND_HZ: Final = (50, 100, 200, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
_CLOSEST: Final = 1 / 14
"""Of the axis' length: ticks nearer than this to the last one are left out."""


@dataclass(frozen=True)
class Tick:
    """One mark of an axis."""

    position: float
    """In the axis' own coordinates."""
    label: str


def frequency_ticks(frequency_hz: NDArray[np.float64]) -> list[Tick]:
    """Round frequencies at their place among the bands.

    Args:
        frequency_hz: centre of each of H bands, shape (H,), rising.

    Returns:
        Positions from 0 (outer edge of the lowest band) to H.
    """
    bands = len(frequency_hz)
    ticks: list[Tick] = []
    for hertz in _ROUND_HZ:
        if not frequency_hz[0] <= hertz <= _upper_edge(frequency_hz):
            continue
        place = float(np.interp(hertz, *_edges(frequency_hz)))
        if not ticks or place - ticks[-1].position >= bands * _CLOSEST:
            ticks.append(Tick(place, _hertz(hertz)))
    return ticks


def time_ticks(start_s: float, end_s: float, most: int = 6) -> list[Tick]:
    """Round seconds between two moments, at most about `most` of them."""
    span = end_s - start_s
    if not span > 0:
        return []
    rough = span / most
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.ceil(start_s / step - 1e-9), math.floor(end_s / step + 1e-9)
    return [Tick(place * step, f"{round(place * step, 6):g}") for place in range(first, last + 1)]


def _edges(frequency_hz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies and places to interpolate between: the centres, and the upper edge."""
    places = np.append(np.arange(len(frequency_hz)) + 0.5, float(len(frequency_hz)))
    return np.append(frequency_hz, _upper_edge(frequency_hz)), places


def _upper_edge(frequency_hz: NDArray[np.float64]) -> float:
    """Half a band above the last centre, and half a per cent for rounding."""
    if len(frequency_hz) < 2:
        return float(frequency_hz[-1])
    half_band = (frequency_hz[-1] - frequency_hz[-2]) / 2
    return float(frequency_hz[-1] + half_band) * 1.005


def _hertz(hertz: int) -> str:
    return f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz"
