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
from training.datasets.clips import Clips, check_clips
from training.datasets.pictures import Pictures, check_splits
from training.recipe import Recipe
from training.weights import FINISHED, RECIPE, Places

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Train one model, unless its run is finished."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    add_places(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    places = Places(options.data, options.runs, options.repository)
    run(Recipe.read(options.recipe, options.changes), places)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where trainings read and write."""
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--repository", type=Path, default=ROOT / "triton_repo")


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
    (folder / FINISHED).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    logging.info("%s: %s", recipe.card.name, json.dumps(figures))


# Frameworks are slow to start, and a recipe or data at fault need none.


def _train_on_pictures(recipe: Recipe, places: Places) -> dict[str, Any]:
    splits = {
        split: Pictures.joined(
            [source.load(places.data, split, recipe.card) for source in recipe.data]
        )
        for split in ("train", "val")
    }
    check_splits(splits)
    from training.measuring import measure_pictures
    from training.torch_loop import train

    weights = train(recipe, splits["train"], splits["val"], places)
    return measure_pictures(recipe.card, weights, splits["val"])


def _train_on_clips(recipe: Recipe, places: Places) -> dict[str, Any]:
    contract = recipe.card.preprocess
    splits = {
        split: Clips.joined([source.load(places.data, split, contract) for source in recipe.data])
        for split in ("train", "val")
    }
    check_clips(splits)
    if copies := recipe.sound_changes.copies:
        splits["train"] = with_copies(splits["train"], places.runs / "cache", copies, recipe.seed)
    from training.keras_loop import train
    from training.measuring_clips import measure_clips

    weights = train(recipe, splits["train"], splits["val"], places)
    return measure_clips(recipe.card, weights, splits["val"])


def _claim(folder: Path, recipe: Recipe) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    if kept.exists() and Recipe.read(kept).digest != recipe.digest:
        raise ValueError(f"{folder} has a run of another recipe: remove it, or choose other --runs")
    tree = recipe.model_dump(mode="json", exclude_unset=True)
    kept.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
