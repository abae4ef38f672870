"""What a benchmark found, as a table for people and as JSON for machines."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table


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


def median_seconds(call: Callable[[], object], repeats: int, warm_up: int = 3) -> float:
    """Median wall-clock time of a call."""
    times = []
    for number in range(warm_up + repeats):
        start = perf_counter()
        call()
        if number >= warm_up:
            times.append(perf_counter() - start)
    return statistics.median(times)
