"""The legends of a card, in columns below its plot."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from deploy.dashboards.pictures.curves import Curve

_LINE_HEIGHT: Final = 15
"""In pixels, as all lengths here."""
_MOST_LINES: Final = 8
_LETTER, _LINE, _BETWEEN = 6.6, 25, 18
"""What a letter takes, the line before a legend, and the space between two columns."""


def columns_of(curves: Sequence[Curve], width: float) -> int:
    """As many as the longest legend allows."""
    longest = max((len(curve.legend) for curve in curves), default=0)
    fitting = int((width + _BETWEEN) / (_LETTER * longest + _LINE + _BETWEEN))
    return max(min(fitting, len(curves)), 1)


def legends_height(curves: Sequence[Curve], width: float) -> int:
    """What the legends need, where they are this wide together."""
    return _LINE_HEIGHT * min(-(-len(curves) // columns_of(curves, width)), _MOST_LINES)


def draw_legends(
    figure: SubFigure, lines: Sequence[Line2D], columns: int, corner: tuple[float, float]
) -> None:
    """Draw them up from the lower left corner; those for which there is no room are counted."""
    room = columns * _MOST_LINES
    if len(lines) > room:
        rest = Line2D([], [], linestyle="", label=f"and {len(lines) - room + 1} more")
        lines = [*lines[: room - 1], rest]
    figure.legend(
        handles=lines,
        loc="lower left",
        bbox_to_anchor=corner,
        ncols=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.6,
        handletextpad=0.6,
        labelspacing=0.32,
        columnspacing=1.6,
    )
