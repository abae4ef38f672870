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
from pellucid.repository.folder import WEIGHTS
from training.card_file import with_measured
from training.places import FINISHED, Places
from training.recipe import Recipe


def main() -> None:
    """Publish one model."""
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__)
    parser.add_argument("recipe", type=Path)
    Places.add_options(parser)
    options = parser.parse_args()
    publish(Recipe.read(options.recipe), Places.of(options))


def publish(recipe: Recipe, places: Places) -> Path:
    """Write `card.yaml` and `1/weights.safetensors` of a finished run.

    Args:
        recipe: of the run.
        places: where runs and served models are.

    Returns:
        The model's folder.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    run, folder = places.run(recipe.card.name), places.repository / recipe.card.name
    figures = json.loads((run / FINISHED).read_text(encoding="utf-8"))
    card = described(recipe.card, _with_looks(folder / "card.yaml", figures))
    (folder / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / WEIGHTS, folder / "1" / WEIGHTS)
    new = folder / "card.new"
    new.write_text(card, encoding="utf-8")
    new.replace(folder / "card.yaml")
    return folder


def described(card: Card, figures: dict[str, Any]) -> str:
    """Text of a card with what was measured.

    Args:
        card: as people wrote it.
        figures: of the run, with `operating_points` and `calibration` as the card has them.
    """
    by_hand = card.model_dump(mode="json", exclude_unset=True)
    chosen = {key: figures[key] for key in ("operating_points", "calibration")}
    quality = {key: value for key, value in figures.items() if key not in chosen}
    measured = chosen | {"quality": quality}
    text = yaml.safe_dump(by_hand, sort_keys=False, width=100, allow_unicode=True)
    return with_measured(text, measured)


def _with_looks(published: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Looks at the test split count on, whatever the weights."""
    if not published.exists():
        return figures
    before = Card.read(published).quality.get("test", {})
    kept = {key: before[key] for key in ("looks", "settled") if key in before}
    return figures | {"test": kept} if kept else figures


if __name__ == "__main__":
    main()
