"""What a benchmark found, as a table for people and as JSON for machines."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from rich.console import Console
from rich.table import Table

_WARM_UP: Final = 3
"""Rounds that are not counted."""


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    aim: str = ""
    """What it should be, in words; empty for a number that is only reported."""


def show(title: str, figures: Sequence[Figure], console: Console) -> None:
    """Print figures as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("aim")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.3g}", figure.unit, figure.aim)
    console.print(table)


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


def median_seconds(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall-clock time of each call; they take turns, so all meet the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(_WARM_UP + repeats):
        for call, taken in zip(calls, times, strict=True):
            start = perf_counter()
            call()
            if number >= _WARM_UP:
                taken.append(perf_counter() - start)
    return [statistics.median(taken) for taken in times]
