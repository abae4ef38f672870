"""One map on its picture, with axes and a colour bar, as PNG.

Matplotlib's figures are made as objects, without pyplot: nothing global is kept, so many threads
may draw, and nothing is left behind.
"""

import io
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D

from pellucid.client.results import Affine, Explanation
from pellucid.rendering import colours, words
from pellucid.rendering.colours import Pixels, Scale
from pellucid.rendering.scenes import PictureScene, Scene, SoundScene

_DPI: Final = 150
_WIDTH: Final = 6.0
_INK: Final = "#2b2f36"
_SOFT: Final = "#5b6270"
_LINE: Final = "#c4c9d2"
_MARK: Final = "#ffb000"
_COLOURS: Final = ListedColormap(colours.bar().tolist(), name="pellucid")


def overlay_png(explanation: Explanation, scene: Scene) -> bytes:
    """Draw one map.

    Args:
        explanation: the map.
        scene: where it belongs, from `scene_of`.

    Returns:
        A PNG file, about 900 pixels wide.
    """
    figure = Figure(figsize=_size(scene), dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    scale = colours.scale_of(explanation.map)
    _draw(axes, scene, colours.paint(explanation.map, scale))
    _label(axes, explanation)
    _bar(figure, axes, explanation, scale)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": "Pellucid"})
    return file.getvalue()


def _size(scene: Scene) -> tuple[float, float]:
    if isinstance(scene, SoundScene):
        return (1.35 * _WIDTH, 0.72 * _WIDTH)
    aspect = min(max(scene.height / scene.width, 0.4), 2.0)
    return (_WIDTH, 0.85 * _WIDTH * aspect + 0.8)


def _draw(axes: Axes, scene: Scene, painted: Pixels) -> None:
    if isinstance(scene, PictureScene):
        _place(axes, scene.backdrop, scene.backdrop_place)
        _place(axes, painted, scene.map_place)
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        axes.set_aspect("equal")
        axes.set_xlabel("pixels")
        return
    extent = (scene.start_s, scene.end_s, 0.0, float(scene.bands))
    axes.imshow(scene.backdrop, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
    # Row 0 of a map is the lowest band, unlike the backdrop's.
    axes.imshow(painted, extent=extent, aspect="auto", origin="lower", interpolation="nearest")
    axes.set_yticks(
        [tick.position for tick in scene.frequency_ticks],
        [tick.label for tick in scene.frequency_ticks],
    )
    axes.set_xlabel("seconds")
    axes.set_ylabel("frequency" if scene.frequency_ticks else "mel band")
    if scene.recording_end_s is not None:
        axes.axvline(scene.recording_end_s, color=_MARK, linestyle="--", linewidth=1)
        end = (scene.recording_end_s, float(scene.bands))
        _note(axes, "recording ends", end, (4, -10), "data", _MARK)


def _place(axes: Axes, pixels: Pixels, place: Affine) -> None:
    rows, columns = pixels.shape[:2]
    matrix = np.array([[place.a, place.b, place.c], [place.d, place.e, place.f], [0.0, 0.0, 1.0]])
    image = axes.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, extent=(0, columns, rows, 0), interpolation="nearest"
    )
    image.set_transform(Affine2D(matrix) + axes.transData)


def _label(axes: Axes, explanation: Explanation) -> None:
    target = explanation.target
    name = f"{words.title(explanation.method)} for “{target.label}”"
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=_INK, pad=20)
    notes = [f"{target.score_space.value} {words.number(target.score)}"]
    notes += [f"{finding.name} {finding.value}" for finding in words.findings(explanation)]
    notes += ["truncated by the deadline"] if explanation.truncated else []
    _note(axes, "   ·   ".join(notes), (0, 1), (0, 6), "axes fraction", _SOFT)
    axes.tick_params(labelsize=8, colors=_SOFT, length=3)
    axes.xaxis.label.set(size=8, color=_SOFT)
    axes.yaxis.label.set(size=8, color=_SOFT)
    for spine in axes.spines.values():
        spine.set_color(_LINE)
    if not explanation.map.any():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "alpha": 0.85, "lw": 0}
        note = axes.text(0.5, 0.5, "zero everywhere", color=_INK, fontsize=11, bbox=box)
        note.set(transform=axes.transAxes, ha="center", va="center")


def _note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float],
    coordinates: str,
    colour: str,
) -> None:
    """Small text, shifted by points from where it belongs."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        xycoords=coordinates,
        textcoords="offset points",
        fontsize=8,
        color=colour,
    )


def _bar(figure: Figure, axes: Axes, explanation: Explanation, scale: Scale) -> None:
    limit = scale.limit or 1.0
    mappable = ScalarMappable(Normalize(-limit, limit), _COLOURS)
    bar = figure.colorbar(
        mappable, ax=axes, shrink=0.9, pad=0.02, extend="both" if scale.clipped else "neither"
    )
    # A map without any value has no scale to show.
    ticks = [-limit, 0.0, limit] if scale.limit else [0.0]
    bar.set_ticks(ticks, labels=[words.number(tick) for tick in ticks])
    bar.ax.tick_params(labelsize=8, colors=_SOFT, length=3)
    bar.set_label(
        f"against   ◂   {explanation.target.score_space.value}   ▸   for", size=8, color=_SOFT
    )
    bar.outline.set_edgecolor(_LINE)
