"""`pellucid train` and `evaluate`, as people type them."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pellucid.cards import Card
from pellucid.cli import app
from tests.support.tiny_sets import XRAY_CARD, recipe_of
from training.places import Places
from training.publish import publish

KERMANY = [{"kind": "kermany"}]


@pytest.fixture
def folders(kermany, tmp_path) -> list[str]:
    runs, repository = tmp_path / "runs", tmp_path / "repository"
    return ["--data", str(kermany), "--runs", str(runs), "--repository", str(repository)]


def pellucid(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_recipe_is_trained_with_what_was_changed(folders, tmp_path, written):
    path = written(tmp_path / "tiny.yaml", recipe_of(XRAY_CARD, KERMANY))
    done = pellucid("train", path, "--set", "seed=3", "--tensorboard", *folders)
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "runs/tiny/tensorboard").rglob("events.*"))
    figures = json.loads((tmp_path / "runs/tiny/finished.json").read_text())
    assert "pneumonia" in figures["validation"]
    assert "seed: 3" in (tmp_path / "runs/tiny/recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("batch=none", "batch"),
        ("data=[{kind: kermany, folder: elsewhere}]", "elsewhere/manifest.csv cannot be read"),
        ("start={kind: model, model: nobody}", "train it first"),
    ],
)
def test_what_is_wrong_with_a_training_is_said(change, words, folders, tmp_path, written):
    path = written(tmp_path / "tiny.yaml", recipe_of(XRAY_CARD, KERMANY))
    done = pellucid("train", path, "--set", change, *folders)
    assert done.exit_code == 3
    assert words in " ".join(done.output.split())


def test_a_recipe_of_that_name_is_looked_for_in_the_recipes():
    done = pellucid("train", "nothing_like_it")
    assert done.exit_code == 3
    assert "recipes/nothing_like_it.yaml" in done.output.replace("\n", "")


@pytest.fixture
def served(kermany, tmp_path, written) -> list[str]:
    """Options of an evaluation of a tiny model that is served."""
    recipe = recipe_of(XRAY_CARD, KERMANY)
    path = written(tmp_path / "tiny.yaml", recipe)
    folders = Places(kermany, tmp_path / "runs", tmp_path / "repository")
    assert pellucid("train", path, *folders.options).exit_code == 0
    publish(recipe, folders)
    return ["tiny", "--recipe", path, "--data", kermany, "--repository", folders.repository]


def test_a_model_is_evaluated_into_its_card_and_a_page(served, tmp_path):
    page = tmp_path / "report.html"
    done = pellucid("evaluate", *served, "--card", "--html", page)
    assert done.exit_code == 0, done.output
    card = Card.read(tmp_path / "repository/tiny/card.yaml")
    table = card.quality["validation"]["kermany"]["pneumonia"]
    assert json.loads(done.stdout)["tiny"]["kermany"]["pneumonia"] == table
    assert set(card.quality["validation"]) == {"kermany"}
    assert set(table["by"]["group"]) == {"normal", "bacteria", "virus"}
    assert {"exposure", "noise", "JPEG quality 20"} <= set(table["shifts"])
    assert list(table["hidden"]) == ["0%", "25%", "50%", "75%", "100%"]
    assert card.default_baseline in table["baselines"]
    assert "data:image/svg+xml" in page.read_text()
    assert "http://" not in page.read_text()

    # Only what is asked for is looked at, and the card counts it.
    assert "test" not in card.quality
    assert pellucid("evaluate", *served, "--split", "test").exit_code == 2
    for looks in (1, 2):
        done = pellucid("evaluate", *served, "--split", "test", "--settled", "on validation")
        assert done.exit_code == 0, done.output
        test = Card.read(tmp_path / "repository/tiny/card.yaml").quality["test"]
        assert (test["looks"], test["settled"]) == (looks, "on validation")
        assert test["kermany"]["pneumonia"]["positives"] == 4

    # What one run answers has no place in the card, so it costs no look.
    for options in (["--card"], ["--split", "test", "--settled", "on validation"]):
        for runs in (["--run", tmp_path / "runs/tiny"], ["--run", tmp_path / "runs/tiny"] * 2):
            done = pellucid("evaluate", *served, *runs, *options)
            assert done.exit_code == 2
            assert "name more" in " ".join(done.output.replace("│", "").split())
    assert Card.read(tmp_path / "repository/tiny/card.yaml").quality["test"] == test

    run, other = tmp_path / "runs/tiny", tmp_path / "runs/other"
    shutil.copytree(run, other)
    done = pellucid("evaluate", *served, "--run", run, "--run", other, "--card")
    assert done.exit_code == 0, done.output
    card = Card.read(tmp_path / "repository/tiny/card.yaml")
    spread = card.quality["validation"]["seeds"]["kermany pneumonia"]["auc"]
    assert spread["standard_deviation"] == 0
    assert spread["mean"] == table["auc"]["value"]


def test_a_model_that_is_not_there_is_named(served, tmp_path):
    done = pellucid("evaluate", "nobody", *served[1:])
    assert done.exit_code == 3
    assert "nobody" in done.output
