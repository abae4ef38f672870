"""An evaluation as one HTML page that needs no other file."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from pellucid.repository.quality import is_table, text_of, title_of
from training.calibration import BINS
from training.evaluate import Assessments
from training.figures import Cases

_TEMPLATE: Final = Path(__file__).parent / "report.html.j2"


def report_html(
    title: str,
    assessments: Mapping[str, Assessments],
    notes: Mapping[str, str],
    seeds: Mapping[str, Any],
) -> str:
    """Make the page.

    Args:
        title: of the page.
        assessments: by network, of which there is one, or one a run.
        notes: what else is to be known, by name.
        seeds: what `training.evaluate.spread` said of several runs; empty where there is one.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"cell": text_of, "words": title_of}
    environment.tests |= {"table": is_table}
    sections = [
        (network, name, one.report, {label: _plots(each) for label, each in one.cases.items()})
        for network, sets in assessments.items()
        for name, one in sets.items()
    ]
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, sections=sections, notes=notes, seeds=seeds)


def _plots(cases: Cases) -> str:
    """ROC, precision and recall, and reliability: an SVG file as a URI."""
    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": "pellucid"}):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained", facecolor="white")
        for axes, draw in zip(figure.subplots(1, 3), (_roc, _precision, _reliability), strict=True):
            draw(axes, cases)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axes.grid(alpha=0.3)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "Pellucid"})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _roc(axes: Axes, cases: Cases) -> None:
    false_alarms, hits, _ = roc_curve(cases.labels, cases.scores)
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.plot(false_alarms, hits)
    axes.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity")


def _precision(axes: Axes, cases: Cases) -> None:
    precision, recall, _ = precision_recall_curve(cases.labels, cases.scores)
    axes.axhline(cases.labels.mean(), linestyle=":", color="grey")
    axes.step(recall, precision, where="post")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision")


def _reliability(axes: Axes, cases: Cases) -> None:
    order = np.argsort(cases.scores, kind="stable")
    bins = [rows for rows in np.array_split(order, BINS) if rows.size]
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.plot(
        [cases.scores[rows].mean() for rows in bins],
        [cases.labels[rows].mean() for rows in bins],
        marker="o",
    )
    axes.set(title="Reliability", xlabel="mean score", ylabel="share of positives")
