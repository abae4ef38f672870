"""`pellucid train` and `evaluate`: models that are made and measured in a checkout."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pellucid.cli.exits import Exit, fail

if TYPE_CHECKING:
    from training.places import Places
    from training.recipe import Recipe

_INSTALL = "models are trained in a checkout of Pellucid: `make setup` there installs what it needs"


def _folder(of: str, *, exists: bool = False) -> Any:
    return typer.Option(help=of, file_okay=False, exists=exists, rich_help_panel="Folders")


Data = Annotated[
    Path | None, _folder("Of the data sets; by default beside the checkout.", exists=True)
]
Runs = Annotated[Path | None, _folder("Of the trainings; by default runs/ of the checkout.")]
Repository = Annotated[
    Path | None, _folder("Of the served models; by default triton_repo/ of the checkout.")
]


def train(
    recipe: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in training/recipes.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: stages.0.epochs=3."),
    ] = None,
    data: Data = None,
    runs: Runs = None,
    repository: Repository = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write the run's curves for TensorBoard.")
    ] = False,
) -> None:
    """Train a model as a recipe says, and measure it on validation.

    An interrupted training goes on after its last epoch. The test split is never read.
    """
    with trainings():
        from training.run import run

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
        run(_read(recipe, changes or []), places(data, runs, repository, tensorboard))


def evaluate(
    model: Annotated[str, typer.Argument(help="A model of the repository.")],
    split: Annotated[
        Literal["validation", "test"],
        typer.Option(help="Every look at the test split is counted in the card."),
    ] = "validation",
    settled: Annotated[
        str, typer.Option(help="With --split test: when and on what the recipe was settled.")
    ] = "",
    run_folders: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Measure this run instead; of several, the spread too."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="Other data than the recipe's: '{kind: nih14}', say.", metavar="SOURCE"),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Whose data are measured on; by default the model's.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write the figures into the card.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with curves.", dir_okay=False)
    ] = None,
    data: Data = None,
    repository: Repository = None,
) -> None:
    """Measure a model on the data of its recipe, or on others, and print the figures as JSON.

    Thresholds are the card's: nothing is chosen here but its default baseline, on validation.
    """
    if split == "test" and not settled:
        raise typer.BadParameter("say when the recipe was settled", param_hint="--settled")
    if len(set(run_folders or ())) == 1 and (card or split == "test"):
        # Before a look at the test split is counted.
        raise typer.BadParameter(
            "one run alone has no place in the card, which takes what is served, or the spread of "
            "several runs: name more, or measure it on validation without --card",
            param_hint="--run",
        )
    with trainings():
        from training.evaluation_run import Request, evaluate_model

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
        sources = _sources(on) if on else _read(recipe or model, []).data
        request = Request(model, split, settled, tuple(run_folders or ()), sources, bool(on), card)
        report = evaluate_model(request, places(data, None, repository), html)
    typer.echo(json.dumps(report, indent=1))


def _sources(texts: list[str]) -> Any:
    import yaml

    from training.evaluate import read_sources

    try:
        return read_sources(texts)
    except (ValueError, yaml.YAMLError) as error:
        raise fail(f"--on: {error}", code=Exit.INVALID) from None


def _read(named: str, changes: list[str]) -> "Recipe":
    import yaml

    from training.places import recipe_path
    from training.recipe import Recipe

    path = recipe_path(named)
    try:
        recipe: Recipe = Recipe.read(path, changes)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise fail(f"{path}: {error}", code=Exit.INVALID) from None
    return recipe


def places(
    data: Path | None, runs: Path | None, repository: Path | None, tensorboard: bool = False
) -> "Places":
    """The folders that were named, the checkout's own for the others."""
    from training.places import Places

    usual = Places()
    return Places(
        data or usual.data, runs or usual.runs, repository or usual.repository, tensorboard
    )


@contextmanager
def trainings() -> Iterator[None]:
    """What needs the code of trainings, which no wheel has; its errors end the command."""
    try:
        from pellucid.repository.errors import ModelNotBuilt
        from training.datasets.pictures import BadData
        from training.digests import NoWeights
        from training.run_recipe import OtherRun
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed", _INSTALL) from None
    try:
        yield
    except (BadData, ModelNotBuilt, NoWeights, OtherRun) as error:
        raise fail(str(error), code=Exit.INVALID) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
