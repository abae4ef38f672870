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


def message(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Card.model_validate(card().model_dump() | fields)
    return str(caught.value)


def test_the_first_operating_point_stays_the_first_on_the_way_through_json():
    points = {"sensitive": {"yes": 0.2}, "balanced": {"yes": 0.4}}
    told = Card.model_validate(card().model_dump() | {"operating_points": points})
    assert list(Card.from_json(told.to_json()).operating_points) == ["sensitive", "balanced"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"operating_points": {"balanced": {"maybe": 0.5}}}, "operating point balanced names no"),
        ({"operating_points": {"balanced": {"yes": 1.5}}}, "less than or equal to 1"),
        ({"operating_points": {"balanced": {}}}, "at least 1 item"),
        ({"calibration": {"temperature": {"yes": 1.0}}}, "give one temperature where labels"),
        ({"calibration": {"temperature": 0}}, "greater than 0"),
        ({"members": ["one"]}, "members: name two models or more"),
        ({"members": ["one", "tone"]}, "a model is no member of itself"),
        (
            {"output": {"activation": "sigmoid"}, "calibration": {"temperature": 1.5}},
            "and one by label where they are independent",
        ),
        (
            {"output": {"activation": "sigmoid"}, "calibration": {"temperature": {"maybe": 1}}},
            "calibration names no label",
        ),
    ],
)
def test_thresholds_and_temperatures_that_fit_no_label_are_refused(
    fields: dict[str, Any], words: str
):
    assert words in message(**fields)


def test_the_modality_is_the_cards_own_word():
    assert card(modality="skin_lesion").modality == "skin_lesion"
    assert faults(modality="Skin lesion") == ["modality"]
