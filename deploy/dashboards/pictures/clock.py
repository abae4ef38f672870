"""Moments of a time axis, as a clock shows them."""

import math
from datetime import UTC, datetime
from typing import Final

from deploy.dashboards.pictures.history import Window

_DAY: Final = 24 * 60
_DISTANCES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, _DAY, 2 * _DAY, 7 * _DAY)
"""In minutes, between two ticks."""
_MOST: Final = 6
"""Ticks of an axis."""


def ticks(window: Window) -> list[tuple[float, str]]:
    """Round moments within a window, in seconds since 1970, and their texts."""
    seconds = [60.0 * minutes for minutes in _DISTANCES]
    distance = next((one for one in seconds if window.seconds <= _MOST * one), seconds[-1])
    first, last = math.ceil(window.start / distance), math.floor(window.end / distance)
    pattern = "%H:%M" if window.seconds <= 60 * _DAY else "%d %b %H:%M"
    moments = [place * distance for place in range(first, last + 1)]
    return [(moment, f"{datetime.fromtimestamp(moment, UTC):{pattern}}") for moment in moments]


def interval_text(window: Window) -> str:
    """From when to when, with the day."""
    start, end = (datetime.fromtimestamp(moment, UTC) for moment in (window.start, window.end))
    until = "%H:%M" if start.date() == end.date() else "%d %B %Y, %H:%M"
    return f"{start:%d %B %Y, %H:%M} to {end:{until}} UTC"
