"""`pellucid index`: indices of cases, which `pellucid similar` finds like ones in."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli import options
from pellucid.cli.consoles import print_json, stderr, stdout
from pellucid.cli.exits import Exit, fail, reported

_INSTALL = "indices are made by the server: `make setup` in a checkout installs what it needs"
app = typer.Typer(help="Make, list and remove indices of cases, for `pellucid similar`.")

Model = Annotated[str, typer.Argument(help="Name of the model, which has to be served here.")]
Indices = Annotated[
    Path | None,
    typer.Option(
        help="Folder of indices; by default that of the system that runs here.", file_okay=False
    ),
]


@app.command()
def build(
    model: Model,
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="Of files; those in FOLDER/LABEL/ get the label."
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with the columns `file` and `label` (several: `a|b`): of the files to take.",
        ),
    ] = None,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Keep small pictures of what the model sees.")
    ] = False,
    indices: Indices = None,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    as_json: options.Json = False,
) -> None:
    """Make the index of a model from files of your own; one that it has is replaced.

    It keeps the files' names, labels and features, which say something of what they show.
    """
    import asyncio

    try:
        from gateway.indexing import NothingToIndex, build_index
        from gateway.settings import GatewaySettings
        from pellucid.serving import logs
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed", _INSTALL) from None
    logs.warnings_alone()
    urls = _services(state_dir)
    out = _folder(indices, state_dir) / model
    with reported(as_json=as_json), stderr.status(f"reading {folder}") as status:
        try:
            made = asyncio.run(
                build_index(
                    model,
                    folder,
                    out,
                    GatewaySettings(**urls),
                    labels=labels,
                    thumbnails=thumbnails,
                    progress=lambda done, of: status.update(f"{done} of {of} files"),
                )
            )
        except NothingToIndex as error:
            raise fail(str(error), code=Exit.INVALID) from None
    about = made.about.model_dump()
    if as_json:
        print_json(about | {"folder": str(out), "left_out": dict(made.left_out)})
        return
    for name, why in made.left_out.items():
        stderr.print(f"[yellow]left out[/] {name}: {why}", markup=True, soft_wrap=True)
    stdout.print(f"{out}: {made.about.files} cases", soft_wrap=True)


@app.command(name="list")
def list_indices(
    indices: Indices = None,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    as_json: options.Json = False,
) -> None:
    """Say which models have an index."""
    from gateway.case_index import ABOUT, About

    folder = _folder(indices, state_dir)
    found = [About.model_validate_json(path.read_bytes()) for path in folder.glob(f"[!.]*/{ABOUT}")]
    rows: list[dict[str, Any]] = [about.model_dump() for about in sorted(found, key=_model)]
    if as_json:
        print_json(rows)
        return
    from pellucid.cli.tables import simple_table

    table = simple_table("model", "cases", "typical distance", "thumbnails", "weights")
    for row in rows:
        kept = "yes" if row["thumbnails"] else "no"
        distance, digest = f"{row['typical_distance']:.4g}", row["weights_digest"][:12]
        table.add_row(row["model"], str(row["files"]), distance, kept, digest)
    stdout.print(table)


@app.command()
def remove(
    model: Model,
    indices: Indices = None,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
) -> None:
    """Delete the index of a model."""
    from gateway.case_index import ABOUT

    path = _folder(indices, state_dir) / model
    if Path(model).name != model or not (path / ABOUT).is_file():
        raise fail(f"there is no index of {model!r}", code=Exit.NOT_FOUND)
    shutil.rmtree(path)
    typer.echo(f"removed {path}")


def _model(about: Any) -> str:
    return str(about.model)


def _folder(indices: Path | None, state_dir: Path) -> Path:
    from pellucid.embedded.service_plans import index_dir

    return indices or index_dir(state_dir)


def _services(state_dir: Path) -> dict[str, Any]:
    """Where the services of the system that runs here are; those in the environment without one."""
    from pellucid.embedded.state import StateFolder

    record = StateFolder(state_dir).read()
    if record is None or not record.running:
        return {}
    found = {name: record.service(name) for name in ("triton", "preprocess")}
    return {f"{name}_url": one.url for name, one in found.items() if one is not None}
