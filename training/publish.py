"""`python -m training.publish RECIPE`: put a finished run into the repository of served models.

The card is the recipe's, with the operating points, temperature and figures that were measured.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from pellucid.cards import Card
from pellucid.repository.folder import DETECTOR, WEIGHTS
from training.card_file import with_measured
from training.places import DETECTOR_FIGURES, FINISHED, Places
from training.recipe import Recipe
from training.run_recipe import check_recipe


def main() -> None:
    """Publish one model."""
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    Places.add_options(parser, "runs", "repository")
    options = parser.parse_args()
    publish(Recipe.read(options.recipe, options.changes), Places.of(options))


def publish(recipe: Recipe, places: Places) -> Path:
    """Write `card.yaml`, weights and detector of a finished run.

    Args:
        recipe: of the run.
        places: where runs and served models are.

    Returns:
        The model's folder.

    Raises:
        FileNotFoundError: the run is not finished.
        OtherRun: the run is of another recipe.
    """
    run, folder = places.run(recipe.card.name), places.repository / recipe.card.name
    figures = json.loads((run / FINISHED).read_text(encoding="utf-8"))
    check_recipe(run, recipe)
    figures |= _detector_of(run)
    card = described(recipe.card, _with_looks(folder / "card.yaml", figures))
    version = folder / recipe.card.version
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / WEIGHTS, version / WEIGHTS)
    (version / DETECTOR).unlink(missing_ok=True)
    if "detector" in figures:
        shutil.copyfile(run / DETECTOR, version / DETECTOR)
    new = folder / "card.new"
    new.write_text(card, encoding="utf-8")
    new.replace(folder / "card.yaml")
    return folder


def described(card: Card, figures: dict[str, Any]) -> str:
    """Text of a card with what was measured.

    Args:
        card: as people wrote it.
        figures: of the run, with `operating_points`, `calibration` and, where the run has one,
            `detector` as the card has them.
    """
    by_hand = card.model_dump(mode="json", exclude_unset=True)
    fields = ("operating_points", "calibration", "detector")
    chosen = {key: figures[key] for key in fields if key in figures}
    quality = {key: value for key, value in figures.items() if key not in chosen}
    measured = chosen | {"quality": quality}
    text = yaml.safe_dump(by_hand, sort_keys=False, width=100, allow_unicode=True)
    return with_measured(text, measured)


def _detector_of(run: Path) -> dict[str, Any]:
    """The card's detector and its figures; of a run that has none, `training.detector` fits it."""
    path = run / DETECTOR_FIGURES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _with_looks(published: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Looks at the test split count on, whatever the weights."""
    if not published.exists():
        return figures
    before = Card.read(published).quality.get("test", {})
    kept = {key: before[key] for key in ("looks", "settled") if key in before}
    return figures | {"test": kept} if kept else figures


if __name__ == "__main__":
    main()
