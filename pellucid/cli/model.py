"""`pellucid model`: the models of a repository, and a user's own among them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli import model_build, options
from pellucid.cli.consoles import print_json, stderr, stdout
from pellucid.cli.exits import Exit, fail, reported

if TYPE_CHECKING:
    from pellucid.cards import Card
    from pellucid.client import ModelCapability
    from pellucid.embedded.state import ServiceRecord
    from pellucid.repository.install import AddedModel

_INSTALL = (
    "models are built by the server: `make setup` in a checkout of Pellucid installs what it needs"
)
app = typer.Typer(help="List, add, build, check and remove the models of a repository.")
app.command()(model_build.build)

Repository = Annotated[Path, typer.Option(help="Triton's model repository.", file_okay=False)]
Name = Annotated[str, typer.Argument(help="Of the model, as its card says it.")]
_REPOSITORY = Path("triton_repo")


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="state_dict (.pt, .pth, .safetensors), .pt2, .keras, .h5, .onnx or a SavedModel.",
        ),
    ],
    card: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The model's card.yaml.")],
    repository: Repository = _REPOSITORY,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    as_json: options.Json = False,
) -> None:
    """Check, export and compare a model of your own, and load it into the system that runs."""
    with _server(), reported(as_json=as_json):
        from pellucid.repository.install import add_model

        stderr.print(f"checking and building {file.name}")
        added = add_model(file, card, repository)
        state = _wait_served(added.card.name, repository, state_dir)
        offered = _wait_offered(added.card.name, state_dir) if state == "ready" else None
    _show(added, state, as_json, offered)


@app.command(name="list")
def list_models(
    repository: Repository = _REPOSITORY,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    as_json: options.Json = False,
) -> None:
    """Say which models a repository holds, and how they are served."""
    with _server(), reported(as_json=as_json):
        from pellucid.repository.folder import model_folders

        states = _states(repository, state_dir)
        rows = [_row(path, states) for path in model_folders(repository)]
    if as_json:
        print_json(rows)
        return
    from pellucid.cli.tables import simple_table

    table = simple_table("model", "version", "network", "labels", "state")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("name", "version", "network", "labels", "state")))
    stdout.print(table)


@app.command()
def show(
    name: Name,
    repository: Repository = _REPOSITORY,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
) -> None:
    """Print a model's card, and how it is served."""
    with _server(), reported():
        from pellucid.repository.folder import ModelFolder

        folder = ModelFolder.read(_known(name, repository))
        state = _states(repository, state_dir).get(name, "not served")
        text = (folder.path / "card.yaml").read_text(encoding="utf-8")
    made_of = ", ".join(folder.card.members) or folder.sources[0].name
    typer.echo(f"# {state}; made of {made_of}")
    typer.echo(text)


@app.command()
def remove(
    name: Name,
    repository: Repository = _REPOSITORY,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete its folder.")] = False,
) -> None:
    """Delete a model's folder; a system that runs unloads it."""
    with _server(), reported():
        from pellucid.repository.install import remove_model

        path = _known(name, repository)
        if not yes:
            raise fail(f"{path} would be deleted", "say --yes", Exit.USAGE)
        remove_model(name, repository)
    typer.echo(f"removed {name}")


@app.command()
def verify(
    name: Name,
    repository: Repository = _REPOSITORY,
    state_dir: options.StateDir = options.DEFAULT_STATE_DIR,
    as_json: options.Json = False,
) -> None:
    """Build what is stale, and compare the served graph with its network, on Triton if it runs."""
    with _server(), reported(as_json=as_json):
        from pellucid.repository.install import verify_model

        path = _known(name, repository)
        state = _states(repository, state_dir).get(name, "not served")
        served = _triton_logits(name, state_dir) if state == "ready" else None
        verified = verify_model(path, served)
    _show(verified, state, as_json)


@contextmanager
def _server() -> Iterator[None]:
    """The server's part of Pellucid; what it refuses ends the command."""
    # Without this tensorflow greets everybody on standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        from pellucid.repository.errors import RepositoryError, TritonUnavailable
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed", _INSTALL) from None
    try:
        yield
    except TritonUnavailable as error:
        raise fail(str(error)) from None
    except RepositoryError as error:
        raise fail(str(error), code=Exit.INVALID) from None
    except ModuleNotFoundError as error:
        raise fail(f"{error.name} is not installed", _INSTALL) from None


def _known(name: str, repository: Path) -> Path:
    """The folder of a model that a repository has."""
    path = repository / name
    if not (path / "card.yaml").is_file():
        raise fail(f"{repository} has no model {name!r}", code=Exit.NOT_FOUND)
    return path


