"""One signed colour scale: zero is transparent, the limits are symmetric."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Pixels = NDArray[np.uint8]

FOR: Final = (226, 45, 38)
"""Red: speaks for the target."""
AGAINST: Final = (38, 104, 235)
"""Blue: speaks against it."""
_STRONGEST: Final = 0.85
"""Opacity at the limit, so that what lies under it stays visible."""
_PERCENTILE: Final = 99.5
_WORTH_CLIPPING: Final = 0.8


@dataclass(frozen=True)
class Scale:
    """What the strongest colours stand for."""

    limit: float
    """Value of the strongest red, and negated of the strongest blue; 0 for a map without any."""
    clipped: bool
    """A few values lie beyond the limit."""


def scale_of(values: Map) -> Scale:
    """Choose symmetric limits, so that single peaks do not bleach everything else.

    Args:
        values: signed map of shape (H, W), finite.
    """
    magnitudes = np.abs(values.astype(np.float64))
    peak = float(magnitudes.max(initial=0.0))
    robust = float(np.percentile(magnitudes, _PERCENTILE)) if peak > 0 else 0.0
    if robust <= 0 or robust >= _WORTH_CLIPPING * peak:
        return Scale(peak, False)
    return Scale(robust, True)


def paint(values: Map, scale: Scale) -> Pixels:
    """Colour a map for laying it over a picture.

    Args:
        values: signed map of shape (H, W), finite.
        scale: its limits.

    Returns:
        RGBA of shape (H, W, 4), straight alpha.
    """
    if scale.limit > 0:
        relative = np.clip(values.astype(np.float64) / scale.limit, -1, 1)
    else:
        relative = np.zeros(values.shape)
    painted = np.empty((*values.shape, 4), np.uint8)
    painted[..., :3] = np.where(relative[..., None] > 0, FOR, AGAINST)
    painted[..., 3] = np.rint(255 * _STRONGEST * np.abs(relative))
    return painted


def bar(steps: int = 256) -> NDArray[np.float64]:
    """The scale on white, from -limit to limit: RGB from 0 to 1, shape (steps, 3)."""
    ramp = np.linspace(-1, 1, steps, dtype=np.float32)[None]
    painted = paint(ramp, Scale(1.0, False))[0].astype(np.float64) / 255
    alpha = painted[:, 3:]
    colours: NDArray[np.float64] = painted[:, :3] * alpha + (1 - alpha)
    return colours


def css_gradient() -> str:
    """The scale as a CSS image, transparent at zero."""
    against, speaks_for = (f"rgb({r} {g} {b} / {_STRONGEST:.0%})" for r, g, b in (AGAINST, FOR))
    # The middle stops keep the hue, so that no grey appears on the way to transparent.
    middle = (f"rgb({r} {g} {b} / 0%) 50%" for r, g, b in (AGAINST, FOR))
    return f"linear-gradient(to right, {against}, {', '.join(middle)}, {speaks_for})"
