"""Where a map belongs: on the original picture, or on a spectrogram with its axes."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from pellucid.client.predictions import AudioFacts, ImageFacts
from pellucid.client.results import Affine, Explained, ModelInput
from pellucid.rendering.axes import Tick, frequency_ticks, time_ticks
from pellucid.rendering.colours import Pixels

_LONGEST_SIDE: Final = 1_200
"""Pixels of a backdrop; more would only make pages heavy."""


@dataclass(frozen=True, eq=False)
class PictureScene:
    """A picture; coordinates are pixels of the original, x to the right, y down."""

    width: float
    height: float
    backdrop: Pixels
    """Shape (h, w) for grey or (h, w, 3) for RGB, of any resolution."""
    backdrop_place: Affine
    """Takes a point of the backdrop to the original."""
    map_place: Affine
    """Takes a point of the map to the original."""


@dataclass(frozen=True, eq=False)
class SoundScene:
    """A window of a recording; x is in seconds, y in mel bands from the lowest."""

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


Scene = PictureScene | SoundScene


def scene_of(explained: Explained, content: bytes | None = None) -> Scene:
    """The scene of an explanation.

    Args:
        explained: its first event.
        content: the original file; where it is a picture that can be read here, maps are drawn on
            it, else on what the model saw.
    """
    window = explained.window
    shown = Image.open(io.BytesIO(window.display_png))
    facts = explained.prediction.facts
    if window.axes is not None:
        # Colours of a spectrogram would be taken for the map's; its brightness says as much.
        grey = np.asarray(shown.convert("L"))
        return _sound(window, grey, facts if isinstance(facts, AudioFacts) else None)
    display = _grey_or_rgb(shown)
    return _picture(window, display, facts if isinstance(facts, ImageFacts) else None, content)


def _sound(window: ModelInput, display: Pixels, facts: AudioFacts | None) -> SoundScene:
    bands, frames = display.shape[:2]
    start, end = window.to_original(0, 0)[0], window.to_original(frames, 0)[0]
    if not end > start:
        start, end = window.start_s, max(window.end_s, window.start_s + 1e-3)
    frequencies = window.axes.frequency_hz if window.axes is not None else np.zeros(0)
    # The last frame reaches past the window; only samples of the window itself can be padding.
    last = window.end_s if window.end_s > start else end
    ends = facts.duration_s if facts is not None and facts.duration_s > start else None
    if ends is not None and ends > last - 1e-3:
        ends = None
    return SoundScene(
        start_s=start,
        end_s=end,
        bands=bands,
        backdrop=display,
        time_ticks=time_ticks(start, end),
        frequency_ticks=frequency_ticks(frequencies) if len(frequencies) == bands else [],
        recording_end_s=ends,
    )


def _picture(
    window: ModelInput, display: Pixels, facts: ImageFacts | None, content: bytes | None
) -> PictureScene:
    rows, columns = display.shape[:2]
    if facts is None or window.to_original.a == 0 == window.to_original.b:
        itself = Affine(1, 0, 0, 0, 1, 0)
        return PictureScene(columns, rows, display, itself, itself)
    original = None if content is None else _read_original(content, facts)
    if original is None:
        place = window.to_original
        return PictureScene(facts.width, facts.height, display, place, place)
    height, width = original.shape[:2]
    stretched = Affine(facts.width / width, 0, 0, 0, facts.height / height, 0)
    return PictureScene(facts.width, facts.height, original, stretched, window.to_original)


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
