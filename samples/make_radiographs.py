"""Draw the radiograph-like pictures of this folder: no patient, only shapes and noise.

    python samples/make_radiographs.py

A chest from the front, as an X-ray shows it: bright where much stands in the way. The two pictures
differ in an opacity of the right lower lung, on the picture's left.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

SIZE = 512
FOLDER = Path(__file__).parent
Plane = NDArray[np.float64]

_Y, _X = np.mgrid[0:SIZE, 0:SIZE] / SIZE


def ellipse(x: float, y: float, width: float, height: float, tilt: float = 0.0) -> Plane:
    """1 inside, 0 outside; all in shares of the picture, the tilt in radians."""
    dx, dy = _X - x, _Y - y
    u = dx * np.cos(tilt) + dy * np.sin(tilt)
    v = dy * np.cos(tilt) - dx * np.sin(tilt)
    inside: Plane = ((u / width) ** 2 + (v / height) ** 2 < 1).astype(float)
    return inside


def ribs(side: int) -> Plane:
    """Nine pairs of arcs, from the spine outwards and down; `side` is -1 or 1."""
    plane = np.zeros((SIZE, SIZE))
    along = np.clip(side * (_X - 0.5), 0, None)
    for number in range(9):
        middle = 0.16 + 0.072 * number + 1.5 * (along - 0.13) ** 2 - 0.10 * (along - 0.13)
        bone = np.exp(-(((_Y - middle) / 0.011) ** 2))
        plane += bone * (along > 0.03) * (along < 0.36)
    return plane


def chest(rng: np.random.Generator, *, opacity: bool) -> Plane:
    """One picture, from 0 (black) to 1 (white)."""
    body = gaussian_filter(ellipse(0.5, 0.62, 0.47, 0.66), 9)
    right = ellipse(0.31, 0.46, 0.145, 0.31, 0.10)
    left = ellipse(0.69, 0.46, 0.140, 0.30, -0.10)
    lungs = gaussian_filter(np.maximum(right, left), 7)
    heart = gaussian_filter(ellipse(0.555, 0.60, 0.125, 0.155, -0.5), 6)
    spine = gaussian_filter((np.abs(_X - 0.5) < 0.035).astype(float), 5)
    belly = gaussian_filter((0.76 + 0.25 * np.abs(np.abs(_X - 0.5) - 0.18) < _Y).astype(float), 6)
    vessels = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 5) * lungs
    picture = 0.55 * body - 0.36 * lungs + 0.28 * heart + 0.16 * spine + 0.24 * belly * body
    picture += (ribs(-1) + ribs(1)) * 0.06 * body + 0.35 * vessels
    if opacity:
        cloud = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12)
        patch = gaussian_filter(ellipse(0.29, 0.61, 0.095, 0.11, 0.3), 14)
        picture += patch * (0.26 + 1.2 * cloud)
    blurred = gaussian_filter(picture, 1.2)
    noisy: Plane = np.clip(blurred + rng.normal(0, 0.012, (SIZE, SIZE)), 0, 1)
    return noisy


def main() -> None:
    """Write both pictures, 8 bit, grey."""
    for name, opacity in (("radiograph_clear", False), ("radiograph_opacity", True)):
        picture = chest(np.random.default_rng(7), opacity=opacity)
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
