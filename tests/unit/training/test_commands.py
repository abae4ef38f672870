"""`pellucid train`, as people type it."""

import json

import pytest
from typer.testing import CliRunner

from pellucid.cli import app
from tests.support.tiny_sets import XRAY_CARD, recipe_of

KERMANY = [{"kind": "kermany"}]


@pytest.fixture
def folders(kermany, tmp_path) -> list[str]:
    runs, repository = tmp_path / "runs", tmp_path / "repository"
    return ["--data", str(kermany), "--runs", str(runs), "--repository", str(repository)]


def pellucid(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_recipe_is_trained_with_what_was_changed(folders, tmp_path, written):
    path = written(tmp_path / "tiny.yaml", recipe_of(XRAY_CARD, KERMANY))
    done = pellucid("train", path, "--set", "seed=3", *folders)
    assert done.exit_code == 0, done.output
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
