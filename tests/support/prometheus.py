"""A real Prometheus over the metrics of running services."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from pellucid.addresses import address
from pellucid.embedded.ports import LOOPBACK, resolve_ports
from pellucid.embedded.prometheus import prometheus_command

MISSING: Final = "there is no prometheus: on Debian `apt install prometheus`"


def is_installed() -> bool:
    """Whether there is one on the PATH."""
    return shutil.which("prometheus") is not None


class Prometheus:
    """Instant queries."""

    def __init__(self, url: str) -> None:
        """Ask the one at this address."""
        self.url = url

    def samples(self, query: str) -> list[float]:
        """The values of a query; none where there is no data, or no answer yet.

        Raises:
            ValueError: it is no PromQL.
        """
        text = urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{text}") as answer:
                found: Any = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # it is starting
                return []
            raise ValueError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return []
        return [float(one["value"][1]) for one in found]

    def value(self, query: str) -> float:
        """The first value of a query; 0 where there is none."""
        return next(iter(self.samples(query)), 0.0)


@contextmanager
def running(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """Scrape every second what answers at `/metrics`, while the block runs.

    Args:
        targets: `host:port` by name.
        folder: for its configuration and its data.
    """
    port = resolve_ports({"prometheus": (LOOPBACK, 0)})["prometheus"]
    url = address(LOOPBACK, port)
    command = prometheus_command(url, folder, targets, every_s=1)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield Prometheus(f"http://{url}")
        finally:
            process.terminate()
