"""Where a map belongs: one canvas for each kind of input.

A new kind is a class here, which says how its maps are drawn as a figure and inside a page.
"""

from pellucid.client.inputs import ExplainedInput
from pellucid.rendering.canvas.base import Canvas, Frame, SvgImage
from pellucid.rendering.canvas.picture import PictureCanvas
from pellucid.rendering.canvas.spectrogram import SpectrogramCanvas


def canvas_of(explained: ExplainedInput, content: bytes | None = None) -> Canvas:
    """The canvas of an explanation.

    Args:
        explained: its first event.
        content: the original file; where it is a picture that can be read here, maps are drawn on
            it, else on what the model saw.
    """
    if explained.window.axes is not None:
        return SpectrogramCanvas.of(explained, explained.window.axes)
    return PictureCanvas.of(explained, content)


__all__ = ["Canvas", "Frame", "PictureCanvas", "SpectrogramCanvas", "SvgImage", "canvas_of"]
