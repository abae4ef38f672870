"""Writes everything of an explanation into one folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.client.results import Explanation, Result
from pellucid.rendering.archive import write_archive
from pellucid.rendering.overlay import overlay_png
from pellucid.rendering.page import page_html
from pellucid.rendering.scenes import scene_of


@dataclass(frozen=True)
class Written:
    """The files of one explanation."""

    page: Path
    """One self-contained HTML page."""
    archive: Path
    """Raw numbers; see `pellucid.rendering.archive`."""
    overlays: tuple[Path, ...]
    """One PNG for each map, in the order of the explanations."""


def write_result(
    result: Result,
    folder: Path,
    stem: str,
    *,
    content: bytes | None = None,
    asked: Sequence[str] = (),
) -> Written:
    """Write page, archive and overlays of an explanation.

    Args:
        result: a whole explanation.
        folder: made where it is missing.
        stem: how the files' names begin.
        content: the original file, to draw on where it is a picture.
        asked: names of the methods that were asked for; the page says which of them have no map.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scene = scene_of(result.explained, content)
    stem = _safe(stem)
    overlays = []
    for explanation in result.explanations:
        path = folder / f"{stem}.{_name(explanation)}.png"
        path.write_bytes(overlay_png(explanation, scene))
        overlays.append(path)
    archive = folder / f"{stem}.npz"
    write_archive(result, archive)
    page = folder / f"{stem}.html"
    page.write_text(page_html(result, scene, stem, asked=asked), encoding="utf-8")
    return Written(page, archive, tuple(overlays))


def _name(explanation: Explanation) -> str:
    return f"{_safe(explanation.method)}.{_safe(explanation.target.label)}"


def _safe(name: str) -> str:
    """A name without what file systems and shells dislike."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "unnamed"
