"""A training that is interrupted, even where the length of the crops changes, goes on as before."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training.speech_loop import Recipe, Run, Stage

RECIPE = Recipe(stages=(Stage(16, 1), Stage(20, 1)), batch=4)


def tiny(frames: int) -> keras.Model:
    x = keras.Input((8, frames, 1))
    y = keras.layers.Conv2D(4, 3, name="convolution")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    y = keras.layers.Dropout(0.5, name="dropout")(keras.layers.GlobalAveragePooling2D()(y))
    return keras.Model(x, keras.layers.Dense(2, name="logits")(y))


def run_of(folder: Path) -> Run:
    return Run(tiny, RECIPE, origins=3, steps=2, folder=folder, seed=0)


def one_epoch(run: Run) -> None:
    frames = run.start_epoch()
    rng = np.random.default_rng(run.epoch)
    for _ in range(2):
        x = rng.normal(size=(4, 8, frames)).astype(np.float32)
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


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path):
    one_epoch(run_of(tmp_path))
    other = replace(RECIPE, learning_rate=1e-3)
    with pytest.raises(ValueError, match="another recipe"):
        Run(tiny, other, origins=3, steps=2, folder=tmp_path, seed=0)
