"""One self-contained HTML page: the prediction, the maps side by side, and what to make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from pellucid.client.explanations import Explanation, Measure, ResolvedTarget
from pellucid.client.predictions import Prediction
from pellucid.client.results import Comparison, MethodFailure, Result
from pellucid.rendering import colours, descriptions
from pellucid.rendering.canvas import Canvas, SvgImage

_TEMPLATE: Final = Path(__file__).parent / "page.html.j2"


@dataclass(frozen=True)
class Panel:
    """One map on the page."""

    title: str
    description: str
    alt: str
    overlay: SvgImage
    limit: str
    """Value of the strongest colour."""
    clipped: bool
    all_zero: bool
    finished: bool
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...]
    receipt: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """One target with its maps."""

    target: ResolvedTarget
    panels: list[Panel]
    failures: list[MethodFailure]
    """Methods without a map of this target."""
    agreement: list[tuple[str, list[str]]]
    """Rows of the comparison: a method, and a cell for each method."""


def page_html(result: Result, canvas: Canvas, name: str, *, ended_early: str = "") -> str:
    """Make the page.

    Args:
        result: an explanation, whole or not.
        canvas: where its maps belong, from `canvas_of`.
        name: what the file is called on the page.
        ended_early: why, where the explanation ended before everything had come.

    Returns:
        An HTML document that needs no other file.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "number": descriptions.number,
        "raw_and_calibrated": descriptions.raw_and_calibrated,
    }
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        name=name,
        ended_early=ended_early,
        result=result,
        prediction=result.prediction,
        scores=_scores(result.prediction),
        calibrated=any(one.calibrated_score is not None for one in result.prediction.scores),
        spread=all(one.spread is not None for one in result.prediction.scores),
        facts=descriptions.facts(result.prediction),
        unlike=descriptions.out_of_distribution(result.prediction),
        canvas=canvas,
        frame=canvas.frame,
        backdrop=canvas.svg_backdrop,
        sections=[_section(result, target, canvas) for target in result.targets],
        gradient=colours.css_gradient(),
    )


def _scores(prediction: Prediction) -> list[Any]:
    return sorted(prediction.scores, key=lambda score: -score.score)


def _section(result: Result, target: ResolvedTarget, canvas: Canvas) -> Section:
    mine = [one for one in result.maps if one.target.label == target.label]
    present = {explanation.method for explanation in mine}
    failures = [failure for failure in result.failures if failure.method not in present]
    panels = [_panel(explanation, canvas) for explanation in mine]
    return Section(target, panels, failures, _agreement(result.comparison, mine))


def _panel(explanation: Explanation, canvas: Canvas) -> Panel:
    scale = colours.scale_of(explanation.map)
    painted = colours.paint(explanation.map, scale)
    title, label = explanation.title, explanation.target.label
    trust = "; ".join(f"{one.title} {descriptions.number(one.value)}" for one in explanation.trust)
    return Panel(
        title=title,
        description=explanation.description,
        alt=f"Map of {title} for {label}" + (f"; {trust}" if trust else ""),
        overlay=canvas.svg_overlay(painted),
        limit=descriptions.number(scale.limit),
        clipped=scale.clipped,
        all_zero=scale.limit == 0,
        finished=explanation.finished,
        measures=explanation.trust.measures,
        warnings=explanation.trust.warnings,
        receipt=_receipt(explanation),
    )


def _receipt(explanation: Explanation) -> list[tuple[str, str]]:
    receipt = explanation.receipt
    versions = sorted(receipt.library_versions.items())
    rows = [
        ("parameters", descriptions.parameters(receipt)),
        ("score", receipt.score_space.value),
        ("baseline", receipt.baseline.value if receipt.baseline else ""),
        ("segments", descriptions.segmentation(receipt)),
        ("seed", str(receipt.seed)),
        ("precision", receipt.precision),
        ("model calls", f"{receipt.model_calls:,}"),
        ("time", f"{receipt.seconds:.2f} s"),
        ("model", f"{receipt.model} {receipt.model_version}".strip()),
        ("weights", receipt.weights_digest),
        ("input", receipt.input_digest),
        ("libraries", ", ".join(f"{library} {version}" for library, version in versions)),
    ]
    return [(name, value) for name, value in rows if value]


def _agreement(
    comparison: Comparison | None, mine: Sequence[Explanation]
) -> list[tuple[str, list[str]]]:
    if comparison is None or len(mine) < 2:
        return []
    label = mine[0].target.label
    cells = {frozenset((one.method,)): "·" for one in mine}
    for pair in comparison.agreements:
        if pair.label == label:
            rank = "none" if pair.rank_correlation is None else f"{pair.rank_correlation:.2f}"
            top = "none" if pair.top_overlap is None else f"{pair.top_overlap:.0%}"
            text = f"{rank} · {top}".replace("-", "\N{MINUS SIGN}")
            cells[frozenset((pair.method_a, pair.method_b))] = text
    return [
        (one.title, [cells.get(frozenset((one.method, other.method)), "") for other in mine])
        for one in mine
    ]
