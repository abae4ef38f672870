"""From logits to scores, and from targets to labels."""

from typing import Any

import numpy as np
import pytest

from pellucid.api.explain.v1.methods_pb2 import Target
from pellucid.cards import Card
from pellucid.errors import InvalidArgument, UnknownLabel
from pellucid.scores import (
    calibrated,
    check_targets,
    expected_targets,
    label_logits,
    probabilities,
    resolve_operating_point,
    resolve_targets,
)


def card(
    activation: str = "softmax", labels: tuple[str, ...] = ("a", "b", "c"), **more: Any
) -> Card:
    positive = {"positive_label": labels[1]} if activation == "binary_sigmoid" else {}
    return Card.model_validate(
        {
            "name": "model",
            "version": "1",
            "title": "",
            "description": "",
            "modality": "photo",
            "labels": labels,
            "output": {"activation": activation, **positive},
            "preprocess": {
                "kind": "image",
                "height": 8,
                "width": 8,
                "channels": 1,
                "layout": "CHW",
                "mean": [0],
                "std": [1],
            },
            **more,
        }
    )


def floats(*rows: list[float]) -> Any:
    return np.array(rows, np.float32)


def test_softmax_scores_add_up_to_one() -> None:
    scores = probabilities(card(), floats([1, 2, 3], [1000, 0, -1000]))
    assert scores.sum(axis=1) == pytest.approx([1, 1])
    assert scores[0] == pytest.approx([0.0900, 0.2447, 0.6652], abs=1e-4)


def test_sigmoid_scores_do_not_overflow() -> None:
    scores = probabilities(card("sigmoid"), floats([-1000, 0, 1000]))
    assert scores[0].tolist() == [0, 0.5, 1]


def test_the_negative_label_of_a_single_logit_has_it_negated() -> None:
    single = card("binary_sigmoid", ("well", "ill"))
    assert label_logits(single, floats([2], [-3])).tolist() == [[-2, 2], [3, -3]]
    scores = probabilities(single, floats([2]))
    assert scores[0] == pytest.approx([0.1192, 0.8808], abs=1e-4)


def test_without_a_target_the_highest_score_is_explained() -> None:
    assert resolve_targets(card(), [], floats([0.2, 0.5, 0.3])[0], "targets") == [1]


def test_targets_keep_their_order_and_lose_their_repetitions() -> None:
    wanted = [Target(label="c"), Target(top_k=2), Target(index=0)]
    assert resolve_targets(card(), wanted, floats([0.1, 0.6, 0.3])[0], "t") == [2, 1, 0]


def test_all_above_their_thresholds_are_explained_the_highest_first() -> None:
    points = {"balanced": {"a": 0.3, "b": 0.9}}
    chosen = resolve_targets(
        card("sigmoid", operating_points=points),
        [Target(above_threshold=True)],
        floats([0.4, 0.8, 0.7])[0],
        "t",
    )
    assert chosen == [2, 0]


def test_the_highest_is_explained_where_none_is_above_its_threshold() -> None:
    wanted = [Target(above_threshold=True)]
    assert resolve_targets(card("sigmoid"), wanted, floats([0.1, 0.3, 0.2])[0], "t") == [1]


@pytest.mark.parametrize(
    ("target", "kind", "field"),
    [
        (Target(label="d"), UnknownLabel, "t[0].label"),
        (Target(index=3), UnknownLabel, "t[0].index"),
        (Target(top_k=0), InvalidArgument, "t[0].top_k"),
        (Target(top_k=4), InvalidArgument, "t[0].top_k"),
        (Target(), InvalidArgument, "t[0]"),
    ],
    ids=["label", "index", "none of them", "more than there are", "empty"],
)
def test_a_target_that_is_wrong_is_named(target: Target, kind: type, field: str) -> None:
    with pytest.raises(kind) as caught:
        check_targets(card(), [target], "t")
    assert type(caught.value) is kind
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_request_has_a_limited_number_of_targets() -> None:
    wanted = [Target(index=0)] * 65
    with pytest.raises(InvalidArgument) as caught:
        check_targets(card(), wanted, "options.targets")
    assert caught.value.field == "options.targets"
    assert caught.value.metadata["maximum"] == "64"


def test_of_two_classes_the_one_that_reached_its_threshold_is_present_alone() -> None:
    binary = card(
        labels=["normal", "ill"],
        operating_points={"balanced": {"ill": 0.2}},
        output={"activation": "binary_sigmoid", "positive_label": "ill"},
    )
    wanted = [Target(above_threshold=True)]
    for score, present in ((0.3, [1]), (0.1, [0]), (0.9, [1])):
        assert resolve_targets(binary, wanted, floats([1 - score, score])[0], "t") == present


def test_a_request_chooses_whose_thresholds_decide_what_is_present() -> None:
    points = {"strict": {"a": 0.9, "b": 0.9, "c": 0.9}, "lax": {"a": 0.1, "b": 0.1, "c": 0.1}}
    found = [
        resolve_targets(
            card("sigmoid", operating_points=points),
            [Target(above_threshold=True)],
            floats([0.05, 0.3, 0.95])[0],
            "t",
            point,
        )
        for point in ("", "strict", "lax")
    ]
    assert found == [[2], [2], [2, 1]]


def test_the_operating_point_is_the_cards_first_unless_one_is_named() -> None:
    model = card(operating_points={"balanced": {"a": 0.4}, "sensitive": {"a": 0.2}})
    assert resolve_operating_point(model, "") == "balanced"
    assert resolve_operating_point(model, "sensitive") == "sensitive"
    assert resolve_operating_point(card(), "") == ""


@pytest.mark.parametrize(
    ("points", "remedy"),
    [
        ({"balanced": {"a": 0.4}, "sensitive": {"a": 0.2}}, "choose one of: balanced, sensitive"),
        ({}, "leave it out: the model has none"),
    ],
)
def test_an_operating_point_that_the_model_does_not_have_is_refused(
    points: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve_operating_point(card(operating_points=points), "lucky")
    assert (caught.value.field, caught.value.remedy) == ("operating_point", remedy)


def test_a_temperature_of_two_halves_the_logits_before_the_activation() -> None:
    model = card(calibration={"temperature": 2})
    assert calibrated(model, floats([2, 4, 6])) == pytest.approx(
        probabilities(model, floats([1, 2, 3]))
    )


def test_both_classes_of_a_single_logit_are_calibrated() -> None:
    model = card("binary_sigmoid", ("well", "ill"), calibration={"temperature": 0.5})
    assert calibrated(model, floats([1]))[0] == pytest.approx([0.1192, 0.8808], abs=1e-4)


def test_labels_without_a_temperature_have_no_calibrated_score() -> None:
    model = card("sigmoid", calibration={"temperature": {"a": 2, "c": 1}})
    scores = calibrated(model, floats([2, 2, 2]))[0]
    assert scores[[0, 2]] == pytest.approx([0.7311, 0.8808], abs=1e-4)
    assert np.isnan(scores[1])
    assert np.isnan(calibrated(card(), floats([1, 2, 3]))).all()


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ([], 1),
        ([Target(top_k=2)], 2),
        ([Target(label="b"), Target(index=1)], 1),
        ([Target(above_threshold=True)], 1),
    ],
    ids=["default", "top two", "the same twice", "above threshold"],
)
def test_targets_are_counted_before_there_are_scores(wanted: list[Target], count: int) -> None:
    assert expected_targets(card(), wanted) == count
