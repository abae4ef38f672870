"""`pellucid plan` and `pellucid explain`."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pellucid.cli import options
from pellucid.cli.connect import Server

if TYPE_CHECKING:
    from pellucid.client import Client, ExplainOptions, Method, PlanOptions, Result
    from pellucid.rendering.files import Written

_PATIENCE_S: Final = 900.0
"""The longest that servers grant by default; Ctrl-C is nearer than a deadline."""

Methods = Annotated[
    str,
    typer.Option(help="Names separated by commas, e.g. lime,grad_cam; or all that are available."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="What to explain: a label, #1 (place in the card), top:2, or threshold; repeatable. "
        "By default the label with the highest score.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="METHOD.NAME=VALUE", help="E.g. lime.samples=500; repeatable."),
]
ScoreSpace = Annotated[
    str | None, typer.Option(help="Scale that is explained: logit (default) or probability.")
]
Baseline = Annotated[
    str | None,
    typer.Option(
        help="What stands where something is hidden: black, mean, blur or silence. "
        "By default the mean for pictures, silence for sound."
    ),
]
Segments = Annotated[
    str | None,
    typer.Option(
        help="slic:60, quickshift:4, grid:8x16, or slic:segments=60,compactness=0.1. "
        "By default slic for pictures, a grid for sound."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Start of every random draw; by default 0.", min=0)]


def plan(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="Chooses the model.", metavar="FILE"),
    ] = None,
    model: options.Model = None,
    methods: Methods = "all",
    target: Targets = None,
    param: Parameters = None,
    score_space: ScoreSpace = None,
    baseline: Baseline = None,
    segments: Segments = None,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
    url: options.Url = None,
    tls: options.Tls = False,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Count what an explanation would cost, without paying for it."""
    if file is None and model is None:
        raise typer.BadParameter("give a FILE or --model")
    with Server(url, tls, ca, certificate, key).client(as_json=as_json) as client:
        left = _countdown(deadline)
        if model is None and file is not None:
            model = client.choose_model(file, deadline=left())
        asked = _options(target, score_space, baseline, segments, None)
        asked["methods"] = _methods(client, model or "", methods, param, left())
        asked["deadline"] = left()
        found = client.plan(model=model, **asked)
        if as_json:
            from pellucid.cli.ask import print_json

            print_json(found)
        else:
            from pellucid.cli.tables import show_plan

            show_plan(found)


def explain(
    file: options.File,
    model: options.Model = None,
    methods: Methods = "all",
    target: Targets = None,
    param: Parameters = None,
    score_space: ScoreSpace = None,
    baseline: Baseline = None,
    segments: Segments = None,
    seed: Seed = None,
    window: Annotated[
        int | None,
        typer.Option(
            help="Which window of a recording, from 0; by default where the target is highest.",
            min=0,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for page, overlays and raw maps; by default out/NAME.", file_okay=False
        ),
    ] = None,
    files: Annotated[bool, typer.Option(help="Write page, overlays and raw maps.")] = True,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
    url: options.Url = None,
    tls: options.Tls = False,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Classify one file, explain the answer, and draw the maps."""
    folder = (out or Path("out") / file.stem) if files else None
    with Server(url, tls, ca, certificate, key).client(as_json=as_json) as client:
        asked: ExplainOptions = {
            **_options(target, score_space, baseline, segments, seed),
            "deadline": deadline,
            "window": window,
        }
        explain_file(client, file, model, methods, param, asked, folder, as_json=as_json)


def explain_file(
    client: "Client",
    file: Path,
    model: str | None,
    methods: str,
    parameters: list[str] | None,
    asked: "ExplainOptions",
    folder: Path | None,
    *,
    as_json: bool = False,
) -> "Written | None":
    """Explain one file with progress bars, show the answer, and write it where asked to.

    When it fails or is interrupted after some maps have come, those are shown and written first.
    """
    from pellucid.cli.progress import Gathered
    from pellucid.client.flow import collect

    content = file.read_bytes()
    left = _countdown(asked.get("deadline"))
    model = model or client.choose_model(content, deadline=left())
    wanted = _methods(client, model, methods, parameters, left())
    asked["methods"] = wanted
    asked["deadline"] = left() or _PATIENCE_S
    gathered = Gathered(client.explain(content, model, **asked))
    result, written = collect(gathered.events), None
    if folder is not None:
        from pellucid.rendering import write_result

        names = [method.name for method in wanted]
        written = write_result(result, folder, file.stem, content=content, asked=names)
    if gathered.failure is None or not as_json:
        _show(result, written, as_json)
    if gathered.failure is not None:
        raise gathered.failure
    return written


def _show(result: "Result", written: "Written | None", as_json: bool) -> None:
    if as_json:
        from pellucid.cli.ask import print_json
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
    from pellucid.cli.tables import answers, show_result

    show_result(result)
    if written is not None:
        answers.print(f"page      {written.page}", soft_wrap=True)
        answers.print(f"raw maps  {written.archive}", soft_wrap=True)
        overlays = f"{len(written.overlays)} PNG in {written.page.parent}"
        answers.print(f"overlays  {overlays}", soft_wrap=True)


def _countdown(seconds: float | None) -> Callable[[], float | None]:
    """What is left of the time for a whole command, in seconds; None where it is not bounded."""
    end = None if seconds is None else monotonic() + seconds
    return lambda: None if end is None else max(end - monotonic(), 1e-3)


def _methods(
    client: "Client",
    model: str,
    text: str,
    parameters: list[str] | None,
    deadline: float | None,
) -> list["Method"]:
    from pellucid.cli.parsing import parse_methods

    available: list[str] = []
    if text == "all":
        offers = [
            offer for offer in client.capabilities(deadline=deadline).models if offer.name == model
        ]
        # A model that is not served is the server's to refuse.
        available = [m.name for offer in offers for m in offer.methods if m.available]
    return parse_methods(text, available, parameters or [])


def _options(
    target: list[str] | None,
    score_space: str | None,
    baseline: str | None,
    segments: str | None,
    seed: int | None,
) -> "PlanOptions":
    from pellucid.cli.parsing import parse_segmentation, parse_target

    return {
        "target": [parse_target(text) for text in target] if target else None,
        "score_space": score_space,
        "baseline": baseline,
        "segmentation": parse_segmentation(segments) if segments else None,
        "seed": seed,
    }
