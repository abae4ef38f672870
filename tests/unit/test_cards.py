"""A card that could not be served is none."""

from typing import Any

import pytest
from pydantic import ValidationError

from pellucid.cards import Card
from tests.unit.preprocess.files import image_contract, sound_contract


def card(name: str = "tone", modality: str = "speech", **preprocess: Any) -> Card:
    return Card.model_validate(
        {
            "name": name,
            "version": "1",
            "title": "",
            "description": "",
            "modality": modality,
            "labels": ["yes", "no"],
            "output": {"activation": "softmax"},
            "preprocess": sound_contract().model_dump() | preprocess,
        }
    )


def faults(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        card(**fields)
    return [".".join(str(part) for part in fault["loc"]) for fault in caught.value.errors()]


def test_a_card_of_fields_that_fit_each_other_comes_back_as_it_went():
    assert Card.from_json(card().to_json()) == card()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("win_length", 16_384),
        ("fmax_hz", 8_001),
        ("fmin_hz", 7_700),
        ("ceiling_db", -80),
        ("window_seconds", 0.01),
        ("mean", float("nan")),
        ("floor_db", float("-inf")),
    ],
)
def test_fields_of_a_card_that_contradict_each_other_are_named(field: str, value: float):
    assert faults(**{field: value}) == [f"preprocess.log_mel.{field}"]


def test_every_contradiction_is_told():
    assert faults(win_length=1_024, ceiling_db=-90) == [
        "preprocess.log_mel.win_length",
        "preprocess.log_mel.ceiling_db",
    ]


@pytest.mark.parametrize("field", ["mean", "std"])
def test_a_picture_has_one_value_for_each_channel(field: str):
    with pytest.raises(ValidationError) as caught:
        image_contract(**{field: (0.5, 0.5)})
    assert [fault["loc"] for fault in caught.value.errors()] == [(field,)]


def test_a_card_has_no_name_of_a_masked_graph():
    assert faults(name="tone_masked") == ["name"]
    assert card(name="masked").name == "masked"
    assert card(name="tone_masked_2").name == "tone_masked_2"


def test_the_modality_is_the_cards_own_word():
    assert card(modality="skin_lesion").modality == "skin_lesion"
    assert faults(modality="Skin lesion") == ["modality"]
