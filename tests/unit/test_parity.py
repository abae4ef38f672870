import numpy as np
import pytest

from pellucid.cards import Card
from pellucid.parity import PROBES, compare, probes
from tests.support.cards import COLOUR, GREY, LAYERED, SPEECH, card


def logits(value: float) -> np.ndarray:
    return np.full((PROBES, 2), [value, 0.0], np.float32)


def test_equal_answers_pass_and_say_on_how_many_probes() -> None:
    parity = compare(LAYERED, lambda x: logits(1), lambda x: logits(1))
    assert parity.passed
    assert (parity.max_score_difference, parity.probes) == (0, PROBES)


def test_answers_that_differ_more_than_the_card_allows_do_not_pass() -> None:
    parity = compare(LAYERED, lambda x: logits(0), lambda x: logits(5))
    assert not parity.passed
    assert parity.max_score_difference > parity.tolerance == pytest.approx(0.02)


def test_scores_that_are_not_finite_never_pass() -> None:
    parity = compare(LAYERED, lambda x: logits(np.nan), lambda x: logits(0))
    assert not parity.passed
    assert parity.max_score_difference == 1


@pytest.mark.parametrize(
    "model",
    [GREY, COLOUR, card(layout="HWC"), SPEECH],
    ids=["grey", "colour", "channels last", "sound"],
)
def test_probes_stay_in_the_range_of_the_contract_and_never_change(model: Card) -> None:
    found = probes(model)
    assert found.shape == (PROBES, *model.preprocess.shape)
    low, high = model.preprocess.value_range
    axes = tuple(axis for axis in range(4) if axis != model.preprocess.channel_axis + 1)
    np.testing.assert_allclose(found.min(axis=axes), low, atol=1e-5)
    np.testing.assert_allclose(found.max(axis=axes), high, atol=1e-5)
    np.testing.assert_array_equal(found, probes(model))
