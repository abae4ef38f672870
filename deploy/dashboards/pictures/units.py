"""Values as people read them, by the units that Grafana knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Scale:
    """What an axis counts in."""

    size: float
    """Of one, in the panel's unit."""
    suffix: str

    def text(self, value: float) -> str:
        """A value that is counted in this scale, e.g. `250 ms`."""
        return f"{value:.4g}{self.suffix}"


_SCALES: Final[Mapping[str, tuple[Scale, ...]]] = {
    "s": (Scale(1e-6, " µs"), Scale(1e-3, " ms"), Scale(1, " s"), Scale(60, " min")),
    "percentunit": (Scale(0.01, "%"),),
    "reqps": (Scale(1, " req/s"), Scale(1e3, "K req/s")),
    "bytes": (Scale(1, " B"), Scale(2**10, " KiB"), Scale(2**20, " MiB"), Scale(2**30, " GiB")),
    "Bps": (Scale(1, " B/s"), Scale(1e3, " kB/s"), Scale(1e6, " MB/s"), Scale(1e9, " GB/s")),
    "short": (Scale(1, ""), Scale(1e3, " K"), Scale(1e6, " Mil")),
}
"""From small to large."""


def scale_of(unit: str, largest: float) -> Scale:
    """The largest scale of a unit in which the largest value is one or more.

    Where none is, the unit as it is: `0.4 req/s`, `0 s`.
    """
    scales = _SCALES[unit]
    reached = [scale for scale in scales if scale.size <= largest]
    plain = next((scale for scale in scales if scale.size == 1), scales[0])
    return reached[-1] if reached else plain
