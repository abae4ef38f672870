"""`pellucid similar`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli import options
from pellucid.cli.connect import Server, with_server
from pellucid.cli.consoles import print_json, stdout

if TYPE_CHECKING:
    from pellucid.client import SimilarCase


@with_server
def similar(
    server: Server,
    file: options.File,
    model: options.Model = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="Cases at most.")] = 5,
    window: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which window of a recording, from 0; by default where the top label is highest.",
        ),
    ] = None,
    thumbnails: Annotated[
        Path | None, typer.Option(help="Write the cases' small pictures here.", file_okay=False)
    ] = None,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
) -> None:
    """Find the cases of a model's index that the model finds most like a file."""
    with server.client(as_json=as_json) as client:
        found = client.find_similar(file, model, count=count, window=window, deadline=deadline)
        paths = _write(found.cases, thumbnails) if thumbnails else []
        if as_json:
            print_json(found)
            return
        from pellucid.cli.tables import show_similar

        show_similar(found)
        for path in paths:
            stdout.print(str(path), soft_wrap=True)


def _write(cases: "Sequence[SimilarCase]", folder: Path) -> list[Path]:
    """Write the pictures that there are, the nearest case's first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, case in enumerate(cases, 1):
        if case.thumbnail_png:
            paths.append(folder / f"{place:03}.png")
            paths[-1].write_bytes(case.thumbnail_png)
    return paths
