import numpy as np
import pytest
from pydantic import ValidationError

from explain_service.baselines import resolve_baseline
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.baselines import make_baseline
from pellucid.cards import Card
from pellucid.errors import InvalidArgument
from tests.support.cards import COLOUR, GREY, SPEECH


def test_black_is_the_pixel_value_zero() -> None:
    image = np.zeros(COLOUR.preprocess.shape, np.float32)
    black = make_baseline(COLOUR.preprocess, pb.BASELINE_BLACK, image)
    assert black.shape == (1, 3, 1, 1)
    assert black.ravel() == pytest.approx([-2.5, -2, -3])


def test_silence_is_the_lowest_power() -> None:
    chosen = resolve_baseline(SPEECH, pb.BASELINE_UNSPECIFIED, "")
    tensor = np.ones(SPEECH.preprocess.shape, np.float32)
    silence = make_baseline(SPEECH.preprocess, chosen, tensor)
    assert silence.shape == (1, 1, 1, 1)
    assert silence.item() == pytest.approx(-2)


def test_the_mean_is_that_of_each_channel_of_the_input() -> None:
    image = np.random.default_rng(0).random(COLOUR.preprocess.shape, np.float32)
    chosen = resolve_baseline(COLOUR, pb.BASELINE_UNSPECIFIED, "")
    mean = make_baseline(COLOUR.preprocess, chosen, image)
    assert mean.ravel() == pytest.approx(image.mean(axis=(1, 2)))


def test_blur_keeps_the_channels_apart() -> None:
    image = np.zeros(COLOUR.preprocess.shape, np.float32)
    image[0, 16, 16] = 1
    blurred = make_baseline(COLOUR.preprocess, pb.BASELINE_BLUR, image)
    assert blurred.shape == (1, 3, 32, 32)
    assert 0 < blurred[0, 0].max() < 0.1
    assert not blurred[0, 1:].any()


def test_the_default_is_the_cards_where_it_names_one() -> None:
    assert resolve_baseline(GREY, pb.BASELINE_UNSPECIFIED, "") == pb.BASELINE_MEAN
    blurred = Card.model_validate(GREY.model_dump() | {"default_baseline": "blur"})
    assert resolve_baseline(blurred, pb.BASELINE_UNSPECIFIED, "") == pb.BASELINE_BLUR
    assert resolve_baseline(blurred, pb.BASELINE_BLACK, "") == pb.BASELINE_BLACK


def test_a_card_cannot_name_a_baseline_of_the_other_kind() -> None:
    with pytest.raises(ValidationError, match="default_baseline has to be one of: mean"):
        Card.model_validate(GREY.model_dump() | {"default_baseline": "silence"})


@pytest.mark.parametrize(("model", "wrong"), [(GREY, "SILENCE"), (SPEECH, "BLACK")])
def test_a_baseline_of_the_other_kind_is_refused(model: Card, wrong: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve_baseline(model, pb.Baseline.Value(f"BASELINE_{wrong}"), "options.baseline")
    assert caught.value.field == "options.baseline"
    assert "mean" in caught.value.remedy


def test_a_baseline_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        resolve_baseline(GREY, 99, "options.baseline")  # type: ignore[arg-type]
