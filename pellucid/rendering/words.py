"""What numbers mean, in plain words."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from pellucid.client.predictions import AudioFacts, ImageFacts, Prediction
from pellucid.client.results import Explanation, Receipt, SegmentScores

TITLES: Final = {
    "lime": "LIME",
    "kernel_shap": "Kernel SHAP",
    "partition_shap": "Partition SHAP",
    "occlusion": "Occlusion",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "Integrated Gradients",
}
HOW: Final = {
    "lime": "A linear model fitted to the scores while random segments are hidden.",
    "kernel_shap": "Each segment's fair share of the score, over random coalitions.",
    "partition_shap": "Each segment's fair share of the score, over halves, quarters, and so on.",
    "occlusion": "How far the score drops while a window hides each place.",
    "grad_cam": "Where the last features that the network uses are, weighted by their gradient.",
    "integrated_gradients": "Each cell's share of the score, along the way from the baseline.",
}


class Grade(StrEnum):
    """How a trust number reads."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


@dataclass(frozen=True)
class Finding:
    """One trust number."""

    name: str
    value: str
    grade: Grade
    words: str


def title(method: str) -> str:
    """Name of a method for people."""
    return TITLES.get(method, method.replace("_", " "))


def number(value: float) -> str:
    """A number with three significant digits and a real minus sign."""
    if value == 0:
        return "0"
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def findings(explanation: Explanation) -> list[Finding]:
    """The trust numbers of a map, in words; empty where its method gives none."""
    trust, target = explanation.trust, explanation.target
    change = abs(target.score - (target.baseline_score or 0.0))
    found = []
    for name, gap in (
        ("completeness gap", trust.completeness_gap),
        ("additivity gap", trust.additivity_gap),
    ):
        if gap is not None:
            judged = _gap(name, gap, change)
            # What SHAP's values add up to is set beforehand: a small gap outweighs no warning.
            set_before = trust.additivity_gap is not None and cautions(explanation)
            found.append(_at_most_fair(judged) if set_before else judged)
    if trust.r_squared is not None:
        found.append(_fit(trust.r_squared))
    if trust.coverage is not None:
        words = f"{trust.coverage:.0%} of the input was hidden at least once"
        grade = Grade.GOOD if trust.coverage >= 0.999 else Grade.POOR
        found.append(Finding("coverage", f"{trust.coverage:.0%}", grade, words))
    if explanation.truncated:  # what it says of the calls that were made is not the whole
        return [_at_most_fair(one) for one in found]
    return found


def cautions(explanation: Explanation) -> list[str]:
    """What to beware of with a map."""
    found = list(explanation.trust.warnings)
    if explanation.trust.all_zero and not any("zero" in warning for warning in found):
        found.insert(0, "the map is zero everywhere: the method found nothing")
    if explanation.truncated and not any("deadline" in warning for warning in found):
        found.append("the deadline came first: the map rests on fewer calls than asked for")
    if unsure := _unsure(explanation.segment_scores):
        found.append(unsure)
    score, baseline = explanation.target.score, explanation.target.baseline_score
    if baseline is not None and baseline >= score and explanation.method != "grad_cam":
        found.append(
            f"the baseline scores {number(baseline)}, no less than the input's {number(score)}: "
            "another baseline may say more"
        )
    return found


def _unsure(scores: SegmentScores | None) -> str:
    """Warns where most segments may speak for the target as well as against it."""
    if scores is None or scores.low is None or scores.high is None:
        return ""
    count = int(np.count_nonzero((scores.low <= 0) & (scores.high >= 0)))
    if 2 * count <= len(scores.low):
        return ""
    return f"the intervals of {count} of {len(scores.low)} segments contain 0: take more samples"


def facts(prediction: Prediction) -> str:
    """What was read from the file, in one line."""
    match prediction.facts:
        case ImageFacts() as image:
            parts = [f"{image.width} by {image.height} pixels", f"{image.bit_depth} bit"]
            parts += [part for part in (image.colour, image.modality) if part]
        case AudioFacts() as audio:
            channels = "mono" if audio.channels == 1 else f"{audio.channels} channels"
            parts = [f"{audio.duration_s:.2f} s", f"{audio.sample_rate_hz} Hz", channels]
            parts += [audio.encoding] if audio.encoding else []
        case _:
            parts = []
    return " · ".join([prediction.media_type, *parts] if prediction.media_type else parts)


def parameters(receipt: Receipt) -> str:
    """The resolved parameters of a method, as they would be asked for."""
    if receipt.method is None:
        return ""
    values = asdict(receipt.method)
    return ", ".join(f"{name} = {_plain(value)}" for name, value in values.items())


def segmentation(receipt: Receipt) -> str:
    """The resolved segmentation; empty for methods without segments."""
    if receipt.segmentation is None:
        return ""
    values = asdict(receipt.segmentation)
    listed = ", ".join(f"{name} = {_plain(value)}" for name, value in values.items())
    return f"{receipt.segmentation.name}: {listed}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _gap(name: str, gap: float, change: float) -> Finding:
    share = gap / change if change > 0 else (0.0 if gap == 0 else float("inf"))
    grade = Grade.GOOD if share <= 0.02 else Grade.FAIR if share <= 0.1 else Grade.POOR
    if share < 0.001:
        words = "the map adds up to the score's change from the baseline"
    elif share == float("inf"):
        words = "the score does not differ from the baseline's, the map does not add up to 0"
    else:
        words = f"{share:.1%} of the score's change from the baseline is unaccounted for"
    return Finding(name, number(gap), grade, words)


def _at_most_fair(finding: Finding) -> Finding:
    return replace(finding, grade=Grade.FAIR) if finding.grade is Grade.GOOD else finding


def _fit(r_squared: float) -> Finding:
    if r_squared >= 0.7:
        grade, words = Grade.GOOD, "the linear model follows the network well around this input"
    elif r_squared >= 0.4:
        grade, words = Grade.FAIR, "the linear model follows the network only in part"
    else:
        grade, words = Grade.POOR, "the linear model hardly follows the network: do not rely on it"
    return Finding("R²", f"{r_squared:.2f}", grade, words)
