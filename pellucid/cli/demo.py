"""`pellucid demo`: the whole system, once, on the files that the project ships."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.consoles import stderr
from pellucid.cli.exits import reported

_SAMPLES = {
    Path("samples/radiograph_opacity.png"): "pneumonia_densenet121",
    Path("samples/speech_flite.wav"): "speech_mobilenet_v2",
}
"""Each with the model that explains it; these are built before the others."""


def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, dir_okay=False, help="By default an X-ray and a clip."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pages and raw maps.")] = Path("out/demo"),
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository.", file_okay=False)
    ] = Path("triton_repo"),
) -> None:
    """Start a system of its own, explain some files with every method, and stop it again."""
    from pellucid.cli.explain import explain_file
    from pellucid.cli.system import embedded
    from pellucid.cli.system_progress import SystemProgress
    from pellucid.client import Client

    pages = []
    with embedded(), reported():
        from pellucid.embedded.settings import SystemSettings
        from pellucid.embedded.system import EmbeddedSystem

        settings = SystemSettings(
            repository=repository,
            state_dir=out / ".system",
            gateway_port=0,
            first=frozenset(_SAMPLES.values()),
        )
        with SystemProgress() as progress, EmbeddedSystem(settings, progress) as system:
            progress.pause()
            with Client(system.gateway_url) as client:
                for file in files or _SAMPLES:
                    stderr.print(f"\n[bold]{file}[/]")
                    model = _SAMPLES.get(file)
                    written = explain_file(client, file, model, "all", None, {}, out)
                    pages += [written.page] if written else []
    for page in pages:
        typer.echo(f"open {page.resolve()}")
