"""Maps on a picture; coordinates are pixels of the original, x to the right, y down."""

import io
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Affine2D
from PIL import Image, ImageOps

from pellucid.client.inputs import Affine, ExplainedInput
from pellucid.client.predictions import ImageFacts
from pellucid.rendering.canvas.base import Canvas, Frame, SvgImage
from pellucid.rendering.colours import Pixels

_LONGEST_SIDE: Final = 1_200
"""Pixels of a backdrop; more would only make pages heavy."""
_WIDTH: Final = 6.0
"""Inches of a figure."""


@dataclass(frozen=True, eq=False)
class PictureCanvas(Canvas):
    """The original picture, or what the model saw of it."""

    width: float
    height: float
    backdrop: Pixels
    """Shape (h, w) for grey or (h, w, 3) for RGB, of any resolution."""
    backdrop_place: Affine
    """Takes a point of the backdrop to the original."""
    map_place: Affine
    """Takes a point of the map to the original."""
    title: str = "The picture"
    note: str = ""
    style: ClassVar[str] = "picture"

    @classmethod
    def of(cls, explained: ExplainedInput, content: bytes | None) -> "PictureCanvas":
        """The canvas of an explanation; see `canvas_of`."""
        window, facts = explained.window, explained.prediction.facts
        display = _grey_or_rgb(Image.open(io.BytesIO(window.display_png)))
        rows, columns = display.shape[:2]
        place = window.to_original
        if not isinstance(facts, ImageFacts) or place.a == 0 == place.b:
            itself = Affine(1, 0, 0, 0, 1, 0)
            return cls(columns, rows, display, itself, itself)
        original = None if content is None else _read_original(content, facts)
        if original is None:
            return cls(facts.width, facts.height, display, place, place)
        height, width = original.shape[:2]
        stretched = Affine(facts.width / width, 0, 0, 0, facts.height / height, 0)
        return cls(facts.width, facts.height, original, stretched, place)

    @property
    def figure_size(self) -> tuple[float, float]:
        """Width and height of a figure, in inches."""
        aspect = min(max(self.height / self.width, 0.4), 2.0)
        return (_WIDTH, 0.85 * _WIDTH * aspect + 0.8)

    def draw(self, axes: Axes, painted: Pixels) -> None:
        """Draw a painted map on its backdrop."""
        _place(axes, self.backdrop, self.backdrop_place)
        _place(axes, painted, self.map_place)
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.set_aspect("equal")
        axes.set_xlabel("pixels")

    @property
    def frame(self) -> Frame:
        """The plot of a page: the picture, without axes."""
        return Frame(self.width, self.height)

    @property
    def svg_backdrop(self) -> SvgImage:
        """The picture."""
        return _svg(self.backdrop, self.backdrop_place)

    def svg_overlay(self, painted: Pixels) -> SvgImage:
        """A painted map, where it belongs on the picture."""
        return _svg(painted, self.map_place)


def _place(axes: Axes, pixels: Pixels, place: Affine) -> None:
    rows, columns = pixels.shape[:2]
    matrix = np.array([[place.a, place.b, place.c], [place.d, place.e, place.f], [0.0, 0.0, 1.0]])
    image = axes.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, extent=(0, columns, rows, 0), interpolation="nearest"
    )
    image.set_transform(Affine2D(matrix) + axes.transData)


def _svg(pixels: Pixels, place: Affine) -> SvgImage:
    height, width = pixels.shape[:2]
    numbers = (place.a, place.d, place.b, place.e, place.c, place.f)
    transform = f"matrix({' '.join(f'{number:.6g}' for number in numbers)})"
    return SvgImage.of(pixels, width, height, transform)


def _read_original(content: bytes, facts: ImageFacts) -> Pixels | None:
    """The file's picture; None where this machine cannot read it as the server did."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.size != (facts.width, facts.height):
                return None
            return _shrunk(_grey_or_rgb(picture))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _shrunk(pixels: Pixels) -> Pixels:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _grey_or_rgb(picture: Image.Image) -> Pixels:
    if picture.mode.startswith(("I", "F")):  # more than 8 bits: darkest to brightest
        values = np.asarray(picture, np.float64)
        low, high = values.min(), values.max()
        scaled = (values - low) / (high - low if high > low else 1.0)
        stretched: Pixels = np.rint(255 * scaled).astype(np.uint8)
        return stretched
    if picture.mode in ("L", "LA", "1"):
        return np.asarray(picture.convert("L"))
    return np.asarray(picture.convert("RGB"))
