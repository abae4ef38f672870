"""Sound as log-mel spectrograms."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pellucid.api.common.v1 import contract_pb2
from pellucid.contracts.base import LAYOUTS, choose, read_fields
from pellucid.contracts.spectrogram import PADDINGS, SpectrogramContract


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

    def to_message(self) -> contract_pb2.PreprocessContract:
        """The contract as it goes over the wire."""
        plain = self.model_dump(exclude={"kind", "layout", "pad"})
        log_mel = contract_pb2.LogMelContract(
            padding=PADDINGS[self.pad], layout=LAYOUTS[self.layout], **plain
        )
        return contract_pb2.PreprocessContract(log_mel=log_mel)

    @classmethod
    def from_message(cls, message: contract_pb2.LogMelContract, field: str) -> "LogMelContract":
        """Decode what came from outside; `field` is its path in the request.

        Raises:
            InvalidArgument: a field is missing or out of range; the error names it.
        """
        pad = choose(PADDINGS, message.padding, "silence", f"{field}.padding")
        found: LogMelContract = read_fields(cls, message, field, kind="log_mel", pad=pad)
        return found