def _states(repository: Path, state_dir: Path) -> dict[str, str]:
    """State of each model in the system that runs here with this repository; empty without one."""
    from pellucid.embedded.state import StateFolder
    from pellucid.embedded.status import served_models

    record = StateFolder(state_dir).read()
    if record is None or not record.running or record.repository.resolve() != repository.resolve():
        return {}
    return {
        model.name: " ".join((model.state.lower(), model.reason)).strip()
        for model in served_models(record)
    }


def _service(name: str, state_dir: Path) -> "ServiceRecord | None":
    """A service of the system that runs here."""
    from pellucid.embedded.state import StateFolder

    record = StateFolder(state_dir).read()
    return record.service(name) if record else None


def _wait_served(name: str, repository: Path, state_dir: Path) -> str:
    """How a model that was just added is served, once that is settled."""
    import time

    from pellucid.repository.unloadable import WAITS

    until = time.monotonic() + 120
    while (states := _states(repository, state_dir)) and time.monotonic() < until:
        state = states.get(name, "")
        if state == "ready" or (state.startswith("unavailable") and WAITS not in state):
            return state
        time.sleep(1)
    return "not ready after two minutes: see `pellucid logs`" if states else "no system runs here"


def _wait_offered(name: str, state_dir: Path) -> "ModelCapability | None":
    """What the gateway offers for a model, once its gradient copy was checked; None if it fails."""
    import time

    from pellucid.client import Client

    gateway = _service("gateway", state_dir)
    if gateway is None:
        return None
    until = time.monotonic() + 60
    with Client(gateway.url, tls=gateway.tls) as client:
        while True:
            found = {model.name: model for model in client.capabilities().models}.get(name)
            if time.monotonic() > until or (found is not None and _is_settled(found)):
                return found
            time.sleep(0.5)


def _is_settled(model: "ModelCapability") -> bool:
    """Whether a model and its masked graph are ready, and a gradient copy was checked."""
    from pellucid.client import ModelState, Runtime

    offered = [one for one in model.methods if one.available]
    copied = any(one.runtime is Runtime.LOCAL_COPY for one in offered)
    masked = any(one.runtime is not Runtime.LOCAL_COPY for one in offered)
    ready = model.state is ModelState.READY and masked
    return ready and (model.parity is not None or not copied)


def _triton_logits(name: str, state_dir: Path) -> Any:
    from tritonclient.grpc import InferenceServerClient, InferInput

    triton = _service("triton", state_dir)
    assert triton is not None  # it says that the model is ready
    client = InferenceServerClient(triton.url)

    def run(inputs: Any) -> Any:
        tensor = InferInput("input", list(inputs.shape), "FP32")
        tensor.set_data_from_numpy(inputs)
        return client.infer(name, [tensor]).as_numpy("logits")

    return run


def _row(path: Path, states: dict[str, str]) -> dict[str, Any]:
    from pellucid.repository.errors import ModelNotBuilt
    from pellucid.repository.folder import ModelFolder

    state = states.get(path.name, "not served")
    try:
        card = ModelFolder.read(path).card
    except ModelNotBuilt as error:
        return dict(name=path.name, version="", network="", labels="", state=str(error))
    return {
        "name": card.name,
        "version": card.version,
        "network": _network(card),
        "labels": ", ".join(card.labels),
        "state": state,
    }


def _network(card: "Card") -> str:
    if card.members:
        return "ensemble"
    if card.architecture is None:
        return "onnx"
    return f"{card.architecture.framework} {card.architecture.builder or ''}".strip()


def _show(
    model: "AddedModel", state: str, as_json: bool, offered: "ModelCapability | None" = None
) -> None:
    parity, card = model.parity, model.card
    layers = card.architecture.grad_cam_layers if card.architecture else ()
    facts = {
        "name": card.name,
        "version": card.version,
        "state": state,
        "parity": parity.max_score_difference if parity else None,
        "tolerance": parity.tolerance if parity else None,
        "grad_cam_layers": list(layers),
        "gradient_methods": parity is not None and parity.passed,
        "notes": list(model.notes),
        "capabilities": offered,
    }
    if as_json:
        print_json(facts)
        return
    stdout.print(f"[bold]{card.name}[/] version {card.version}: {state}")
    if parity:
        stdout.print(
            f"  scores differ from the network's by {parity.max_score_difference:.2g} at most; "
            f"the card allows {parity.tolerance:.2g}"
        )
    for note in model.notes:
        stdout.print(f"  {note}", soft_wrap=True, markup=False)
    if offered is not None:
        from pellucid.cli.tables import show_model

        show_model(offered)
