"""`python -m training.unfinished FOLDER`: keep what unfinished runs have learnt so far.

The averaged weights of the last epoch of each go into FOLDER as float16; a recipe's `start` of the
kind `file` takes them up where the checkpoints themselves are not at hand.
"""

import argparse
import logging
from pathlib import Path

from training.places import FINISHED, RECIPE, Places
from training.recipe import Recipe


def main() -> None:
    """Write the weights of every unfinished run that has ended an epoch."""
    parser = argparse.ArgumentParser(prog="python -m training.unfinished", description=__doc__)
    parser.add_argument("folder", type=Path)
    Places.add_options(parser, "runs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    places = Places.of(options)
    for path in sorted(places.runs.glob(f"*/{RECIPE}")):
        if not (path.parent / FINISHED).exists():
            out = options.folder / f"{path.parent.name}.safetensors"
            if keep(Recipe.read(path), places, out):
                logging.info("%s: %.1f MB", out, out.stat().st_size / 1e6)


def keep(recipe: Recipe, places: Places, out: Path) -> bool:
    """Write the averaged weights of a run's last epoch.

    Args:
        recipe: of the run.
        places: where the run is.
        out: float16 safetensors.

    Returns:
        Whether the run has ended an epoch.
    """
    if recipe.framework == "torch":
        from training.torch_loop import keep_last
    else:
        from training.keras_loop import keep_last
    return keep_last(recipe, places, out)


if __name__ == "__main__":
    main()
