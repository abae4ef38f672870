"""`pellucid explain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pellucid.cli import explain_options, options
from pellucid.cli.connect import Server, with_server
from pellucid.cli.consoles import print_json, stdout
from pellucid.cli.exits import exit_code_of

if TYPE_CHECKING:
    from pellucid.client import Client, ExplainOptions, Result
    from pellucid.rendering.files import Written

_PATIENCE_S: Final = 900.0
"""The longest that servers grant by default; Ctrl-C is nearer than a deadline."""


@with_server
def explain(
    server: Server,
    file: options.File,
    model: options.Model = None,
    methods: explain_options.Methods = "all",
    target: explain_options.Targets = None,
    param: explain_options.Parameters = None,
    score_space: explain_options.ScoreSpace = None,
    baseline: explain_options.Baseline = None,
    segments: explain_options.Segments = None,
    seed: explain_options.Seed = None,
    operating_point: options.OperatingPoint = None,
    window: Annotated[
        int | None,
        typer.Option(
            help="Which window of a recording, from 0; by default where the target is highest.",
            min=0,
        ),
    ] = None,
    refuse_unlike: options.RefuseUnlike = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for page, overlays and raw maps; by default out/NAME.", file_okay=False
        ),
    ] = None,
    files: Annotated[bool, typer.Option(help="Write page, overlays and raw maps.")] = True,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
) -> None:
    """Classify one file, explain the answer, and draw the maps."""
    folder = (out or Path("out") / file.stem) if files else None
    with server.client(as_json=as_json) as client:
        wanted: ExplainOptions = {
            **explain_options.plan_options(target, score_space, baseline, segments, seed),
            "deadline": deadline,
            "window": window,
            "operating_point": operating_point,
            "refuse_out_of_distribution": refuse_unlike,
        }
        explain_file(client, file, model, methods, param, wanted, folder, as_json=as_json)


def explain_file(
    client: "Client",
    file: Path,
    model: str | None,
    methods: str,
    parameters: list[str] | None,
    wanted: "ExplainOptions",
    folder: Path | None,
    *,
    as_json: bool = False,
) -> "Written | None":
    """Explain one file with progress bars, show the result, and write it where a folder is given.

    Raises:
        typer.Exit: a method failed; the result was shown and written.
        PellucidError, ServerError, KeyboardInterrupt: the explanation ended early; what had come
            was shown and written.
    """
    from pellucid.cli.explain_progress import ExplainProgress

    content = file.read_bytes()
    left = explain_options.countdown(wanted.get("deadline"))
    model = model or client.choose_model(content, deadline=left())
    wanted["methods"] = explain_options.chosen_methods(client, model, methods, parameters, left())
    wanted["deadline"] = left() or _PATIENCE_S
    progress = ExplainProgress(client.explain(content, model, **wanted))
    result, written = progress.gathered.result(), None
    if folder is not None:
        from pellucid.rendering import write_result

        written = write_result(
            result, folder, file.stem, content=content, ended_early=progress.ended_early
        )
    if progress.error is None or not as_json:
        _show(result, written, as_json)
    if progress.error is not None:
        raise progress.error
    if result.failures:
        raise typer.Exit(exit_code_of(result.failures[0].reason))
    return written


def _show(result: "Result", written: "Written | None", as_json: bool) -> None:
    if as_json:
        from pellucid.rendering.summary import summary

        files = None
        if written is not None:
            files = {
                "page": str(written.page),
                "archive": str(written.archive),
                "overlays": [str(path) for path in written.overlays],
            }
        print_json(summary(result) | {"files": files})
        return
    from pellucid.cli.tables import show_result

    show_result(result)
    if written is not None:
        stdout.print(f"page      {written.page}", soft_wrap=True)
        stdout.print(f"raw maps  {written.archive}", soft_wrap=True)
        overlays = f"{len(written.overlays)} PNG in {written.page.parent}"
        stdout.print(f"overlays  {overlays}", soft_wrap=True)
