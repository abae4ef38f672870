"""Sound as log-mel spectrograms: mono, resampled, cut into windows."""

from typing import ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts.base import LAYOUTS, Baseline, Doubles, InputSpec, choose, read_fields

_PADDINGS: Final = {
    "silence": contract_pb2.PADDING_SILENCE,
    "repeat": contract_pb2.PADDING_REPEAT,
}
_MAX_SPECTROGRAM_CELLS: Final = 1 << 25
"""Frequencies times frames of one window: bounds the memory of a Fourier transform."""


class LogMelContract(InputSpec):
    """How sound becomes a tensor: mono, resampled, cut into windows, log-mel spectrogram.

    Row 0 is the lowest mel band. A cell is `(d - mean) / std` with `d` the power in decibels
    relative to full scale (`10 log10(max(power, 1e-10))`), clipped to `[floor_db, ceiling_db]`.
    """

    media: ClassVar[Literal["image", "audio"]] = "audio"
    floor_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_SILENCE
    default_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_SILENCE

    kind: Literal["log_mel"]
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
    n_mels: int = Field(ge=8, le=512)
    fmin_hz: float = Field(ge=0)
    fmax_hz: float = Field(gt=0)
    floor_db: float
    ceiling_db: float
    mean: float
    std: float = Field(gt=0)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        cells = self.frames * (1 + self.n_fft // 2)
        return self._check(
            ("win_length", self.win_length <= self.n_fft, "at most n_fft"),
            ("fmax_hz", self.fmax_hz <= self.sample_rate_hz / 2, "at most half the rate"),
            ("fmin_hz", self.fmin_hz < self.fmax_hz, "below fmax_hz"),
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
    def plane(self) -> tuple[int, int]:
        """Mel bands and frames."""
        return self.n_mels, self.frames

    @property
    def planes(self) -> int:
        """A spectrogram has one channel."""
        return 1

    @property
    def value_range(self) -> tuple[Doubles, Doubles]:
        """Values of silence (the floor) and of the loudest (the ceiling), each `(1,)`."""
        edges = np.array([[self.floor_db], [self.ceiling_db]])
        low, high = (edges - self.mean) / self.std
        return low, high

    def default_segmentation(self) -> methods_pb2.Segmentation:
        """A grid of mel bands by time."""
        return methods_pb2.Segmentation(grid=methods_pb2.Grid())

    def to_message(self) -> contract_pb2.PreprocessContract:
        """The contract as it goes over the wire."""
        plain = self.model_dump(exclude={"kind", "layout", "pad"})
        log_mel = contract_pb2.LogMelContract(
            padding=_PADDINGS[self.pad], layout=LAYOUTS[self.layout], **plain
        )
        return contract_pb2.PreprocessContract(log_mel=log_mel)

    @classmethod
    def from_message(cls, message: contract_pb2.LogMelContract, field: str) -> "LogMelContract":
        """Decode what came from outside; `field` is its path in the request.

        Raises:
            InvalidArgument: a field is missing or out of range; the error names it.
        """
        pad = choose(_PADDINGS, message.padding, "silence", f"{field}.padding")
        found: LogMelContract = read_fields(cls, message, field, kind="log_mel", pad=pad)
        return found
