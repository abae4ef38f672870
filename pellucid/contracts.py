"""The preprocess contract of a card as it goes over the wire, and back with every field checked."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from pellucid.api.common.v1 import contract_pb2
from pellucid.cards import AudioContract, ImageContract, Layout, PreprocessContract
from pellucid.errors import InvalidArgument

_LAYOUTS: Final = {
    Layout.CHW: contract_pb2.LAYOUT_CHW,
    Layout.HWC: contract_pb2.LAYOUT_HWC,
}
_FITS: Final = {
    "stretch": contract_pb2.FIT_STRETCH,
    "crop": contract_pb2.FIT_CROP,
    "pad": contract_pb2.FIT_PAD,
}
_PADDINGS: Final = {
    "silence": contract_pb2.PADDING_SILENCE,
    "repeat": contract_pb2.PADDING_REPEAT,
}
_LOG_MEL_NUMBERS: Final = (
    "sample_rate_hz",
    "window_seconds",
    "hop_seconds",
    "n_fft",
    "win_length",
    "hop_length",
    "n_mels",
    "fmin_hz",
    "fmax_hz",
    "floor_db",
    "ceiling_db",
    "mean",
    "std",
)


def encode(contract: PreprocessContract) -> contract_pb2.PreprocessContract:
    """Encode the contract of a card."""
    if isinstance(contract, ImageContract):
        image = contract_pb2.ImageContract(
            height=contract.height,
            width=contract.width,
            channels=contract.channels,
            layout=_LAYOUTS[contract.layout],
            fit=_FITS[contract.fit],
            mean=contract.mean,
            std=contract.std,
        )
        return contract_pb2.PreprocessContract(image=image)
    log_mel = contract_pb2.LogMelContract(
        padding=_PADDINGS[contract.pad],
        layout=_LAYOUTS[contract.layout],
        **{name: getattr(contract, name) for name in _LOG_MEL_NUMBERS},
    )
    return contract_pb2.PreprocessContract(log_mel=log_mel)


def decode(
    message: contract_pb2.PreprocessContract, field: str = "contract"
) -> ImageContract | AudioContract:
    """Decode a contract that came from outside.

    Args:
        message: as it was received.
        field: its path in the request, for the error.

    Raises:
        InvalidArgument: a field is missing or out of range; the error names it.
    """
    kind = message.WhichOneof("contract")
    if kind is None:
        raise InvalidArgument(
            "the contract is empty", field=field, remedy="set `image` or `log_mel`"
        )
    if kind == "image":
        return _image(message.image, f"{field}.image")
    return _log_mel(message.log_mel, f"{field}.log_mel")


def _image(message: contract_pb2.ImageContract, field: str) -> ImageContract:
    try:
        return ImageContract(
            kind="image",
            height=message.height,
            width=message.width,
            channels=message.channels,  # type: ignore[arg-type]
            layout=_layout(message.layout, field),
            fit=_choice(_FITS, message.fit, "stretch", f"{field}.fit"),
            mean=tuple(message.mean),
            std=tuple(message.std),
        )
    except ValidationError as error:
        raise _invalid(error, field) from error


def _log_mel(message: contract_pb2.LogMelContract, field: str) -> AudioContract:
    numbers: dict[str, Any] = {name: getattr(message, name) for name in _LOG_MEL_NUMBERS}
    try:
        return AudioContract(
            kind="log_mel",
            pad=_choice(_PADDINGS, message.padding, "silence", f"{field}.padding"),
            layout=_layout(message.layout, field),
            **numbers,
        )
    except ValidationError as error:
        raise _invalid(error, field) from error


def _layout(value: int, field: str) -> Layout:
    found = _choice(_LAYOUTS, value, None, f"{field}.layout")
    assert isinstance(found, Layout)
    return found


def _choice(table: Mapping[Any, int], value: int, default: str | None, field: str) -> Any:
    for name, number in table.items():
        if number == value:
            return name
    if value == 0 and default is not None:
        return default
    known = ", ".join(f"{number} ({name})" for name, number in table.items())
    raise InvalidArgument(
        f"{field} is {value or 'missing'}", field=field, remedy=f"choose one of: {known}"
    )


def _invalid(error: ValidationError, field: str) -> InvalidArgument:
    first = error.errors()[0]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    rule = first["msg"].removeprefix("Input should be ")
    return InvalidArgument(
        f"{field}{name} is out of range", field=f"{field}{name}", remedy=f"it should be {rule}"
    )
