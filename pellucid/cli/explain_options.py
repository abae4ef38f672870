"""Options that `pellucid plan` and `pellucid explain` share, and what they become."""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.client import Client, Method, PlanOptions

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
        "By default the first that `pellucid capabilities` lists for the model."
    ),
]
Segments = Annotated[
    str | None,
    typer.Option(
        help="slic:60, grid:8x16, quickshift:4, or slic:segments=60,compactness=0.1. "
        "By default the first that `pellucid capabilities` lists for the model."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Start of every random draw; by default 0.", min=0)]


def countdown(seconds: float | None) -> Callable[[], float | None]:
    """What is left of the time for a whole command, in seconds; None where it is not bounded."""
    end = None if seconds is None else monotonic() + seconds
    return lambda: None if end is None else max(end - monotonic(), 1e-3)


def chosen_methods(
    client: "Client",
    model: str,
    text: str,
    parameters: list[str] | None,
    deadline: float | None,
) -> "list[Method] | None":
    """The methods of `--methods` and `--param`; None leaves the choice to the server.

    Raises:
        typer.BadParameter: a name or a value is wrong.
    """
    from pellucid.cli.parsing import parse_methods
    from pellucid.client.methods import METHODS

    if text != "all":
        return parse_methods(text, parameters or [])
    if not parameters:
        return None
    models = client.capabilities(deadline=deadline).models
    # A model that is not served is the server's to refuse.
    available = [name for one in models if one.name == model for name in one.available_methods]
    return parse_methods(",".join(name for name in available if name in METHODS), parameters)


def plan_options(
    target: list[str] | None,
    score_space: str | None,
    baseline: str | None,
    segments: str | None,
    seed: int | None = None,
) -> "PlanOptions":
    """The options of a request.

    Raises:
        typer.BadParameter: a target or a segmentation is wrong.
    """
    from pellucid.cli.parsing import parse_segmentation, parse_target

    return {
        "target": [parse_target(text) for text in target] if target else None,
        "score_space": score_space,
        "baseline": baseline,
        "segmentation": parse_segmentation(segments) if segments else None,
        "seed": seed,
    }
