"""The curves of a panel: what its queries gave, under the legends that the panel has for them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from deploy.dashboards.definitions import Panel
from deploy.dashboards.pictures.history import Floats, Series, Window

_SCRAPED_S: Final = 15
"""Seconds between two readings of a service, as Grafana assumes."""


class Recorded(Protocol):
    """Where series come from."""

    def series(self, query: str, window: Window) -> Sequence[Series]:
        """The series of a query."""


@dataclass(frozen=True)
class Curve:
    """One line of a panel."""

    legend: str
    values: Floats
    """One for each moment of the window; NaN where there is none."""


def curves_of(panel: Panel, recorded: Recorded, window: Window) -> list[Curve]:
    """Every curve that has a value within the window."""
    interval = rate_interval(window)
    return [
        Curve(fill(legend, series.labels), series.values)
        for legend, query in panel.queries.items()
        for series in recorded.series(query.replace("$interval", interval), window)
        if not np.isnan(series.values).all()
    ]


def rate_interval(window: Window) -> str:
    """The window of rates: Grafana's `$__rate_interval`."""
    return f"{max(4 * _SCRAPED_S, round(window.step_s) + _SCRAPED_S)}s"


def fill(legend: str, labels: Mapping[str, str]) -> str:
    """Put the labels' values in the place of `{{label}}`."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip()
