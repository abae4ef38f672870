"""What a training puts into the repository of served models, and the picture of its curves."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from pellucid.cards import Card, Detector
from tests.support.tiny_sets import XRAY_CARD, recipe_of
from training.card_file import MARK
from training.curves import draw_curves, read_curves
from training.places import Places
from training.publish import publish
from training.run_recipe import OtherRun, claim

RECIPE = recipe_of(XRAY_CARD, [{"kind": "kermany"}])
UNLIKE = {"white_noise": {"inputs": 60, "warned": 1.0}}
DETECTOR = Detector(kind="mahalanobis", threshold=1.5, digest="0" * 64)


@pytest.fixture
def places(tmp_path) -> Places:
    places = Places(tmp_path, tmp_path / "runs", tmp_path / "repository")
    run = places.run("tiny")
    claim(run, RECIPE)
    (run / "weights.safetensors").write_bytes(b"weights")
    (run / "detector.safetensors").write_bytes(b"detector")
    (run / "detector.json").write_text(
        json.dumps({"detector": DETECTOR.model_dump(), "out_of_distribution": UNLIKE})
    )
    figures = {
        "operating_points": {"balanced": {"pneumonia": 0.4}, "fixed_0.3": {"pneumonia": 0.3}},
        "calibration": {"temperature": 1.5},
        "macro_auc": 0.9,
    }
    (run / "finished.json").write_text(json.dumps(figures))
    return places


def publishing(recipe, places) -> list[str]:
    folders = [f"--runs={places.runs}", f"--repository={places.repository}"]
    return [sys.executable, "-m", "training.publish", str(recipe), *folders]


def test_the_card_is_the_recipes_with_what_was_measured(places, tmp_path, written):
    path = written(tmp_path / "recipe.yaml", RECIPE)
    command = publishing(path, places)
    subprocess.run(command, check=True)
    folder = places.repository / "tiny"
    card = Card.read(folder / "card.yaml")
    assert list(card.operating_points) == ["balanced", "fixed_0.3"]
    assert card.operating_points["balanced"] == {"pneumonia": 0.4}
    assert card.calibration is not None and card.calibration.temperature == 1.5
    assert card.quality == {"macro_auc": 0.9, "out_of_distribution": UNLIKE}
    assert card.detector == DETECTOR
    measured = {"operating_points": {}, "calibration": None, "detector": None, "quality": {}}
    assert card.model_copy(update=measured) == RECIPE.card
    assert (folder / "card.yaml").read_text().count(MARK) == 1
    assert (folder / "1/weights.safetensors").read_bytes() == b"weights"
    assert (folder / "1/detector.safetensors").read_bytes() == b"detector"


def test_a_run_without_a_detector_is_published_without_one(places):
    (places.run("tiny") / "detector.json").unlink()
    folder = publish(RECIPE, places)
    assert Card.read(folder / "card.yaml").detector is None
    assert not (folder / "1/detector.safetensors").exists()


def test_a_run_that_is_not_finished_is_not_published(places):
    (places.run("tiny") / "finished.json").unlink()
    with pytest.raises(FileNotFoundError):
        publish(RECIPE, places)
    assert not places.repository.exists()


def test_a_run_of_another_recipe_is_not_published(places):
    with pytest.raises(OtherRun, match="another recipe"):
        publish(recipe_of(XRAY_CARD, [{"kind": "kermany"}], seed=1), places)
    assert not places.repository.exists()


def test_what_was_changed_for_a_training_is_changed_for_its_publication(places, tmp_path, written):
    (places.run("tiny") / "recipe.yaml").unlink()
    claim(places.run("tiny"), recipe_of(XRAY_CARD, [{"kind": "kermany"}], seed=1))
    path = written(tmp_path / "recipe.yaml", RECIPE)
    command = publishing(path, places)
    assert subprocess.run(command, capture_output=True).returncode != 0
    subprocess.run([*command, "--set", "seed=1"], check=True)
    assert (places.repository / "tiny/card.yaml").exists()


def test_a_publication_takes_no_option_that_it_would_not_read(places, tmp_path, written):
    path = written(tmp_path / "recipe.yaml", RECIPE)
    command = [*publishing(path, places), "--data=elsewhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--data" in done.stderr


def test_weights_and_detector_go_into_the_folder_of_the_cards_version(places):
    recipe = recipe_of({**XRAY_CARD, "version": "2"}, [{"kind": "kermany"}])
    folder = publish(recipe, places)
    assert {path.name for path in folder.iterdir()} == {"card.yaml", "2"}
    files = {path.name for path in (folder / "2").iterdir()}
    assert files == {"weights.safetensors", "detector.safetensors"}


def test_curves_go_on_through_interruptions(tmp_path):
    for version, epochs in ((0, (0, 1)), (1, (1, 2))):
        path = tmp_path / f"curves/version_{version}/metrics.csv"
        path.parent.mkdir(parents=True)
        lines = [f",{epoch},0.{epoch + 1},0.5" for epoch in epochs]
        path.write_text("\n".join(["lr,epoch,loss,val_auc", "0.1,,,", *lines]) + "\n")
    assert read_curves(tmp_path) == {
        "loss": {1: 0.1, 2: 0.2, 3: 0.3},
        "val_auc": {1: 0.5, 2: 0.5, 3: 0.5},
    }
    with Image.open(draw_curves(tmp_path)) as picture:
        assert picture.size[0] > picture.size[1]


def test_a_run_without_an_epoch_has_no_curves(tmp_path):
    assert draw_curves(tmp_path) is None
