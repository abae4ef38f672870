"""A Keras training is measured, and goes on after an interruption as if there had been none."""

import json

import keras
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from pellucid.cards import Card
from tests.support.tiny_sets import KERAS_XRAY_CARD, SPEECH_CARD, recipe_of
from training.keras_loop import keep_last
from training.places import Places
from training.publish import described
from training.run import run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of Keras' own exporter

CLIPS = [{"kind": "speech"}, {"kind": "speech_neural"}]


def test_clips_of_two_sets_are_judged_by_the_worse_of_them(speech, tmp_path):
    places = Places(speech, tmp_path / "runs", tmp_path / "repository")
    recipe = recipe_of(
        SPEECH_CARD,
        CLIPS,
        choose="auc",
        changes={"copies": 1},
        stages=[{"epochs": 1, "variation": 0}, {"epochs": 1, "hidden": 0.5}],
        origin_weight=0.5,
    )
    run(recipe, places)
    folder = places.run("tiny_speech")
    assert keep_last(recipe, places, tmp_path / "last.safetensors")
    last, kept = load_file(tmp_path / "last.safetensors"), load_file(folder / "weights.safetensors")
    assert set(last) == set(kept), "the head that names the engines is not kept"
    lines = (folder / "curves.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    aucs = [float(last[f"val_auc_{name}"]) for name in ("speech", "speech_neural")]
    assert float(last["chosen"]) == min(aucs)
    assert json.loads((folder / "detector.json").read_text())["detector"]["threshold"] > 0
    figures = json.loads((folder / "finished.json").read_text())
    assert set(figures["validation"]) == {"speech", "speech_neural"}
    card = described(recipe.card, figures)
    points = Card.model_validate(yaml.safe_load(card)).operating_points
    assert list(points) == ["balanced", "sensitive", "specific", "fixed_0.3"]
    assert points["sensitive"]["fake"] <= points["balanced"]["fake"] <= points["specific"]["fake"]
    assert figures["calibration"]["temperature"] > 0


# A process that is interrupted leaves the closing of its curves to the system.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(kermany, tmp_path):
    recipe = recipe_of(
        KERAS_XRAY_CARD,
        [{"kind": "kermany"}],
        stages=[{"epochs": 2, "hidden": 0.2}],
        optimiser={"learning_rate": 1e-3, "average": 0.5},
        choose="loss",
    )
    whole, parted = (
        Places(kermany, tmp_path / name, tmp_path / "repository") for name in ("whole", "parted")
    )
    run(recipe, whole)

    def stop(self, epoch, logs=None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_begin", stop)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, parted)
    run(recipe, parted)
    ours, theirs = (load_file(each.run("tiny") / "weights.safetensors") for each in (whole, parted))
    for key, value in ours.items():
        np.testing.assert_allclose(theirs[key], value, atol=2e-3, rtol=2e-2, err_msg=key)
