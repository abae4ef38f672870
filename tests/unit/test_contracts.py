from typing import Any

import numpy as np
import pytest

from pellucid import contracts
from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts import InputSpec, Layout
from pellucid.errors import InvalidArgument
from tests.unit.preprocess.files import image_contract, sound_contract, stft_contract


@pytest.mark.parametrize(
    "contract",
    [
        image_contract(),
        image_contract(channels=3, layout=Layout.HWC, fit="pad", mean=(0.5, 0.25, 0.125)),
        image_contract(fit="crop"),
        sound_contract(),
        sound_contract(pad="repeat", layout=Layout.HWC),
        stft_contract(),
        stft_contract(pad="repeat", phase=True, layout=Layout.HWC),
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


COLOUR = {"channels": 3, "mean": (0.5, 0.25, 0.125), "std": (0.5, 0.25, 0.125)}
EVERY_KIND = [
    image_contract(),
    image_contract(layout=Layout.CHW, **COLOUR),
    image_contract(layout=Layout.HWC, **COLOUR),
    sound_contract(layout=Layout.CHW),
    sound_contract(layout=Layout.HWC),
]


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.kind} {spec.layout}")
def test_a_tensor_is_seen_as_it_was_made(spec: InputSpec):
    seen = np.random.default_rng(0).random((*spec.plane, spec.planes))
    tensor = spec.undisplayed(seen)
    assert tensor.shape == spec.shape
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(spec.displayed(tensor), seen, atol=1e-5)
    several = spec.undisplayed(np.stack([seen, 1 - seen]))
    np.testing.assert_array_equal(several[0], tensor)


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.kind} {spec.layout}")
def test_the_channel_axis_is_that_of_the_planes(spec: InputSpec):
    assert spec.shape[spec.channel_axis] == spec.planes
    rest = [size for axis, size in enumerate(spec.shape) if axis != spec.channel_axis]
    assert tuple(rest) == spec.plane


def test_what_lies_outside_the_range_is_seen_as_its_end():
    spec = image_contract(mean=(0.0,), std=(1.0,))
    extremes = np.full(spec.shape, -3.0, np.float32)
    extremes[0, 0, 0] = 5.0
    seen = spec.displayed(extremes)
    assert (seen.min(), seen.max()) == (0, 1)


def test_each_kind_has_its_own_baselines_and_segmentation_the_default_first():
    picture, sound = image_contract(), sound_contract()
    assert picture.baselines[0] == methods_pb2.BASELINE_MEAN
    assert methods_pb2.BASELINE_BLACK in picture.baselines
    assert methods_pb2.BASELINE_SILENCE not in picture.baselines
    assert sound.baselines[0] == methods_pb2.BASELINE_SILENCE
    assert methods_pb2.BASELINE_BLACK not in sound.baselines
    assert picture.default_segmentation().WhichOneof("segmentation") == "slic"
    assert sound.default_segmentation().WhichOneof("segmentation") == "grid"


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_fft", 32), ("win_length", 1024), ("floor_db", 80), ("std", 0), ("layout", 0)],
)
def test_a_bad_field_of_a_plain_spectrogram_is_named(field: str, value: float):
    message = stft_contract().to_message()
    setattr(message.stft, field, value)
    wrong = "ceiling_db" if field == "floor_db" else field
    assert refused(message) == f"contract.stft.{wrong}"


def test_a_plain_spectrogram_has_a_row_for_each_frequency_and_channels_for_the_phases():
    assert stft_contract().shape == (1, 256, 63)
    assert stft_contract(phase=True, layout=Layout.HWC).shape == (256, 63, 3)
    low, high = stft_contract(phase=True).value_range
    assert low.tolist() == [-2, 0, 0] and high.tolist() == [4, 1, 1]
