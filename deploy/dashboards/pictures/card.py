"""One panel as a card: its title, its curves over time, and their legends."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from deploy.dashboards.definitions import PANEL_WIDTH, Panel
from deploy.dashboards.pictures.clock import ticks
from deploy.dashboards.pictures.curves import Curve
from deploy.dashboards.pictures.history import Floats, Window
from deploy.dashboards.pictures.legends import columns_of, draw_legends, legends_height
from deploy.dashboards.pictures.units import scale_of

WIDTH: Final = 50 * PANEL_WIDTH
"""In pixels, as all lengths here."""
_GAP: Final = 5
"""Around the card."""
_MARGIN: Final = 18
"""To the title and the legends, on the left and on the right."""
_LEFT, _RIGHT, _ABOVE, _BELOW = 84, 24, 42, 40
"""Around the plot, for ticks and the title; legends come below."""
_PLOT_HEIGHT: Final = 150
_LEGENDS_WIDTH: Final = WIDTH - 2 * _MARGIN
_LINES: Final = tuple(product(("-", "--", ":"), matplotlib.color_sequences["petroff10"]))
"""Style and colour of each curve."""


def card_height(curves: Sequence[Curve]) -> int:
    """What the card of a panel with these curves needs at least."""
    return _ABOVE + _PLOT_HEIGHT + _BELOW + legends_height(curves, _LEGENDS_WIDTH)


def draw_card(
    figure: SubFigure, height: int, panel: Panel, curves: Sequence[Curve], window: Window
) -> None:
    """Fill a part of a page, of WIDTH by `height`, with a panel."""

    def share(across: float, up: float) -> tuple[float, float]:
        return across / WIDTH, up / height

    inside = share(WIDTH - 2 * _GAP, height - 2 * _GAP)
    figure.add_artist(
        Rectangle(share(_GAP, _GAP), *inside, facecolor="white", edgecolor="#dcdee0", zorder=-1)
    )
    figure.text(*share(_MARGIN, height - 15), panel.title, size=9.5, weight="bold", va="top")
    bottom = _BELOW + legends_height(curves, _LEGENDS_WIDTH)
    plot = share(WIDTH - _LEFT - _RIGHT, height - bottom - _ABOVE)
    axes = figure.add_axes((*share(_LEFT, bottom), *plot))
    _draw_time(axes, window)
    lines = _draw_curves(axes, panel.unit, curves, window)
    if lines:
        draw_legends(figure, lines, columns_of(curves, _LEGENDS_WIDTH), share(_MARGIN, 12))
    else:
        _draw_reason(axes, panel.zero)


def _draw_time(axes: Axes, window: Window) -> None:
    moments = ticks(window)
    axes.set_xlim(window.start, window.end)
    axes.set_xticks([moment for moment, _ in moments], [text for _, text in moments])
    axes.grid()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, pad=5)


def _draw_curves(axes: Axes, unit: str, curves: Sequence[Curve], window: Window) -> list[Line2D]:
    """Draw them from zero up; returns their lines."""
    largest = max((float(np.nanmax(curve.values)) for curve in curves), default=0.0)
    scale = scale_of(unit, largest)
    axes.set_ylim(0, 1.08 * largest / scale.size if largest > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.text(value)))
    lines = []
    for place, curve in enumerate(curves):
        style, colour = _LINES[place % len(_LINES)]
        values = curve.values / scale.size
        lines += axes.plot(window.moments, values, style, color=colour, label=curve.legend)
        alone = _alone(values)
        axes.plot(window.moments[alone], values[alone], ".", color=colour, markersize=3)
    return lines


def _alone(values: Floats) -> NDArray[np.bool]:
    """Where a value is between two gaps, so that no line shows it."""
    gaps = np.concatenate(([True], np.isnan(values), [True]))
    return np.asarray(gaps[:-2] & ~gaps[1:-1] & gaps[2:])


def _draw_reason(axes: Axes, zero: str) -> None:
    """Say why there is nothing."""
    words = f"no data: {zero}" if zero else "no data"
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", size=9, color="#6b6f74")
    axes.set_yticks([])
