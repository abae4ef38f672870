"""What a Prometheus has recorded, by range queries."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TIMEOUT_S: Final = 30


class PrometheusError(Exception):
    """The address does not answer as a Prometheus does, or the query is refused."""


@dataclass(frozen=True)
class Window:
    """Moments at equal distances, for which values are wanted."""

    end: float
    """In seconds since 1970."""
    seconds: float
    steps: int = 120

    @property
    def step_s(self) -> float:
        """Seconds from one moment to the next."""
        return self.seconds / self.steps

    @property
    def start(self) -> float:
        """In seconds since 1970."""
        return self.end - self.seconds

    @property
    def moments(self) -> Floats:
        """In seconds since 1970, both ends included."""
        return np.linspace(self.start, self.end, self.steps + 1)


@dataclass(frozen=True)
class Series:
    """What a query gives for one set of labels."""

    labels: Mapping[str, str]
    values: Floats
    """One for each moment of the window; NaN where there is none."""


class History:
    """Range queries to one Prometheus."""

    def __init__(self, url: str) -> None:
        """Query the one at this address, `http://HOST:PORT` or `HOST:PORT`."""
        self._url = (url if "://" in url else f"http://{url}").rstrip("/")

    def series(self, query: str, window: Window) -> list[Series]:
        """The series of a query, in Prometheus' order; none where there is no data.

        Raises:
            PrometheusError: there is no Prometheus, or it refuses the query.
        """
        arguments = {
            "query": query,
            "start": f"{window.start:.3f}",
            "end": f"{window.end:.3f}",
            "step": f"{window.step_s:.3f}",
        }
        found = self._matrix(urllib.parse.urlencode(arguments))
        return [Series(one["metric"], _on_window(one["values"], window)) for one in found]

    def _matrix(self, arguments: str) -> Any:
        try:
            url = f"{self._url}/api/v1/query_range?{arguments}"
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise PrometheusError(f"{self._url} refuses a query: {said}") from error
        except OSError as error:
            raise PrometheusError(f"no Prometheus answers at {self._url}: {error}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise PrometheusError(f"what answers at {self._url} is no Prometheus") from error


def _on_window(values: list[tuple[float, str]], window: Window) -> Floats:
    """Finite values in their places; Prometheus leaves out moments without one."""
    placed = np.full(window.steps + 1, np.nan)
    for moment, text in values:
        placed[round((moment - window.start) / window.step_s)] = float(text)
    placed[~np.isfinite(placed)] = np.nan
    return placed
