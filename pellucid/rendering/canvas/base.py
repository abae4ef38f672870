"""What a canvas gives, to figures (matplotlib) and to pages (SVG)."""

import base64
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from pellucid.rendering.colours import Pixels


@dataclass(frozen=True)
class SvgImage:
    """A picture inside an SVG."""

    uri: str
    width: float
    height: float
    transform: str = ""

    @classmethod
    def of(cls, pixels: Pixels, width: float, height: float, transform: str = "") -> "SvgImage":
        """A picture of `width` by `height` in the SVG's units, before it is transformed."""
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
        encoded = base64.b64encode(file.getvalue()).decode()
        return cls(f"data:image/png;base64,{encoded}", width, height, transform)


@dataclass(frozen=True)
class Frame:
    """The plot around the maps of a page, in the SVG's own units; y runs down."""

    width: float
    height: float
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()
    x_label: str = ""
    marked_x: float | None = None
    """Where a dashed line crosses the plot from top to bottom."""

    @property
    def view_box(self) -> str:
        """Coordinates of the whole drawing, with room for the axes where there are any."""
        if not self.x_label:
            return f"0 0 {self.width:g} {self.height:g}"
        return f"-50 -8 {self.width + 58:g} {self.height + 42:g}"


class Canvas(ABC):
    """Where the maps of one explanation belong."""

    style: ClassVar[str]
    """CSS class of its plots."""
    title: str
    """Of the input alone, e.g. `The picture`."""
    note: str
    """What to know of the plot; empty where nothing."""

    @property
    @abstractmethod
    def figure_size(self) -> tuple[float, float]:
        """Width and height of a figure, in inches."""

    @abstractmethod
    def draw(self, axes: Axes, painted: Pixels) -> None:
        """Draw a painted map of shape (H, W, 4) on its backdrop, with axes."""

    @property
    @abstractmethod
    def frame(self) -> Frame:
        """The plot around the maps of a page."""

    @property
    @abstractmethod
    def svg_backdrop(self) -> SvgImage:
        """What lies under the maps of a page."""

    @abstractmethod
    def svg_overlay(self, painted: Pixels) -> SvgImage:
        """A painted map of shape (H, W, 4) inside the frame of a page."""
