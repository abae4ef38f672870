"""Ensembles: the mean of the members' calibrated scores, and members that do not go together."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from pellucid.cards import MEMBER_SCORES, Card
from pellucid.repository.build import build_model, is_current
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.folder import ModelFolder
from pellucid.scores import calibrated, probabilities
from tests.support.known_models import (
    Ensemble,
    Floats,
    binary_model,
    linear_model,
    write_card,
    write_ensemble,
    write_linear,
)


def run(model: Path | bytes, names: list[str], **inputs: Floats) -> list[Floats]:
    content = model if isinstance(model, bytes) else model.read_bytes()
    return onnxruntime.InferenceSession(content).run(names, inputs)


def pictures(card: Card, count: int = 5) -> Floats:
    return np.random.default_rng(0).random((count, *card.preprocess.shape), dtype=np.float32)


def pair(repository: Path) -> Ensemble:
    members = [linear_model(repository, n, seed=s, temperature=t) for n, s, t in TWO]
    return write_ensemble(repository, "both", members)


TWO = [("one", 1, 0.5), ("two", 2, 3.0)]


def test_the_score_is_the_mean_of_the_members_calibrated_scores(tmp_path: Path) -> None:
    found = pair(tmp_path)
    inputs = pictures(found.card)
    logits, members = run(found.folder / "1/model.onnx", ["logits", MEMBER_SCORES], input=inputs)
    assert members == pytest.approx(found.member_scores(inputs), abs=1e-6)
    assert probabilities(found.card, logits) == pytest.approx(found.scores(inputs), abs=1e-6)


def test_a_single_logit_is_that_of_the_mean(tmp_path: Path) -> None:
    members = [binary_model(tmp_path, n, seed=s, temperature=t) for n, s, t in TWO]
    found = write_ensemble(tmp_path, "both", members)
    inputs = pictures(found.card)
    logits, scores = run(found.folder / "1/model.onnx", ["logits", MEMBER_SCORES], input=inputs)
    assert scores[..., 0] == pytest.approx(found.member_scores(inputs)[..., 1], abs=1e-6)
    assert probabilities(found.card, logits) == pytest.approx(found.scores(inputs), abs=1e-6)


def independent(repository: Path, name: str, bias: float, **temperature: float) -> Any:
    facts = linear_model(repository / "template", name).card.model_dump(mode="json")
    facts |= {"output": {"activation": "sigmoid"}, "calibration": {"temperature": temperature}}
    weights = np.random.default_rng(len(name)).normal(0, 0.1, (3, 1, 32, 32)).astype(np.float32)
    card = Card.model_validate(facts)
    return write_linear(repository, card, weights, np.array([bias, 0, -bias], np.float32))


@pytest.mark.parametrize("bias", [1.0, 60.0, 500.0])
def test_independent_labels_are_averaged_each_and_scores_near_the_ends_stay_finite(
    tmp_path: Path, bias: float
) -> None:
    members = [
        independent(tmp_path, "one", bias, first=1, second=2, third=3),
        independent(tmp_path, "three", bias, first=2, second=1, third=0.5),
    ]
    found = write_ensemble(tmp_path, "both", members)
    inputs = pictures(found.card)
    (logits,) = run(found.folder / "1/model.onnx", ["logits"], input=inputs)
    assert np.isfinite(logits).all()
    assert probabilities(found.card, logits) == pytest.approx(found.scores(inputs), abs=1e-6)


def test_hidden_segments_are_hidden_from_every_member(tmp_path: Path) -> None:
    found = pair(tmp_path)
    image = pictures(found.card, 1)
    segments = (np.arange(32 * 32).reshape(32, 32) // 256).astype(np.uint16)
    masks = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.uint8)
    (logits,) = run(
        tmp_path / "both_masked/1/model.onnx",
        ["logits"],
        image=image,
        baseline=np.full((1, 1, 1, 1), 0.5, np.float32),
        segments=segments,
        masks=masks,
    )
    shown = np.where(masks[:, segments][:, None] == 1, image, np.float32(0.5))
    assert probabilities(found.card, logits) == pytest.approx(found.scores(shown), abs=1e-6)


def test_the_masked_graph_and_its_configuration_answer_logits_alone(tmp_path: Path) -> None:
    pair(tmp_path)
    graph = onnx.load_model(tmp_path / "both_masked/1/model.onnx").graph
    assert [value.name for value in graph.output] == ["logits"]
    assert MEMBER_SCORES in (tmp_path / "both/config.pbtxt").read_text()
    assert (
        MEMBER_SCORES
        not in (tmp_path / "both_masked/config.pbtxt").read_text().split("pellucid_card")[0]
    )


def test_the_digest_is_of_the_members_digests(tmp_path: Path) -> None:
    first = ModelFolder.read(pair(tmp_path).folder).weights_digest()
    linear_model(tmp_path / "other", "one", seed=9, temperature=0.5)
    (tmp_path / "other/one/1/model.onnx").replace(tmp_path / "one/1/model.onnx")
    second = ModelFolder.read(tmp_path / "both").weights_digest()
    assert (len(first), first != second) == (64, True)


def test_an_ensemble_is_built_again_where_a_members_temperature_has_changed(
    tmp_path: Path,
) -> None:
    found = pair(tmp_path)
    assert is_current(found.folder)
    change_card(tmp_path / "one", calibration={"temperature": 7.0})
    assert not is_current(found.folder)
    build_model(found.folder)
    inputs = pictures(found.card)
    (scores,) = run(found.folder / "1/model.onnx", [MEMBER_SCORES], input=inputs)
    card = Card.read(tmp_path / "one/card.yaml")
    expected = calibrated(card, found.members[0].logits(inputs))
    assert scores[:, 0] == pytest.approx(expected, abs=1e-6)


def change_card(folder: Path, **fields: object) -> None:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": ["first", "second", "last"]}, "both: member one has another labels"),
        ({"output": {"activation": "sigmoid"}, "calibration": None}, "has another output"),
        ({"calibration": None}, "has no calibration for every label"),
        ({"members": ["two", "both"]}, "both: member one: it is an ensemble itself"),
        ({"name": "other"}, "is of a model called"),
    ],
)
def test_members_that_do_not_go_together_are_named(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    found = pair(tmp_path)
    change_card(tmp_path / "one", **fields)
    with pytest.raises(ModelNotBuilt, match=words):
        build_model(found.folder)


def test_members_of_another_contract_are_named(tmp_path: Path) -> None:
    found = pair(tmp_path)
    preprocess = found.card.preprocess.model_dump(mode="json")
    change_card(tmp_path / "two", preprocess={**preprocess, "mean": [0.25]})
    with pytest.raises(ModelNotBuilt, match="both: member two has another preprocess"):
        build_model(found.folder)


def test_a_member_that_is_not_there_is_named(tmp_path: Path) -> None:
    member = linear_model(tmp_path, "one", temperature=1.0)
    facts = member.card.model_dump(mode="json", exclude_defaults=True)
    card = Card.model_validate(facts | {"name": "both", "members": ["one", "gone"]})
    with pytest.raises(ModelNotBuilt, match=r"both: member gone: gone/card\.yaml: No such file"):
        build_model(write_card(tmp_path, card))
