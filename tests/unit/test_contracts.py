from typing import Any

import pytest

from pellucid import contracts
from pellucid.api.common.v1 import contract_pb2
from pellucid.contracts import Layout
from pellucid.errors import InvalidArgument
from tests.unit.preprocess.files import image_contract, sound_contract


@pytest.mark.parametrize(
    "contract",
    [
        image_contract(),
        image_contract(channels=3, layout=Layout.HWC, fit="pad", mean=(0.5, 0.25, 0.125)),
        image_contract(fit="crop"),
        sound_contract(),
        sound_contract(pad="repeat", layout=Layout.HWC),
    ],
)
def test_a_contract_comes_back_as_it_went(contract: Any):
    assert contracts.decode(contract.to_message()) == contract


def test_fit_and_padding_have_defaults():
    message = image_contract(fit="pad").to_message()
    message.image.fit = contract_pb2.FIT_UNSPECIFIED
    decoded = contracts.decode(message)
    assert decoded.kind == "image"
    assert decoded.fit == "stretch"
    message = sound_contract(pad="repeat").to_message()
    message.log_mel.padding = contract_pb2.PADDING_UNSPECIFIED
    sound = contracts.decode(message)
    assert sound.kind == "log_mel"
    assert sound.pad == "silence"


def refused(message: contract_pb2.PreprocessContract) -> str:
    with pytest.raises(InvalidArgument) as caught:
        contracts.decode(message)
    assert caught.value.remedy
    return caught.value.field


def test_an_empty_contract_is_refused():
    assert refused(contract_pb2.PreprocessContract()) == "contract"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 0),
        ("width", 2049),
        ("channels", 2),
        ("layout", 0),
        ("layout", 9),
        ("fit", 9),
        ("mean", [0.1, 0.2]),
        ("mean", []),
        ("mean[0]", [float("nan")]),
        ("std[0]", [0.0]),
        ("std[0]", [float("inf")]),
    ],
)
def test_a_wrong_field_of_an_image_contract_is_named(field: str, value: Any):
    message = image_contract().to_message()
    name = field.partition("[")[0]
    if isinstance(value, list):
        message.image.ClearField(name)  # type: ignore[arg-type]
        getattr(message.image, name).extend(value)
    else:
        setattr(message.image, name, value)
    assert refused(message) == f"contract.image.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate_hz", 100),
        ("window_seconds", 0),
        ("window_seconds", 0.01),
        ("window_seconds", float("nan")),
        ("hop_seconds", 61),
        ("n_fft", 32),
        ("win_length", 1024),
        ("hop_length", 8),
        ("n_mels", 1000),
        ("fmin_hz", -1),
        ("fmin_hz", 7_700),
        ("fmax_hz", 8_001),
        ("ceiling_db", -80),
        ("floor_db", float("-inf")),
        ("mean", float("nan")),
        ("std", 0),
        ("padding", 7),
        ("layout", 0),
    ],
)
def test_a_wrong_field_of_a_sound_contract_is_named(field: str, value: Any):
    message = sound_contract().to_message()
    setattr(message.log_mel, field, value)
    assert refused(message) == f"contract.log_mel.{field}"


def test_a_spectrogram_that_fills_the_memory_is_refused():
    message = sound_contract().to_message()
    vast = {"sample_rate_hz": 96_000, "window_seconds": 60, "n_fft": 16_384, "hop_length": 16}
    for name, value in vast.items():
        setattr(message.log_mel, name, value)
    assert refused(message) == "contract.log_mel.hop_length"


def test_the_remedy_says_what_the_field_should_be():
    message = sound_contract().to_message()
    message.log_mel.win_length = 16_384
    with pytest.raises(InvalidArgument) as caught:
        contracts.decode(message)
    assert caught.value.remedy == "it should be at most n_fft"
