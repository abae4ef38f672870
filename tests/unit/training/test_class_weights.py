"""A label's weight is what its examples count in the loss, in both frameworks, and nowhere else."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pellucid.cards import Card
from tests.support.tiny_sets import SPEECH_CARD, XRAY_CARD, recipe_of
from training.class_weights import class_weights, example_weights
from training.datasets.clips import Clips
from training.keras_data import VariedClips
from training.keras_loop import LOGITS, ORIGIN
from training.places import Places
from training.run import run
from training.torch_loop import Classifier
from training.variation import PictureVariation

KERMANY = [{"kind": "kermany"}]
BINARY = Card.model_validate(XRAY_CARD)
SOFTMAX = Card.model_validate(SPEECH_CARD)
FINDINGS = Card.model_validate(
    {**XRAY_CARD, "labels": ["a", "b"], "output": {"activation": "sigmoid"}}
)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_balanced_gives_each_of_two_labels_the_same_sum():
    targets = column(1, 0, 0, 0)
    weights = class_weights(BINARY, "balanced", targets)
    each = example_weights(weights, targets)
    assert each.tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    two = np.concatenate([1 - targets, targets], axis=1)
    assert example_weights(class_weights(SOFTMAX, "balanced", two), two) == pytest.approx(each)


def test_balanced_findings_count_as_much_present_as_absent():
    targets = np.array([[1, 0], [0, np.nan], [0, 1], [0, 1]], np.float32)
    weights = class_weights(FINDINGS, "balanced", targets)
    assert weights.tolist() == [[1, 1], [3, 0.5]]


def test_weights_by_name_are_those_of_their_labels_and_others_count_once():
    assert class_weights(BINARY, {"pneumonia": 3}, column(0, 1))[:, 0].tolist() == [1, 3]
    assert class_weights(FINDINGS, {"b": 5}, np.ones((1, 2), np.float32)).tolist() == [
        [1, 1],
        [1, 5],
    ]


def test_torch_weighs_the_loss_of_training_and_not_that_of_validation(kermany, tmp_path):
    places = Places(kermany, tmp_path, tmp_path)
    logits, targets = torch.randn(6, 1), torch.tensor(column(1, 0, 1, 0, 0.25, np.nan))
    recipe = recipe_of(XRAY_CARD, KERMANY, class_weights={"pneumonia": 3})
    weights = class_weights(recipe.card, {"pneumonia": 3}, column(0, 1))
    module = Classifier(recipe, torch.nn.Identity(), PictureVariation(recipe, places), weights)
    each = binary_cross_entropy_with_logits(logits[:5], targets[:5], reduction="none")[:, 0]
    expected = (each * torch.tensor([3, 1, 3, 1, 1.5])).mean()
    assert module.loss(logits, targets, torch.from_numpy(weights)) == pytest.approx(expected)
    assert module.loss(logits, targets) == pytest.approx(each.mean())


def test_torch_weighs_labels_that_exclude_each_other(kermany, tmp_path):
    card = {**XRAY_CARD, "output": {"activation": "softmax"}}
    card["architecture"] = {
        **card["architecture"],
        "arguments": {**card["architecture"]["arguments"], "outputs": 2},
    }
    recipe = recipe_of(card, KERMANY, class_weights={"pneumonia": 3})
    variation = PictureVariation(recipe, Places(kermany, tmp_path, tmp_path))
    logits, targets = torch.randn(4, 2), torch.eye(2)[[0, 1, 1, 0]]
    weights = torch.from_numpy(class_weights(recipe.card, {"pneumonia": 3}, targets.numpy()))
    module = Classifier(recipe, torch.nn.Identity(), variation)
    each = cross_entropy(logits, targets, reduction="none")
    expected = (each * torch.tensor([1, 3, 3, 1])).mean()
    assert module.loss(logits, targets, weights) == pytest.approx(expected)


@pytest.mark.parametrize("origin_weight", [0, 0.5])
def test_keras_is_given_the_weight_of_each_example(origin_weight):
    recipe = recipe_of(
        SPEECH_CARD,
        [{"kind": "speech"}],
        class_weights={"fake": 4},
        origin_weight=origin_weight,
        optimiser={"learning_rate": 1e-3, "smoothing": 0},
    )
    count = recipe.card.preprocess.window_samples
    rng = np.random.default_rng(0)
    clips = Clips(
        samples=rng.integers(-9_000, 9_000, (4, count), np.int16),
        labels=np.array([0, 0, 1, 1]),
        sets=("speech",) * 4,
        groups=("person", "person", "engine", "other"),
        owners=("a", "b", "c", "d"),
        twins=np.full(4, -1),
    )
    _, targets, weights = VariedClips(recipe, clips)[0]
    if origin_weight:
        assert set(weights[ORIGIN].tolist()) == {1}
        targets, weights = targets[LOGITS], weights[LOGITS]
    assert weights.tolist() == np.where(targets[:, 1] == 1, 4, 1).tolist()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own exporter
def test_a_training_with_them_ends_with_other_weights(kermany, tmp_path):
    places = Places(kermany, tmp_path / "runs", tmp_path / "repository")
    for name, rest in (("plain", {}), ("weighted", {"class_weights": {"pneumonia": 20}})):
        run(recipe_of({**XRAY_CARD, "name": name}, KERMANY, **rest), places)
    scores = [
        json.loads((places.run(name) / "finished.json").read_text())["validation"]
        for name in ("plain", "weighted")
    ]
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ({"class_weights": {"nope": 2}}, "no label 'nope'"),
        ({"class_weights": "balanced"}, "equally often already"),
        ({"class_weights": {"pneumonia": 0}}, "greater than 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(rest, says):
    with pytest.raises(ValueError, match=says):
        recipe_of(XRAY_CARD, KERMANY, **rest)
