"""`pellucid up`, `down`, `status` and `logs`: the whole system on this machine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli import options
from pellucid.cli.connect import Server
from pellucid.cli.exits import Exit, fail

if TYPE_CHECKING:
    from pellucid.embedded.status import SystemStatus

_INSTALL = "the system runs from a checkout of Pellucid: `make setup` there installs what it needs"


def up(
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository.", file_okay=False)
    ] = Path("triton_repo"),
    host: Annotated[str, typer.Option(help="Address that the gateway listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port of the gateway; 0 picks a free one.", min=0, max=65_535)
    ] = 50050,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is healthy.")
    ] = False,
    models: Annotated[
        str | None,
        typer.Option(
            envvar="PELLUCID_MODELS",
            help="Only these models, separated by commas; by default all.",
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            help="Be ready once these models are, separated by commas; the others follow."
        ),
    ] = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Run Prometheus beside it, where that is installed.")
    ] = False,
    traces: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Send OpenTelemetry traces there, as OTLP over HTTP: http://HOST:4318/v1/traces.",
        ),
    ] = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Build what is missing and run the whole system, until Ctrl-C or `pellucid down`.

    Where PELLUCID_GATEWAY_TLS_CERTIFICATE and PELLUCID_GATEWAY_TLS_KEY are set, the gateway speaks
    TLS; its health is asked with --ca (and, for mTLS, --cert and --key), and its certificate has to
    name --host.
    """
    from pellucid.cli.system_progress import SystemProgress

    with embedded() as commands, SystemProgress() as progress:
        from pellucid.embedded.settings import ALL_SERVICES, OBSERVED, SystemSettings
        from pellucid.repository.folder import names_of

        settings = SystemSettings(
            repository=repository,
            state_dir=state_dir,
            host=host,
            gateway_port=port,
            services=OBSERVED if observe else ALL_SERVICES,
            models=names_of(models),
            first=names_of(first) or frozenset(),
            traces=traces,
            tls=Server(ca=ca, certificate=certificate, key=key).encryption(),
        )
        commands.up(settings, detach=detach, listener=progress)


def down(state_dir: options.StateDir = options.DEFAULT_STATE_DIR) -> None:
    """Stop the system that runs here."""
    from pellucid.cli.system_progress import SystemProgress

    with embedded() as commands, SystemProgress() as progress:
        stopped = commands.down(state_dir, listener=progress)
    if not stopped:
        typer.echo(f"nothing runs with the state folder {state_dir}", err=True)


def status(
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR, as_json: options.Json = False
) -> None:
    """Say how the system is; the exit code is 5 unless every service is healthy."""
    with embedded() as commands:
        found = commands.status(state_dir)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _show(found)
    if found.state != "ready":
        raise typer.Exit(Exit.UNAVAILABLE)


def logs(
    service: Annotated[
        str | None,
        typer.Argument(help="A service that `status` lists, or supervisor; by default all."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on for ever.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each.", min=0)] = 50,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
) -> None:
    """Print the logs of the system's services."""
    with embedded() as commands:
        for line in commands.logs(state_dir, service, follow=follow, lines=lines):
            typer.echo(line)


@contextmanager
def embedded() -> Iterator[Any]:
    """The embedded system's commands; its errors end the command.

    An installed client has none of this: it is loaded only here.
    """
    try:
        import tritonclient  # noqa: F401

        from pellucid.embedded import commands
        from pellucid.embedded.errors import EmbeddedError
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed", _INSTALL) from None
    try:
        yield commands
    except EmbeddedError as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _show(found: "SystemStatus") -> None:
    from rich.markup import escape

    from pellucid.cli.consoles import stdout
    from pellucid.cli.tables import simple_table, size

    stdout.print(f"[bold]{found.state.value}[/]  [dim]{escape(str(found.state_dir))}[/]")
    if found.services:
        table = simple_table("service", "state", "address", "process", "memory", "restarts")
        for service in found.services:
            record = service.record
            state = "[green]healthy[/]" if service.healthy else f"[yellow]{record.state.value}[/]"
            memory = size(service.memory_bytes)
            process = str(record.pid) if service.running else "none"
            table.add_row(record.name, state, record.url, process, memory, str(record.restarts))
        stdout.print(table)
    for model in found.models:
        why = f" ({model.reason})" if model.reason else ""
        stdout.print(f"  {escape(f'{model.name} {model.state.lower()}{why}')}", soft_wrap=True)
