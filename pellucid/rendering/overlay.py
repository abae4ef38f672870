"""One map on its picture, with axes and a colour bar, as PNG.

Matplotlib's figures are made as objects, without pyplot: nothing global is kept, so many threads
may draw, and nothing is left behind.
"""

import io
from typing import Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from pellucid.client.explanations import Explanation
from pellucid.rendering import colours
from pellucid.rendering.canvas import Canvas
from pellucid.rendering.colours import Scale
from pellucid.rendering.descriptions import number

_DPI: Final = 150
_INK: Final = "#2b2f36"
_SOFT: Final = "#5b6270"
_LINE: Final = "#c4c9d2"
_COLOURS: Final = ListedColormap(colours.bar().tolist(), name="pellucid")


def overlay_png(explanation: Explanation, canvas: Canvas) -> bytes:
    """Draw one map.

    Args:
        explanation: the map.
        canvas: where it belongs, from `canvas_of`.

    Returns:
        A PNG file, about 900 pixels wide.
    """
    figure = Figure(figsize=canvas.figure_size, dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    scale = colours.scale_of(explanation.map)
    canvas.draw(axes, colours.paint(explanation.map, scale))
    _label(axes, explanation)
    _bar(figure, axes, explanation, scale)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": "Pellucid"})
    return file.getvalue()


def _label(axes: Axes, explanation: Explanation) -> None:
    target = explanation.target
    name = f"{explanation.title} for “{target.label}”"
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=_INK, pad=20)
    notes = [f"{target.score_space} {number(target.score)}"]
    notes += [f"{measure.title} {number(measure.value)}" for measure in explanation.trust]
    notes += ["truncated by the deadline"] if explanation.truncated else []
    notes += [] if explanation.finished else ["unfinished"]
    axes.annotate(
        "   ·   ".join(notes),
        (0, 1),
        xytext=(0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8,
        color=_SOFT,
    )
    axes.tick_params(labelsize=8, colors=_SOFT, length=3)
    axes.xaxis.label.set(size=8, color=_SOFT)
    axes.yaxis.label.set(size=8, color=_SOFT)
    for spine in axes.spines.values():
        spine.set_color(_LINE)
    if not explanation.map.any():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "alpha": 0.85, "lw": 0}
        note = axes.text(0.5, 0.5, "zero everywhere", color=_INK, fontsize=11, bbox=box)
        note.set(transform=axes.transAxes, ha="center", va="center")


def _bar(figure: Figure, axes: Axes, explanation: Explanation, scale: Scale) -> None:
    limit = scale.limit or 1.0
    mappable = ScalarMappable(Normalize(-limit, limit), _COLOURS)
    bar = figure.colorbar(
        mappable, ax=axes, shrink=0.9, pad=0.02, extend="both" if scale.clipped else "neither"
    )
    # A map without any value has no scale to show.
    ticks = [-limit, 0.0, limit] if scale.limit else [0.0]
    bar.set_ticks(ticks, labels=[number(tick) for tick in ticks])
    bar.ax.tick_params(labelsize=8, colors=_SOFT, length=3)
    bar.set_label(f"against   ◂   {explanation.target.score_space}   ▸   for", size=8, color=_SOFT)
    bar.outline.set_edgecolor(_LINE)
