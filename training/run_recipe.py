"""The recipe that a run was started with: kept in its folder, which no other recipe goes on in."""

from pathlib import Path

import yaml

from training.places import RECIPE
from training.recipe import Document


class OtherRun(Exception):
    """The run's folder has a run of another recipe."""


def claim(folder: Path, recipe: Document) -> None:
    """Keep a recipe in the folder of its run, which is made where it is missing.

    Raises:
        OtherRun: the folder has a run of another recipe.
    """
    if (folder / RECIPE).exists():
        check_recipe(folder, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    tree = recipe.model_dump(mode="json", exclude_unset=True)
    (folder / RECIPE).write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def check_recipe(folder: Path, recipe: Document) -> None:
    """Refuse a run whose weights another recipe decided.

    Args:
        folder: of the run.
        recipe: that is to go on with it.

    Raises:
        OtherRun: the run is of another recipe, or keeps none that can be read.
    """
    try:
        kept = type(recipe).read(folder / RECIPE)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OtherRun(f"{folder / RECIPE} does not say whose run this is: {error}") from error
    if kept.digest != recipe.digest:
        raise OtherRun(f"{folder} has a run of another recipe: remove it, or choose other --runs")
