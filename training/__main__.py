"""`python -m training RECIPE`: train a model as a recipe says, and measure it on validation.

An interrupted training goes on from its last checkpoint. The test split is never read here.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import yaml

from training.copies import with_copies
from training.curves import draw_curves
from training.datasets.clips import Clips, check_clips
from training.datasets.pictures import Pictures, check_splits
from training.places import FINISHED, RECIPE, Places
from training.recipe import Recipe


def main() -> None:
    """Train one model, unless its run is finished."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    Places.add_options(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    run(Recipe.read(options.recipe, options.changes), Places.of(options))


def run(recipe: Recipe, places: Places) -> None:
    """Train, measure on validation, and write the figures as the run's last file.

    Raises:
        ValueError: the run's folder has a run of another recipe.
    """
    folder = places.run(recipe.card.name)
    if (folder / FINISHED).exists():
        logging.info("%s is finished: %s", recipe.card.name, folder)
        return
    _claim(folder, recipe)
    figures = (
        _train_on_clips(recipe, places) if recipe.hears else _train_on_pictures(recipe, places)
    )
    draw_curves(folder)
    (folder / FINISHED).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    logging.info("%s: %s", recipe.card.name, json.dumps(figures))


# Frameworks are slow to start, and a recipe or data at fault need none.


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


def _claim(folder: Path, recipe: Recipe) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    if kept.exists() and Recipe.read(kept).digest != recipe.digest:
        raise ValueError(f"{folder} has a run of another recipe: remove it, or choose other --runs")
    tree = recipe.model_dump(mode="json", exclude_unset=True)
    kept.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
