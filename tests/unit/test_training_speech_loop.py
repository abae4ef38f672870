"""A training that is interrupted, even where the length of the crops changes, goes on as before."""

from pathlib import Path

import numpy as np

from pellucid.cards import Card
from training.speech_loop import Recipe, Run, Stage

CARD = Card.read(Path(__file__).parents[2] / "triton_repo/speech_mobilenet_v2/card.yaml")
RECIPE = Recipe(stages=(Stage(32, 1), Stage(40, 1)), batch=4)


def run_of(folder: Path) -> Run:
    assert CARD.architecture is not None
    arguments = {**CARD.architecture.arguments, "height": 32, "alpha": 0.35}
    architecture = CARD.architecture.model_copy(update={"arguments": arguments})
    card = CARD.model_copy(update={"architecture": architecture})
    return Run(card, RECIPE, origins=3, steps=2, folder=folder, seed=0)


def one_epoch(run: Run) -> None:
    frames = run.start_epoch()
    rng = np.random.default_rng(run.epoch)
    for _ in range(2):
        x = rng.normal(size=(4, 32, frames)).astype(np.float32)
        targets = np.eye(5, dtype=np.float32)[[0, 1, 0, 1]]
        targets[:, 2] = 1
        run.step(x, targets)
    run.finish_epoch(loss=0.0, auc=0.5)


def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
    run = run_of(whole)
    one_epoch(run)
    assert not run.best_weights.exists(), "an epoch on short crops cannot be the best"
    (parted / "checkpoint.safetensors").write_bytes((whole / "checkpoint.safetensors").read_bytes())
    resumed = run_of(parted)
    assert resumed.epoch == 1
    for each in (run, resumed):
        one_epoch(each)
        assert each.best_weights.exists() and each.best == 0.5
    for ours, theirs in zip(run.averaged(), resumed.averaged(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
