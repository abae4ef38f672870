"""Draw what a Prometheus has recorded: `python -m deploy.dashboards.pictures URL FOLDER`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.dashboards.definitions import DASHBOARDS
from deploy.dashboards.pictures.curves import curves_of
from deploy.dashboards.pictures.history import History, PrometheusError, Window
from deploy.dashboards.pictures.page import draw_page


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw every dashboard from a Prometheus' data, a PNG file each.

    Args:
        arguments: of the command line; this process' where None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dashboards.pictures",
        description="Draw every dashboard from a Prometheus' data, a PNG file each.",
    )
    parser.add_argument("prometheus", metavar="URL", help="e.g. http://localhost:9090")
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument("--minutes", type=float, default=60, help="up to now; by default 60")
    options = parser.parse_args(arguments)
    try:
        draw_all(options.prometheus, options.folder, options.minutes)
    except PrometheusError as error:
        sys.exit(str(error))


def draw_all(url: str, folder: Path, minutes: float) -> None:
    """Draw every dashboard over the last minutes.

    Raises:
        PrometheusError: there is no Prometheus at the address.
    """
    history = History(url)
    window = Window(end=time.time(), seconds=60 * minutes)
    pages = [[curves_of(panel, history, window) for panel in page.panels] for page in DASHBOARDS]
    folder.mkdir(parents=True, exist_ok=True)
    for page, curves in zip(DASHBOARDS, pages, strict=True):
        draw_page(page, curves, window, folder / f"{page.name}.png")


if __name__ == "__main__":
    main()
