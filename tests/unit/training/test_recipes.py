"""Recipes are checked before anything is read, and can be changed on the command line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.tiny_sets import KERAS_XRAY_CARD, SPEECH_CARD, XRAY_CARD, recipe_of
from training.recipe import Recipe
from training.vae import VaeRecipe

KERMANY = [{"kind": "kermany"}]
FOLDER = Path(__file__).parents[3] / "training/recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))


def with_output(labels, activation):
    """A Keras network of other labels; some cannot be balanced."""
    card = {**KERAS_XRAY_CARD, "labels": labels, "output": {"activation": activation}}
    return {"card": card, "balanced": False}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_recipe_is_valid_and_named_as_its_model(path):
    recipe = Recipe.read(path)
    assert recipe.card.name == path.stem
    assert recipe.stages[-1].hidden > 0, "the last epochs hide segments"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("examples/*.yaml")), ids=lambda path: path.stem)
def test_each_example_is_valid(path):
    assert Recipe.read(path).card.name == path.stem


@pytest.mark.parametrize("path", sorted(FOLDER.glob("generators/*.yaml")), ids=lambda p: p.stem)
def test_each_generator_is_valid(path):
    assert VaeRecipe.read(path).card.name == path.stem


def test_a_change_on_the_command_line_reaches_any_depth(tmp_path, written):
    path = written(tmp_path / "recipe.yaml", recipe_of(XRAY_CARD, KERMANY))
    changes = ["seed=7", "stages.1.epochs=3", "changes.exposure=0.5", "card.title=Other"]
    recipe = Recipe.read(path, changes)
    assert (recipe.seed, recipe.stages[1].epochs, recipe.card.title) == (7, 3, "Other")
    assert recipe.picture_changes.exposure == 0.5


@pytest.mark.parametrize("change", ["seed", "stages.9.epochs=3", "batch.more.yet=1"])
def test_a_change_that_names_no_place_is_refused(tmp_path, written, change):
    path = written(tmp_path / "recipe.yaml", recipe_of(XRAY_CARD, KERMANY))
    with pytest.raises(ValueError, match=change.split("=")[0]):
        Recipe.read(path, [change])


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ({"data": [{"kind": "speech"}]}, "preprocess"),
        ({"stages": [{"epochs": 1, "taught": 0.5}]}, "teacher"),
        ({"changes": {"devices": 1}}, "changes"),
        ({"stages": []}, "stages"),
        ({"card": {**XRAY_CARD, "output": {"activation": "sigmoid"}}}, "balanced"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(rest, word):
    with pytest.raises(ValidationError, match=word):
        recipe_of(**{"card": XRAY_CARD, "data": KERMANY, **rest})


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ({"stages": [{"epochs": 1, "trained": "head"}]}, "stages.trained"),
        ({"stages": [{"epochs": 1, "size": 16}]}, "stages.size"),
        ({"optimiser": {"learning_rate": 1e-3, "body_share": 0.1}}, "optimiser.body_share"),
        ({"precision": "bfloat16"}, "precision: .* float32"),
        (with_output(["a", "b", "c"], "softmax"), "card.output: .* two labels .* 3 with softmax"),
        (with_output(["a", "b"], "sigmoid"), "card.output: .* 2 with sigmoid"),
    ],
)
def test_what_only_torch_networks_do_is_refused_of_keras_ones_by_name(rest, words):
    with pytest.raises(ValidationError, match=words):
        recipe_of(**{"card": KERAS_XRAY_CARD, "data": KERMANY, **rest})


def test_two_labels_of_pictures_are_told_apart_by_keras_networks_and_taught():
    recipe = recipe_of(
        **{**with_output(["a", "b"], "softmax"), "data": KERMANY},
        teacher="other",
        stages=[{"epochs": 1, "taught": 0.5}],
    )
    assert recipe.framework == "keras"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ({"teacher": "other"}, "teacher"),
        ({"teacher": "other", "stages": [{"epochs": 1, "taught": 0.5}]}, "teacher"),
        ({"card": {**SPEECH_CARD, "architecture": XRAY_CARD["architecture"]}}, "architecture"),
        (
            {
                "card": {
                    **SPEECH_CARD,
                    "output": {"activation": "binary_sigmoid", "positive_label": "fake"},
                }
            },
            "card.output: .* softmax",
        ),
    ],
)
def test_what_is_done_to_pictures_alone_is_refused_of_clips_by_name(rest, words):
    with pytest.raises(ValidationError, match=words):
        recipe_of(**{"card": SPEECH_CARD, "data": [{"kind": "speech"}], **rest})


def test_only_what_decides_the_weights_is_in_the_digest():
    recipe = recipe_of(XRAY_CARD, KERMANY)
    other_words = recipe_of({**XRAY_CARD, "title": "Other"}, KERMANY, threads=2)
    assert other_words.digest == recipe.digest
    assert recipe_of(XRAY_CARD, KERMANY, seed=1).digest != recipe.digest


def test_the_stage_of_each_epoch_is_known():
    recipe = recipe_of(SPEECH_CARD, [{"kind": "speech"}], stages=[{"epochs": 2}, {"epochs": 1}])
    assert [recipe.stage(epoch) is recipe.stages[0] for epoch in range(3)] == [True, True, False]
    assert recipe.epochs == 3 and recipe.hears
