"""The `pellucid` command.

Exit codes: 0 done; 2 wrong usage; 3 the file or a parameter is invalid; 4 no such model, or it
cannot do that method; 5 the service does not answer or is full; 6 the deadline passed; 7 the server
failed; 130 interrupted.
"""

import typer

from pellucid.cli import classify, demo, explain, index, model, plan, similar, system, training

app = typer.Typer(
    name="pellucid",
    help="Classify files and explain the predictions.",
    epilog="Exit codes: 0 done, 2 usage, 3 invalid input, 4 unknown model or method, "
    "5 service unavailable, 6 deadline, 7 server failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(classify.capabilities)
app.command()(classify.classify)
app.command()(similar.similar)
app.command()(plan.plan)
app.command()(explain.explain)
app.command()(system.up)
app.command()(system.down)
app.command()(system.status)
app.command()(system.logs)
app.command()(demo.demo)
app.command()(training.train)
app.command()(training.evaluate)
app.add_typer(model.app, name="model")
app.add_typer(index.app, name="index")

__all__ = ["app"]
