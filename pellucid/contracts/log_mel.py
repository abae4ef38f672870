"""Sound as log-mel spectrograms."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pellucid.contracts.spectrogram import SpectrogramContract


class LogMelContract(SpectrogramContract):
    """Bands of the mel scale, as wide as hearing has them; one channel, the power of each."""

    kind: Literal["log_mel"]
    n_mels: int = Field(ge=8, le=512)
    fmin_hz: float = Field(ge=0)
    fmax_hz: float = Field(gt=0)

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        return self._check(
            ("fmax_hz", self.fmax_hz <= self.sample_rate_hz / 2, "at most half the rate"),
            ("fmin_hz", self.fmin_hz < self.fmax_hz, "below fmax_hz"),
        )

    @property
    def plane(self) -> tuple[int, int]:
        """Mel bands and frames."""
        return self.n_mels, self.frames

    @property
    def planes(self) -> int:
        """One channel."""
        return 1
