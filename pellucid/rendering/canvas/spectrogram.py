"""Maps on a spectrogram; x is in seconds, y in mel bands from the lowest."""

import io
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from pellucid.client.inputs import ExplainedInput, ModelInput, SpectrogramAxes
from pellucid.client.predictions import AudioFacts
from pellucid.rendering.axes import Tick, frequency_ticks, time_ticks
from pellucid.rendering.canvas.base import Canvas, Frame, SvgImage
from pellucid.rendering.colours import Pixels

_FIGURE: Final = (8.1, 4.32)
"""Inches."""
_PLOT: Final = (420.0, 210.0)
"""Width and height on a page, before it is scaled to fit."""
_MARK: Final = "#ffb000"


@dataclass(frozen=True, eq=False)
class SpectrogramCanvas(Canvas):
    """One window of a recording."""

    title: str
    note: str
    start_s: float
    end_s: float
    bands: int
    backdrop: Pixels
    """Shape (h, w), the highest band on top."""
    time_ticks: list[Tick]
    frequency_ticks: list[Tick]
    """Positions in bands, from 0 (lowest) to `bands`."""
    recording_end_s: float | None
    """Where the recording ends and padding begins; None where the window has no padding."""
    style: ClassVar[str] = "spectrogram"

    @classmethod
    def of(cls, explained: ExplainedInput, axes: SpectrogramAxes) -> "SpectrogramCanvas":
        """The canvas of an explanation."""
        window, windows = explained.window, len(explained.prediction.windows)
        # Colours of a spectrogram would be taken for the map's; its brightness says as much.
        display = np.asarray(Image.open(io.BytesIO(window.display_png)).convert("L"))
        bands, frames = display.shape[:2]
        start, end = _span(window, frames)
        ends = _recording_end(explained, start, end)
        known = len(axes.frequency_hz) == bands
        return cls(
            title=(
                "The recording"
                if windows == 1
                else f"Window {explained.window_index} of the recording"
            ),
            note="" if ends is None else "The recording ends at the dashed line; padding follows.",
            start_s=start,
            end_s=end,
            bands=bands,
            backdrop=display,
            time_ticks=time_ticks(start, end),
            frequency_ticks=frequency_ticks(axes.frequency_hz) if known else [],
            recording_end_s=ends,
        )

    @property
    def figure_size(self) -> tuple[float, float]:
        """Width and height of a figure, in inches."""
        return _FIGURE

    def draw(self, axes: Axes, painted: Pixels) -> None:
        """Draw a painted map on its backdrop, with axes in seconds and hertz."""
        extent = (self.start_s, self.end_s, 0.0, float(self.bands))
        axes.imshow(self.backdrop, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        # Row 0 of a map is the lowest band, unlike the backdrop's.
        axes.imshow(painted, extent=extent, aspect="auto", origin="lower", interpolation="nearest")
        axes.set_yticks(
            [tick.position for tick in self.frequency_ticks],
            [tick.label for tick in self.frequency_ticks],
        )
        axes.set_xlabel("seconds")
        axes.set_ylabel("frequency" if self.frequency_ticks else "mel band")
        if self.recording_end_s is not None:
            axes.axvline(self.recording_end_s, color=_MARK, linestyle="--", linewidth=1)
            axes.annotate(
                "recording ends",
                (self.recording_end_s, float(self.bands)),
                xytext=(4, -10),
                textcoords="offset points",
                fontsize=8,
                color=_MARK,
            )

    @property
    def frame(self) -> Frame:
        """The plot of a page, with axes in seconds and hertz."""
        width, height = _PLOT
        return Frame(
            width,
            height,
            x_ticks=tuple((self._across(tick.position), tick.label) for tick in self.time_ticks),
            y_ticks=tuple(
                (round(height * (1 - tick.position / self.bands), 2), tick.label)
                for tick in self.frequency_ticks
            ),
            x_label="seconds",
            marked_x=None if self.recording_end_s is None else self._across(self.recording_end_s),
        )

    @property
    def svg_backdrop(self) -> SvgImage:
        """The spectrogram."""
        return SvgImage.of(self.backdrop, *_PLOT)

    def svg_overlay(self, painted: Pixels) -> SvgImage:
        """A painted map; its row 0 is the lowest band, and an image begins at the top."""
        return SvgImage.of(np.flipud(painted), *_PLOT)

    def _across(self, seconds: float) -> float:
        """Place on a page's plot, from its left edge."""
        return round(_PLOT[0] * (seconds - self.start_s) / (self.end_s - self.start_s), 2)


def _span(window: ModelInput, frames: int) -> tuple[float, float]:
    """Seconds at the outer edges of the first and the last frame."""
    start, end = window.to_original(0, 0)[0], window.to_original(frames, 0)[0]
    if end > start:
        return start, end
    return window.start_s, max(window.end_s, window.start_s + 1e-3)


def _recording_end(explained: ExplainedInput, start: float, end: float) -> float | None:
    """Where padding begins inside the window; None where it has none."""
    facts, window = explained.prediction.facts, explained.window
    if not isinstance(facts, AudioFacts) or facts.duration_s <= start:
        return None
    # The last frame reaches past the window; only samples of the window itself can be padding.
    last = window.end_s if window.end_s > start else end
    return None if facts.duration_s > last - 1e-3 else facts.duration_s
