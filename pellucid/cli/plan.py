"""`pellucid plan`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import explain_options, options
from pellucid.cli.connect import Server, with_server
from pellucid.cli.consoles import print_json


@with_server
def plan(
    server: Server,
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="Chooses the model.", metavar="FILE"),
    ] = None,
    model: options.Model = None,
    methods: explain_options.Methods = "all",
    target: explain_options.Targets = None,
    param: explain_options.Parameters = None,
    score_space: explain_options.ScoreSpace = None,
    baseline: explain_options.Baseline = None,
    segments: explain_options.Segments = None,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
) -> None:
    """Count what an explanation would cost, without paying for it."""
    if file is None and model is None:
        raise typer.BadParameter("give a FILE or --model")
    with server.client(as_json=as_json) as client:
        left = explain_options.countdown(deadline)
        if model is None and file is not None:
            model = client.choose_model(file, deadline=left())
        wanted = explain_options.plan_options(target, score_space, baseline, segments)
        wanted["methods"] = explain_options.chosen_methods(
            client, model or "", methods, param, left()
        )
        wanted["deadline"] = left()
        found = client.plan(model=model, **wanted)
        if as_json:
            print_json(found)
        else:
            from pellucid.cli.tables import show_plan

            show_plan(found)
