"""A dashboard as a picture: its panels in its grid, under its title and the time that is shown."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure, SubFigure
from matplotlib.typing import RcKeyType
from PIL import Image

from deploy.dashboards.definitions import GRID_COLUMNS, PANEL_WIDTH, Dashboard
from deploy.dashboards.pictures.card import WIDTH, card_height, draw_card
from deploy.dashboards.pictures.clock import interval_text
from deploy.dashboards.pictures.curves import Curve
from deploy.dashboards.pictures.history import Window

_PER_ROW: Final = GRID_COLUMNS // PANEL_WIDTH
_WIDTH: Final = WIDTH * _PER_ROW
"""In pixels, as all lengths here."""
_HEADER: Final = 44
_MARGIN: Final = 10
_DPI: Final = 100
_COLOURS: Final = 128
"""Of a file: enough for the curves, and a third of the size."""
_STYLE: Final[dict[RcKeyType, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "lines.linewidth": 1.4,
    "patch.linewidth": 0.8,
    "text.color": "#1f2225",
    "axes.edgecolor": "#b4b8bc",
    "grid.color": "#e6e8ea",
    "xtick.color": "#55585c",
    "ytick.color": "#55585c",
}


def draw_page(
    page: Dashboard, curves: Sequence[Sequence[Curve]], window: Window, path: Path
) -> None:
    """Write the picture of a dashboard as a PNG file.

    Args:
        page: the dashboard.
        curves: of each of its panels.
        window: that the curves cover.
        path: of the file.
    """
    heights = [_HEADER, *_row_heights(curves)]
    with matplotlib.rc_context(_STYLE):
        inches = (_WIDTH / _DPI, sum(heights) / _DPI)
        figure = Figure(figsize=inches, dpi=_DPI, facecolor="#f4f5f6")
        grid = figure.add_gridspec(len(heights), _PER_ROW, height_ratios=heights)
        _draw_header(figure.add_subfigure(grid[0, :], facecolor="none"), page.title, window)
        for place, (panel, drawn) in enumerate(zip(page.panels, curves, strict=True)):
            row, column = divmod(place, _PER_ROW)
            part = figure.add_subfigure(grid[row + 1, column], facecolor="none")
            draw_card(part, heights[row + 1], panel, drawn, window)
        _save(figure, path)


def _row_heights(curves: Sequence[Sequence[Curve]]) -> list[int]:
    """What the tallest card of each row needs."""
    heights = [card_height(one) for one in curves]
    rows = range(0, len(heights), _PER_ROW)
    return [max(heights[first : first + _PER_ROW]) for first in rows]


def _draw_header(figure: SubFigure, title: str, window: Window) -> None:
    margin = _MARGIN / _WIDTH
    figure.text(margin, 0.5, title, size=13, weight="bold", va="center")
    shown = interval_text(window)
    figure.text(1 - margin, 0.5, shown, size=9, color="#55585c", va="center", ha="right")


def _save(figure: Figure, path: Path) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as picture:
        colours = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        colours.save(path, "PNG", optimize=True)
