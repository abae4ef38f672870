"""What the kinds of spectrogram have in common: mono sound, resampled, cut into windows."""

from typing import Any, ClassVar, Final, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts.base import LAYOUTS, Baseline, Doubles, InputSpec, choose, read_fields

PADDINGS: Final = {
    "silence": contract_pb2.PADDING_SILENCE,
    "repeat": contract_pb2.PADDING_REPEAT,
}
_MAX_SPECTROGRAM_CELLS: Final = 1 << 25
"""Frequencies times frames of one window: bounds the memory of a Fourier transform."""


class SpectrogramContract(InputSpec):
    """How sound becomes a tensor: mono, resampled, cut into windows, a spectrogram of each.

    Row 0 is the lowest band. A cell of channel 0 is `(d - mean) / std` with `d` the power in
    decibels relative to full scale (`10 log10(max(power, 1e-10))`), clipped to
    `[floor_db, ceiling_db]`.
    """

    media: ClassVar[Literal["image", "audio"]] = "audio"
    floor_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_SILENCE
    default_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_SILENCE

    sample_rate_hz: int = Field(ge=4_000, le=96_000)
    window_seconds: float = Field(gt=0, le=60)
    """Length of what the model sees at once."""
    hop_seconds: float = Field(gt=0, le=60)
    """Distance between the starts of consecutive windows of a longer clip."""
    pad: Literal["silence", "repeat"] = "silence"
    """What follows a clip that is shorter than the window."""
    n_fft: int = Field(ge=64, le=16_384)
    win_length: int = Field(ge=64, le=16_384)
    hop_length: int = Field(ge=16, le=16_384)
    floor_db: float
    ceiling_db: float
    mean: float
    std: float = Field(gt=0)

    @model_validator(mode="after")
    def _transform_fits(self) -> Self:
        cells = self.frames * (1 + self.n_fft // 2)
        return self._check(
            ("win_length", self.win_length <= self.n_fft, "at most n_fft"),
            ("ceiling_db", self.floor_db < self.ceiling_db, "above floor_db"),
            ("window_seconds", self.n_fft <= self.window_samples, "at least n_fft samples"),
            ("hop_length", cells <= _MAX_SPECTROGRAM_CELLS, "larger, or n_fft smaller"),
        )

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def frames(self) -> int:
        """Columns of the spectrogram; librosa centres its frames."""
        return 1 + self.window_samples // self.hop_length

    @property
    def level_range(self) -> tuple[float, float]:
        """Values of the floor and of the ceiling in channel 0."""
        return (self.floor_db - self.mean) / self.std, (self.ceiling_db - self.mean) / self.std

    @property
    def value_range(self) -> tuple[Doubles, Doubles]:
        """Values of silence (the floor) and of the loudest (the ceiling), each `(C,)`."""
        low, high = self.level_range
        return np.array([low]), np.array([high])

    def default_segmentation(self) -> methods_pb2.Segmentation:
        """A grid of bands by time."""
        return methods_pb2.Segmentation(grid=methods_pb2.Grid())

    def to_message(self) -> contract_pb2.PreprocessContract:
        """The contract as it goes over the wire."""
        plain = self.model_dump(exclude={"kind", "layout", "pad"})
        found = contract_pb2.PreprocessContract()
        part = getattr(found, self._name())
        part.MergeFrom(type(part)(padding=PADDINGS[self.pad], layout=LAYOUTS[self.layout], **plain))
        return found

    @classmethod
    def from_message(cls, message: Any, field: str) -> Self:
        """Decode what came from outside; `field` is its path in the request.

        Raises:
            InvalidArgument: a field is missing or out of range; the error names it.
        """
        pad = choose(PADDINGS, message.padding, "silence", f"{field}.padding")
        found: Self = read_fields(cls, message, field, kind=cls._name(), pad=pad)
        return found

    @classmethod
    def _name(cls) -> str:
        """The value of `kind`, which is also the name in `PreprocessContract`."""
        (name,) = get_args(cls.model_fields["kind"].annotation)
        return str(name)
