"""`pellucid model build`: everything that Triton serves, from cards and weights."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.exits import Exit, fail
from pellucid.cli.system import embedded


def build(
    models: Annotated[list[str] | None, typer.Argument(help="Names; by default all.")] = None,
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository.", file_okay=False, exists=True)
    ] = Path("triton_repo"),
    force: Annotated[bool, typer.Option(help="Build even what is current.")] = False,
) -> None:
    """Build graphs and configurations that are missing or stale.

    The exit code is 3 where a model cannot be built; the others are.
    """
    from pellucid.cli.system_progress import SystemProgress

    with embedded():
        from pellucid.repository.build_process import build_repository
        from pellucid.repository.errors import BuilderFailed
        from pellucid.repository.folder import model_folders

        known = {folder.name for folder in model_folders(repository)}
        if unknown := sorted(set(models or ()) - known):
            remedy = f"there are: {', '.join(sorted(known)) or 'none'}"
            raise fail(f"no model {', '.join(unknown)} in {repository}", remedy, Exit.NOT_FOUND)
        with SystemProgress() as progress:
            work = build_repository(repository, progress, models or None, force=force)
            try:
                failures = asyncio.run(work)
            except BuilderFailed as error:
                raise fail(str(error), code=Exit.INTERNAL) from None
    if failures:
        raise typer.Exit(Exit.INVALID)
