"""An evaluation from beginning to end: a served model or several runs, on one split of their data.

The test split is read only where it is asked for, and every look at it is counted in the card.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import TypeAdapter

from pellucid.cards import Card
from pellucid.contracts import SpectrogramContract
from pellucid.repository.folder import WEIGHTS, ModelFolder
from training.assessment import Assessment, Assessor
from training.card_file import put_measured
from training.digests import NoWeights
from training.examples import Examples, clip_examples, picture_examples
from training.figures import DIGITS
from training.measuring import scorer
from training.places import FINISHED, RECIPE, Places
from training.publish import described
from training.recipe import PictureSource, Recipe, Source

Split = Literal["validation", "test"]
Assessments = dict[str, Assessment]
"""By data set."""

_FOLDERS: dict[Split, str] = {"validation": "val", "test": "test"}
_SPREAD = ("auc", "accuracy", "balanced_accuracy", "equal_error_rate", "brier", "calibration_error")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """A model with its weights."""

    card: Card
    weights: Path

    @classmethod
    def served(cls, model: str, places: Places) -> "Network":
        """The one of the repository.

        Raises:
            ModelNotBuilt: it has no valid card.
            NoWeights: it was brought as a network or a graph, or is an ensemble.
        """
        folder = ModelFolder.read(places.repository / model)
        architecture = folder.card.architecture
        if architecture is None or architecture.builder is None or not folder.builds:
            raise NoWeights(f"{model} has no {WEIGHTS}: only what is built from them is measured")
        return cls(folder.card, folder.weights)

    @classmethod
    def of_run(cls, folder: Path) -> "Network":
        """The one of a finished run, with the thresholds that were measured there.

        Raises:
            NoWeights: the run is not finished.
        """
        if not (folder / FINISHED).exists():
            raise NoWeights(f"{folder} is no finished run")
        recipe = Recipe.read(folder / RECIPE)
        measured = yaml.safe_load((folder / FINISHED).read_text(encoding="utf-8"))
        card = Card.model_validate(yaml.safe_load(described(recipe.card, measured)))
        return cls(card, folder / WEIGHTS)


def read_sources(texts: Sequence[str]) -> list[Source]:
    """Data sets as the command line names them: `{kind: nih14}`.

    Raises:
        ValueError: there is no such kind, or a field of it is wrong.
    """
    adapter: TypeAdapter[Source] = TypeAdapter(Source)
    return [adapter.validate_python(yaml.safe_load(text)) for text in texts]


def assess(
    network: Network, sources: Sequence[Source], places: Places, split: Split
) -> Assessments:
    """Measure a model on one split of each data set.

    Args:
        network: the model.
        sources: the data sets.
        places: where they are.
        split: of each.

    Raises:
        BadData: a set is not there, or not of the model's kind.
    """
    assessor = Assessor(network.card, scorer(network.card, network.weights))
    found = {}
    for source in sources:
        name = name_of(source)
        log.info("%s on %s, %s", network.card.name, name, split)
        found[name] = assessor.assess(_examples(network.card, source, places, split))
    return found


def name_of(source: Source) -> str:
    """What a data set is called in a report: its kind, and what is not as usual about it."""
    fields = source.model_dump(exclude_defaults=True, exclude={"kind"}).values()
    said = (each.stem if isinstance(each, Path) else str(each) for each in fields)
    return " ".join((source.kind, *said))


def _examples(card: Card, source: Source, places: Places, split: Split) -> Examples:
    name = _FOLDERS[split]
    if isinstance(source, PictureSource):
        return picture_examples(card, source.load(places.data, name, card))
    assert isinstance(card.preprocess, SpectrogramContract)
    return clip_examples(card, source.load(places.data, name, card.preprocess))


def most_neutral(assessments: Assessments) -> str:
    """The baseline whose scores are nearest to the thresholds, over all data sets."""
    names = next(iter(assessments.values())).neutrality
    return min(names, key=lambda n: np.mean([one.neutrality[n] for one in assessments.values()]))


def spread(runs: Sequence[Assessments]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of the main figures of several runs, by data set and label."""
    tables: dict[str, dict[str, Any]] = {}
    for name, first in runs[0].items():
        for label, table in first.report.items():
            if not isinstance(table, Mapping) or "auc" not in table:
                continue
            values = {
                key: [run[name].report[label][key]["value"] for run in runs] for key in _SPREAD
            }
            tables[f"{name} {label}"] = {
                key: {
                    "mean": round(float(np.mean(each)), DIGITS),
                    "standard_deviation": round(float(np.std(each, ddof=1)), DIGITS),
                    "runs": each,
                }
                for key, each in values.items()
            }
    return tables


def count_look(card_path: Path, settled: str) -> None:
    """Write into a card that its test split is about to be looked at once more.

    Args:
        card_path: of the served model.
        settled: when, and on what, the recipe was settled.
    """
    quality = dict(Card.read(card_path).quality)
    test = dict(quality.get("test", {}))
    test["looks"] = int(test.get("looks", 0)) + 1
    test["settled"] = settled
    put_measured(card_path, {"quality": quality | {"test": test}})


def put_into_card(
    card_path: Path, split: Split, assessments: Assessments, baseline: str | None
) -> None:
    """Write the figures of data sets into a card; those of others stay.

    Args:
        card_path: of the served model.
        split: that was measured.
        assessments: by data set.
        baseline: what the card's default is to be; None leaves it.
    """
    figures = {name: one.report for name, one in assessments.items()}
    _put(card_path, split, figures, {"default_baseline": baseline} if baseline else {})


def put_seeds(card_path: Path, split: Split, seeds: dict[str, Any]) -> None:
    """Write the spread of several runs into a card."""
    _put(card_path, split, {"seeds": seeds}, {})


def _put(card_path: Path, split: Split, figures: dict[str, Any], others: dict[str, Any]) -> None:
    card = Card.read(card_path)
    before = card.quality.get(split, {})
    # A training writes its labels or sets without a data set above them.
    kept = {
        name: value
        for name, value in before.items()
        if name in ("looks", "settled")
        or (
            (isinstance(value, Mapping) and not {"auc", "value"} & set(value))
            and name not in card.labels
        )
    }
    put_measured(card_path, {"quality": {**card.quality, split: kept | figures}} | others)
