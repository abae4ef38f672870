"""An evaluation as it was asked for: measured, printed, drawn and written into the card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.repository.folder import ModelFolder
from training.evaluate import (
    Assessments,
    Network,
    Split,
    assess,
    count_look,
    most_neutral,
    put_into_card,
    put_seeds,
    spread,
)
from training.places import Places
from training.recipe import Source


@dataclass(frozen=True)
class Request:
    """What to measure."""

    model: str
    split: Split
    settled: str
    """When and on what the recipe was settled; for the test split."""
    runs: tuple[Path, ...]
    """Measured instead of what is served."""
    sources: Sequence[Source]
    elsewhere: bool
    """Whether the data are other than the recipe's."""
    into_card: bool


def evaluate_model(request: Request, places: Places, html: Path | None = None) -> dict[str, Any]:
    """Measure, and write what was asked for.

    A look at the test split is counted before it is taken, and its figures go into the card: those
    of what is served, or the spread of several runs. A single run has neither.

    Returns:
        Figures by network and data set; of several runs, also their spread.

    Raises:
        BadData: a set is not there, or not of the model's kind.
        ModelNotBuilt: the model is not in the repository.
        NoWeights: a run is not finished, or a model has no weights.
    """
    into_card = request.into_card or request.split == "test"
    path = places.repository / request.model / "card.yaml"
    if into_card:
        ModelFolder.read(path.parent)
    if html is not None:
        # Now, not after an hour.
        html.parent.mkdir(parents=True, exist_ok=True)
    networks = _networks(request, places)
    if request.split == "test":
        count_look(path, request.settled)
    found = {
        name: assess(network, request.sources, places, request.split)
        for name, network in networks.items()
    }
    seeds = spread([*found.values()]) if len(found) > 1 else {}
    if into_card:
        _put(request, path, found, seeds)
    if html is not None:
        from training.report_page import report_html

        notes = {"Split": request.split, "Settled": request.settled}
        page = report_html(request.model, found, {k: v for k, v in notes.items() if v}, seeds)
        html.write_text(page, encoding="utf-8")
    reports = {
        name: {each: one.report for each, one in sets.items()} for name, sets in found.items()
    }
    return reports | ({"spread": seeds} if seeds else {})


def _networks(request: Request, places: Places) -> dict[str, Network]:
    if not request.runs:
        return {request.model: Network.served(request.model, places)}
    return {str(folder): Network.of_run(folder) for folder in request.runs}


def _put(
    request: Request, path: Path, found: dict[str, Assessments], seeds: dict[str, Any]
) -> None:
    if seeds:
        put_seeds(path, request.split, seeds)
    if not request.runs:
        (assessments,) = found.values()
        own = request.split == "validation" and not request.elsewhere
        baseline = most_neutral(assessments) if own else None
        put_into_card(path, request.split, assessments, baseline)
