"""Build a model repository, check it, or keep a Triton in step with it.

Any Triton will do that was started with `--model-control-mode=explicit`.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pellucid.lifecycle import Kind, LifecycleEvent, Listener
from pellucid.repository.build_process import CURRENT
from pellucid.repository.folder import model_folders, names_of

_MOST_CHARACTERS = 1_000
"""Of a message; a graph's checker may quote the graph."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        arguments: of the command line; this process' where None.

    Returns:
        0, or 1 if some model could not be built or, for `check`, is not current.
    """
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pellucid.repository", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = _models_command(commands, "build", _build, "make every model folder complete")
    build.add_argument("--force", action="store_true", help="build even what is current")
    _add_first(build, "built before the others")
    _models_command(commands, "check", _check, "say which folders have to be built")
    docs = _command(commands, "docs", _docs, "write docs/models.md and a page of every card")
    docs.add_argument("--check", action="store_true", help="only say whether they are up to date")
    docs.add_argument("--out", type=Path, default=Path("docs"), help="folder of the documents")
    follow = _models_command(
        commands, "follow", _follow, "build what is new or changed, and load and unload it"
    )
    _add_first(follow, "built and loaded before the others")
    follow.add_argument("--triton", required=True, metavar="HOST:PORT", help="its gRPC address")
    follow.add_argument(
        "--automatic-precision",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="what its engine computes in where a card leaves the choice (ONNX Runtime: float32)",
    )
    return parser


def _command(commands, name: str, run: Callable[[argparse.Namespace], int], what: str):  # type: ignore[no-untyped-def]
    command = commands.add_parser(name, help=what, description=what)
    command.add_argument("folder", type=Path, nargs="?", default=Path("triton_repo"))
    command.set_defaults(run=run)
    return command


def _models_command(  # type: ignore[no-untyped-def]
    commands, name: str, run: Callable[[argparse.Namespace], int], what: str
):
    """A command that may be for some models alone, and writes events of each."""
    command = _command(commands, name, run, what)
    command.add_argument(
        "--models",
        type=names_of,
        default=os.environ.get("PELLUCID_MODELS"),
        metavar="A,B",
        help="only these models; by default PELLUCID_MODELS, or all",
    )
    command.add_argument("--json", action="store_true", help="one JSON object a line")
    return command


def _add_first(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--first",
        type=names_of,
        metavar="A,B",
        help=f"these models are {what}",
    )


def _build(options: argparse.Namespace) -> int:
    # Without this tensorflow greets everybody on standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    listener = _writer(options.json)
    # A list, so that every folder is tried.
    folders = model_folders(options.folder, options.models, options.first or ())
    return int(not all([_build_one(folder, options.force, listener) for folder in folders]))


def _build_one(folder: Path, force: bool, listener: Listener) -> bool:
    from pellucid.repository.build import build_model, is_current

    def emit(kind: Kind, message: str) -> None:
        listener(LifecycleEvent(kind, folder.name, message))

    try:
        if not force and is_current(folder):
            emit(Kind.DONE, CURRENT)
            return True
        emit(Kind.STEP, "building")
        build_model(folder, force=force)
    except Exception as error:
        # Frameworks raise what they like; the folders after this one are none the worse for it.
        emit(Kind.WARNING, f"not built: {_reason(error)}")
        return False
    emit(Kind.DONE, "built")
    return True


def _check(options: argparse.Namespace) -> int:
    from pellucid.repository.build import is_current
    from pellucid.repository.errors import ModelNotBuilt

    listener, stale = _writer(options.json), 0
    for folder in model_folders(options.folder, options.models):
        try:
            current = is_current(folder)
            message = CURRENT if current else "has to be built"
        except ModelNotBuilt as error:
            current, message = False, f"cannot be built: {_reason(error)}"
        stale += not current
        listener(LifecycleEvent(Kind.DONE if current else Kind.WARNING, folder.name, message))
    return int(stale > 0)


def _docs(options: argparse.Namespace) -> int:
    from pellucid.repository import documents

    if not options.check:
        documents.write(options.folder, options.out)
        return 0
    stale = documents.stale(options.folder, options.out)
    listener = _writer(as_json=False)
    for path in stale:
        listener(LifecycleEvent(Kind.WARNING, str(path), "does not match the cards; write it anew"))
    return int(bool(stale))


def _follow(options: argparse.Namespace) -> int:
    from pellucid.repository.follower import Follower
    from pellucid.repository.model_control import ModelControl

    async def until_signal() -> None:
        control = ModelControl(options.triton)
        follower = Follower(
            options.folder,
            control,
            automatic_precision=options.automatic_precision,
            allowed=options.models,
            first=options.first or (),
            listener=_writer(options.json),
        )
        following = asyncio.create_task(follower.follow())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, following.cancel)
        await asyncio.wait({following})

    asyncio.run(until_signal())
    return 0


def _reason(error: Exception) -> str:
    from pellucid.repository.errors import RepositoryError

    text = str(error) if isinstance(error, RepositoryError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_MOST_CHARACTERS]


def _writer(as_json: bool) -> Listener:
    def write(event: LifecycleEvent) -> None:
        if as_json:
            line = event.to_json()
        elif event.kind is Kind.PROGRESS:
            return
        else:
            line = f"{event.subject}: {event.message}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return write


if __name__ == "__main__":
    sys.exit(main())
