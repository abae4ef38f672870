"""Writes everything of an explanation into one folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from pellucid.client.explanations import Explanation
from pellucid.client.results import Result
from pellucid.rendering.archive import write_archive
from pellucid.rendering.canvas import canvas_of
from pellucid.rendering.overlay import overlay_png
from pellucid.rendering.page import page_html


@dataclass(frozen=True)
class Written:
    """The files of one explanation."""

    page: Path
    """One self-contained HTML page."""
    archive: Path
    """Raw numbers; see `pellucid.rendering.archive`."""
    overlays: tuple[Path, ...]
    """One PNG for each map, in the order of `Result.maps`."""


def write_result(
    result: Result,
    folder: Path,
    stem: str,
    *,
    content: bytes | None = None,
    ended_early: str = "",
) -> Written:
    """Write page, archive and overlays of an explanation.

    Args:
        result: an explanation, whole or not.
        folder: made where it is missing.
        stem: how the files' names begin.
        content: the original file, to draw on where it is a picture.
        ended_early: why, where the explanation ended before everything had come.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    canvas = canvas_of(result.input, content)
    stem = _safe(stem)
    overlays = []
    for explanation in result.maps:
        path = folder / f"{stem}.{_name(explanation)}.png"
        path.write_bytes(overlay_png(explanation, canvas))
        overlays.append(path)
    archive = folder / f"{stem}.npz"
    write_archive(result, archive)
    page = folder / f"{stem}.html"
    page.write_text(page_html(result, canvas, stem, ended_early=ended_early), encoding="utf-8")
    return Written(page, archive, tuple(overlays))


def _name(explanation: Explanation) -> str:
    return f"{_safe(explanation.method)}.{_safe(explanation.target.label)}"


def _safe(name: str) -> str:
    """A name without what file systems and shells dislike."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "unnamed"
