"""One self-contained HTML page: the prediction, the maps side by side, and what to make of them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from pellucid.client.predictions import Prediction
from pellucid.client.results import Affine, Comparison, Explanation, ResolvedTarget, Result
from pellucid.rendering import colours, words
from pellucid.rendering.colours import Pixels
from pellucid.rendering.scenes import PictureScene, Scene, SoundScene

_TEMPLATE: Final = Path(__file__).parent / "page.html.j2"
_PLOT: Final = (420.0, 210.0)
"""Width and height of a spectrogram on the page, before it is scaled to fit."""


@dataclass(frozen=True)
class Placed:
    """A picture inside an SVG."""

    uri: str
    width: float
    height: float
    transform: str


@dataclass(frozen=True)
class Panel:
    """One map on the page."""

    title: str
    how: str
    alt: str
    overlay: Placed
    limit: str
    """Value of the strongest colour."""
    clipped: bool
    all_zero: bool
    findings: list[words.Finding]
    cautions: list[str]
    receipt: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """One target with its maps."""

    target: ResolvedTarget
    panels: list[Panel]
    missing: list[str]
    """Titles of methods that were asked for and have no map."""
    agreement: list[tuple[str, list[str]]]
    """Rows of the comparison: a method, and a cell for each method."""


def page_html(result: Result, scene: Scene, name: str, *, asked: Sequence[str] = ()) -> str:
    """Make the page.

    Args:
        result: a whole explanation.
        scene: where its maps belong, from `scene_of`.
        name: what the file is called on the page.
        asked: names of the methods that were asked for.

    Returns:
        An HTML document that needs no other file.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": words.number}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        name=name,
        result=result,
        prediction=result.prediction,
        scores=_scores(result.prediction),
        facts=words.facts(result.prediction),
        sound=isinstance(scene, SoundScene),
        frame=_frame(scene),
        backdrop=_backdrop(scene),
        sections=[_section(result, target, scene, asked) for target in result.explained.targets],
        gradient=colours.css_gradient(),
    )


def _scores(prediction: Prediction) -> list[Any]:
    return sorted(prediction.scores, key=lambda score: -score.score)


def _section(result: Result, target: ResolvedTarget, scene: Scene, asked: Sequence[str]) -> Section:
    mine = [e for e in result.explanations if e.target.label == target.label]
    present = {explanation.method for explanation in mine}
    missing = [words.title(method) for method in asked if method not in present]
    panels = [_panel(explanation, scene) for explanation in mine]
    # Only a map knows the score of its baseline.
    known = mine[0].target if mine else target
    return Section(known, panels, missing, _agreement(result.comparison, mine))


def _panel(explanation: Explanation, scene: Scene) -> Panel:
    scale = colours.scale_of(explanation.map)
    painted = colours.paint(explanation.map, scale)
    title, label = words.title(explanation.method), explanation.target.label
    findings = words.findings(explanation)
    trust = "; ".join(f"{finding.name} {finding.value}" for finding in findings)
    return Panel(
        title=title,
        how=words.HOW.get(explanation.method, ""),
        alt=f"Map of {title} for {label}" + (f"; {trust}" if trust else ""),
        overlay=_overlay(painted, scene),
        limit=words.number(scale.limit),
        clipped=scale.clipped,
        all_zero=scale.limit == 0,
        findings=findings,
        cautions=words.cautions(explanation),
        receipt=_receipt(explanation),
    )


def _receipt(explanation: Explanation) -> list[tuple[str, str]]:
    receipt = explanation.receipt
    versions = sorted(receipt.library_versions.items())
    rows = [
        ("parameters", words.parameters(receipt)),
        ("score", receipt.score_space.value),
        ("baseline", receipt.baseline.value if receipt.baseline else ""),
        ("segments", words.segmentation(receipt)),
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
    methods = [explanation.method for explanation in mine]
    label = mine[0].target.label
    cells: dict[frozenset[str], str] = {}
    for pair in comparison.agreements:
        if pair.label == label:
            rank = "none" if pair.rank_correlation is None else f"{pair.rank_correlation:.2f}"
            top = "none" if pair.top_overlap is None else f"{pair.top_overlap:.0%}"
            text = f"{rank} · {top}".replace("-", "\N{MINUS SIGN}")
            cells[frozenset((pair.method_a, pair.method_b))] = text
    return [
        (words.title(a), [cells.get(frozenset((a, b)), "") if a != b else "·" for b in methods])
        for a in methods
    ]


def _frame(scene: Scene) -> dict[str, Any]:
    """Size of the plot and its ticks, in the SVG's own units."""
    if isinstance(scene, PictureScene):
        return {"width": scene.width, "height": scene.height}
    width, height = _PLOT
    span = scene.end_s - scene.start_s

    def across(seconds: float) -> float:
        return round(width * (seconds - scene.start_s) / span, 2)

    ends = scene.recording_end_s
    return {
        "width": width,
        "height": height,
        "times": [(across(tick.position), tick.label) for tick in scene.time_ticks],
        "frequencies": [
            (round(height * (1 - tick.position / scene.bands), 2), tick.label)
            for tick in scene.frequency_ticks
        ],
        "recording_end": None if ends is None else across(ends),
    }


def _backdrop(scene: Scene) -> Placed:
    if isinstance(scene, PictureScene):
        return _placed(scene.backdrop, scene.backdrop_place)
    return _filling(scene.backdrop)


def _overlay(painted: Pixels, scene: Scene) -> Placed:
    if isinstance(scene, PictureScene):
        return _placed(painted, scene.map_place)
    # Row 0 of a map is the lowest band; an image begins at the top.
    return _filling(np.flipud(painted))


def _filling(pixels: Pixels) -> Placed:
    return Placed(_uri(pixels), *_PLOT, transform="")


def _placed(pixels: Pixels, place: Affine) -> Placed:
    height, width = pixels.shape[:2]
    numbers = (place.a, place.d, place.b, place.e, place.c, place.f)
    transform = f"matrix({' '.join(f'{number:.6g}' for number in numbers)})"
    return Placed(_uri(pixels), width, height, transform)


def _uri(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
