"""The training of the pneumonia model goes on after an interruption, and keeps its best epoch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from training.pneumonia import Recipe, Run, Stage

RECIPE = Recipe(
    stages=(Stage(8, 1),),
    images_per_epoch=8,
    batch=4,
    cycle_epochs=2,
    refinement=Stage(12, 2),
)


def tiny_network() -> nn.Module:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), pool, nn.Linear(4, 1))


def run_of(folder: Path, recipe: Recipe = RECIPE) -> Run:
    return Run(tiny_network, recipe, folder, seed=0)


def one_epoch(run: Run, auc: float) -> None:
    generator = torch.Generator().manual_seed(run.epoch)
    size = RECIPE.sizes[run.epoch]
    run.start_epoch()
    for number in range(RECIPE.steps):
        x = torch.randn(4, 1, size, size, generator=generator)
        run.step(x, torch.tensor([0.0, 1.0, 0.0, 1.0]), number)
    run.finish_epoch(loss=0.0, auc=auc)


@pytest.mark.parametrize("after", [1, 2], ids=["before the refinement", "inside the refinement"])
def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, after: int
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
    run = run_of(whole)
    for _ in range(after):
        one_epoch(run, 0.5)
    (parted / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes())
    resumed = run_of(parted)
    assert resumed.epoch == after
    for each in (run, resumed):
        while each.epoch < len(RECIPE.sizes):
            one_epoch(each, 0.6)
    for name, ours in run.averaged.state_dict().items():
        torch.testing.assert_close(ours, resumed.averaged.state_dict()[name])


def test_only_an_epoch_at_full_size_can_be_the_best(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    one_epoch(run, auc=0.9)
    assert not run.best_weights.exists()
    one_epoch(run, auc=0.7)
    kept = run.best_weights.read_bytes()
    one_epoch(run, auc=0.6)
    assert (run.best, run.best_weights.read_bytes()) == (0.7, kept)


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path: Path) -> None:
    one_epoch(run_of(tmp_path), auc=0.5)
    with pytest.raises(ValueError, match="another recipe"):
        run_of(tmp_path, replace(RECIPE, learning_rate=1e-3))
