"""Fits what says that an input is unlike a model's training data.

    python -m training.detector RECIPE      for a published model; a training does it by itself

No test split is read: `--test` reports its share of warnings, too, which nothing is chosen by.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pellucid.cards import Card, Detector
from pellucid.contracts import ImageContract, SpectrogramContract
from pellucid.repository.classifier import classifier_graph
from pellucid.repository.detector import MahalanobisDetector
from pellucid.repository.folder import DETECTOR, WEIGHTS, file_digest
from training import sounds, unlike
from training.card_file import put_measured
from training.drawing import in_order
from training.figures import DIGITS
from training.mahalanobis import Statistics, fit
from training.pictures import arranged, normalise
from training.places import DETECTOR_FIGURES, Places
from training.recipe import Recipe

Floats = NDArray[np.float32]

FALSE_ALARMS: Final = 0.05
"""Share of validation inputs that are warned of."""
_MOST_INPUTS: Final = 1_024
"""Of the training set, drawn at random."""


def fit_of_run(recipe: Recipe, places: Places) -> None:
    """Fit the detector of a finished run, unless it has one; the run is finished without, too."""
    folder = places.run(recipe.card.name)
    if (folder / DETECTOR_FIGURES).exists():
        return
    try:
        found = fit_and_measure(recipe, folder / WEIGHTS, places, folder)
    except Exception:
        # Hours of training are not lost with a detector that can be fitted again.
        logging.exception("%s has no detector: the same command tries it again", recipe.card.name)
        return
    (folder / DETECTOR_FIGURES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def fit_and_measure(
    recipe: Recipe, weights: Path, places: Places, folder: Path, *, test: bool = False
) -> dict[str, Any]:
    """Fit a detector on the train split, choose its threshold on validation, and write its file.

    Args:
        recipe: names the card and the data.
        weights: of the network, as they are shipped.
        places: where the data are.
        folder: of the detector's file.
        test: whether the share of warnings on the test split is reported.

    Returns:
        `detector` as the card has it, and the figures `out_of_distribution`: of each set, the
        inputs and the share of them that is warned of.
    """
    card = recipe.card
    assert card.architecture is not None  # the recipe has checked it
    graph = classifier_graph(card, card.architecture, weights)
    statistics = Statistics(graph, card.preprocess.channel_axis)
    rows = inputs(recipe, places.data, "train")
    chosen = np.random.default_rng(recipe.seed).permutation(len(rows))[:_MOST_INPUTS]
    fit(statistics(rows[np.sort(chosen)])).save(folder / DETECTOR)
    # As it is served: the file is less precise than what was fitted.
    detector = MahalanobisDetector.read(folder / DETECTOR)
    sets = {"validation": inputs(recipe, places.data, "val")}
    sets |= {"test": inputs(recipe, places.data, "test")} if test else {}
    sets |= unlike_sets(card, places.data)
    distances = {name: detector.distances(statistics(each)) for name, each in sets.items()}
    threshold = float(np.quantile(distances["validation"], 1 - FALSE_ALARMS))
    found = Detector(
        kind="mahalanobis",
        threshold=round(threshold, DIGITS),
        digest=file_digest(folder / DETECTOR),
    )
    figures = {
        name: {"inputs": len(each), "warned": round(float((each > found.threshold).mean()), 3)}
        for name, each in distances.items()
    }
    return {"detector": found.model_dump(), "out_of_distribution": figures}


def inputs(recipe: Recipe, data: Path, split: str) -> Floats:
    """Model inputs of one split, as they are served, `(N, *shape)`."""
    contract = recipe.card.preprocess
    if isinstance(contract, ImageContract):
        pictures = recipe.load_pictures(data, split)
        planes = [normalise(x, contract.height, contract).numpy() for x, _ in in_order(pictures)]
        return arranged(np.concatenate(planes), contract.layout)
    assert isinstance(contract, SpectrogramContract)
    return sounds.inputs(recipe.load_clips(data, split).samples, contract)


def unlike_sets(card: Card, data: Path) -> dict[str, Floats]:
    """Inputs that a model was not made for, by set, each `(N, *shape)`."""
    contract = card.preprocess
    if isinstance(contract, ImageContract):
        return unlike.pictures(contract, data)
    assert isinstance(contract, SpectrogramContract)
    return unlike.clips(contract)


def main() -> None:
    """Fit and measure the detector of a published model, and write both into its folder."""
    parser = argparse.ArgumentParser(prog="python -m training.detector", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--test", action="store_true", help="report the test split, too")
    Places.add_options(parser, "data", "repository")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    recipe, places = Recipe.read(options.recipe, options.changes), Places.of(options)
    folder = places.repository / recipe.card.name
    card = Card.read(folder / "card.yaml")
    version = folder / card.version
    found = fit_and_measure(recipe, version / WEIGHTS, places, version, test=options.test)
    quality = card.quality | {"out_of_distribution": found["out_of_distribution"]}
    put_measured(folder / "card.yaml", {"detector": found["detector"], "quality": quality})
    logging.info("%s: %s", card.name, json.dumps(found))


if __name__ == "__main__":
    main()
