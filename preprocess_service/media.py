"""What comes out of a file on its way to a tensor."""

from dataclasses import dataclass

from pellucid.tensors import Array, FloatArray


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What a picture's file says of itself; see `ImageFacts` of the API."""

    width: int
    height: int
    bit_depth: int
    colour: str
    orientation: int = 1
    modality: str = ""
    transfer_syntax: str = ""


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What a recording's file says of itself; see `AudioFacts` of the API."""

    sample_rate_hz: int
    channels: int
    duration_seconds: float
    encoding: str
    bit_depth: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    values: Array
    """Shape (H, W) for grey, (H, W, 3) for RGB; uint8, uint16 or float32; 0 is black."""
    white: float
    """The value that is white."""
    facts: ImageFacts


@dataclass(frozen=True)
class Recording:
    """A decoded recording, mixed to mono."""

    samples: FloatArray
    """Shape (n,), n > 0; full scale at -1 and 1; all finite."""
    facts: AudioFacts


@dataclass(frozen=True)
class Affine:
    """Point (x, y) of the tensor to the original: (x_scale x + x_offset, y_scale y + y_offset)."""

    x_scale: float
    x_offset: float
    y_scale: float
    y_offset: float


@dataclass(frozen=True)
class Axes:
    """Centres of a spectrogram's columns in seconds, and of its rows in hertz."""

    time_seconds: tuple[float, ...]
    frequency_hz: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Window:
    """One model input; see `Window` of the API."""

    tensor: FloatArray
    digest: str
    to_original: Affine
    preview_png: bytes
    """For people; empty where they see none."""
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    axes: Axes | None = None


@dataclass(frozen=True)
class Preprocessed:
    """One file, ready for a model."""

    media_type: str
    windows: tuple[Window, ...]
    facts: ImageFacts | AudioFacts
