"""A training from beginning to end: as a recipe says, and measured on validation.

An interrupted training goes on from its last checkpoint. The test split is never read here.
"""

import json
import logging
from pathlib import Path
from typing import Any

from training.copies import with_copies
from training.curves import draw_curves
from training.datasets.clips import Clips, check_clips
from training.datasets.pictures import Pictures, check_splits
from training.places import FINISHED, Places
from training.recipe import Recipe
from training.run_recipe import check_recipe, claim


def run(recipe: Recipe, places: Places) -> None:
    """Train, measure on validation and write the figures; then fit the detector.

    Raises:
        OtherRun: the run's folder has a run of another recipe.
    """
    folder = places.run(recipe.card.name)
    if (folder / FINISHED).exists():
        check_recipe(folder, recipe)
        logging.info("%s is finished: %s", recipe.card.name, folder)
    else:
        _train(recipe, places, folder)
    from training.detector import fit_of_run

    fit_of_run(recipe, places)


# Frameworks are slow to start, and a recipe or data at fault need none.


def _train(recipe: Recipe, places: Places, folder: Path) -> None:
    claim(folder, recipe)
    figures = (
        _train_on_clips(recipe, places) if recipe.hears else _train_on_pictures(recipe, places)
    )
    draw_curves(folder)
    (folder / FINISHED).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    logging.info("%s: %s", recipe.card.name, json.dumps(figures))


def _train_on_pictures(recipe: Recipe, places: Places) -> dict[str, Any]:
    training, validation = (recipe.load_pictures(places.data, split) for split in ("train", "val"))
    check_splits({"train": training, "val": validation})
    if recipe.picture_changes.generated:
        from training.generated import with_generated

        training = with_generated(training, recipe, recipe.picture_changes.generated, places)
    if recipe.framework == "torch":
        from training.torch_loop import train
    else:
        from training.keras_data import train_on_pictures as train
    from training.measuring import measure_pictures

    figures = measure_pictures(recipe.card, train(recipe, training, validation, places), validation)
    return figures | _left_out(training, validation)


def _train_on_clips(recipe: Recipe, places: Places) -> dict[str, Any]:
    training, validation = (recipe.load_clips(places.data, split) for split in ("train", "val"))
    check_clips({"train": training, "val": validation})
    if copies := recipe.sound_changes.copies:
        training = with_copies(training, places.runs / "cache", copies, recipe.seed)
    from training.keras_data import train_on_clips
    from training.measuring_clips import measure_clips

    weights = train_on_clips(recipe, training, validation, places)
    figures = measure_clips(recipe.card, weights, validation)
    return figures | _left_out(training, validation)


def _left_out(training: Pictures | Clips, validation: Pictures | Clips) -> dict[str, Any]:
    """Files that could not be read, each of which the log names."""
    return {"left_out": {"train": training.left_out, "val": validation.left_out}}
