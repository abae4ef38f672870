"""Preprocess contracts: one class for each kind, which says what its tensors are.

A new kind is a class here (and a message in `contract.proto`), a decoder in the preprocess service
and a canvas in `pellucid.rendering`.
"""

from typing import Annotated, Final

from pydantic import Field

from pellucid.api.common.v1 import contract_pb2
from pellucid.contracts.base import Baseline, InputSpec, Layout, baseline_name
from pellucid.contracts.image import ImageContract
from pellucid.contracts.log_mel import LogMelContract
from pellucid.contracts.spectrogram import SpectrogramContract
from pellucid.contracts.stft import StftContract
from pellucid.errors import InvalidArgument

PreprocessContract = Annotated[
    ImageContract | LogMelContract | StftContract, Field(discriminator="kind")
]
"""The contract of a card; `kind` says which."""

_KINDS: Final[dict[str, type[ImageContract] | type[LogMelContract] | type[StftContract]]] = {
    "image": ImageContract,
    "log_mel": LogMelContract,
    "stft": StftContract,
}
"""By the field of the message's oneof."""


def decode(
    message: contract_pb2.PreprocessContract, field: str = "contract"
) -> ImageContract | LogMelContract | StftContract:
    """Decode a contract that came from outside.

    Args:
        message: as it was received.
        field: its path in the request, for the error.

    Raises:
        InvalidArgument: a field is missing or out of range; the error names it.
    """
    kind = message.WhichOneof("contract")
    if kind is None:
        known = " or ".join(f"`{name}`" for name in _KINDS)
        raise InvalidArgument("the contract is empty", field=field, remedy=f"set {known}")
    found = _KINDS[kind].from_message(getattr(message, kind), f"{field}.{kind}")
    return found


__all__ = [
    "Baseline",
    "ImageContract",
    "InputSpec",
    "Layout",
    "LogMelContract",
    "PreprocessContract",
    "SpectrogramContract",
    "StftContract",
    "baseline_name",
    "decode",
]
