"""The models of a repository, built in processes of their own."""

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from yaml import YAMLError

from pellucid.cards import Card
from pellucid.lifecycle import Kind, LifecycleEvent, Listener
from pellucid.repository.errors import BuilderFailed
from pellucid.repository.folder import model_folders

CURRENT: Final = "current"
"""What the builder says of a model that had not to be built."""
BUILDER = (sys.executable, "-m", "pellucid.repository", "build", "--json")
"""The command that builds; the folder and the names of models follow."""
_LAST: Final = ("nice", "-n", "10")

Settled = Callable[[str], None]


async def build_repository(
    repository: Path,
    listener: Listener,
    allowed: Collection[str] | None = None,
    *,
    first: Collection[str] = (),
    force: bool = False,
    in_background: bool = False,
    settled: Settled = lambda name: None,
    builder: tuple[str, ...] = BUILDER,
) -> dict[str, str]:
    """Build every graph and configuration that is missing or stale.

    It happens in processes of their own: the frameworks are large and the caller lives long.
    Models of Keras and those of torch, which no process needs both for, are built at once.

    Args:
        repository: of the models.
        listener: receives what the builder does; a model that cannot be built is a warning.
        allowed: names of the models to build; all where None.
        first: names of those that are built before the others.
        force: build even what is current.
        in_background: leave the cores to whoever else wants them.
        settled: called with the name of each model that is built, is current or cannot be built.
        builder: the command that builds.

    Returns:
        Why models could not be built, by name.

    Raises:
        BuilderFailed: the builder itself did not work.
    """
    command = (*_LAST, *builder) if in_background else builder
    options = (*_names("--first", first), *(["--force"] if force else []))
    groups = await asyncio.to_thread(_groups, repository, allowed)
    building = [
        asyncio.create_task(
            _build(
                (*command, str(repository), *_names("--models", group), *options), listener, settled
            )
        )
        for group in groups
    ]
    try:
        failures = await asyncio.gather(*building)
    finally:
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)
    return {name: why for group in failures for name, why in group.items()}


def _groups(repository: Path, allowed: Collection[str] | None) -> Sequence[Collection[str] | None]:
    """Names of the models that one process builds, for each process."""
    frameworks: dict[str, str] = {}
    for folder in model_folders(repository, allowed):
        try:
            card = Card.read(folder / "card.yaml")
        except (OSError, ValueError, YAMLError):
            frameworks[folder.name] = ""  # The builder says what is wrong with it.
            continue
        if card.members:
            # Its members are built with it, by one process each.
            return [allowed]
        frameworks[folder.name] = card.framework
    keras = {name for name, framework in frameworks.items() if framework == "keras"}
    others = frameworks.keys() - keras
    return [others, keras] if keras and others else [allowed]


async def _build(command: Sequence[str], listener: Listener, settled: Settled) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    errors = asyncio.create_task(_read(process.stderr))
    try:
        failures = await _relay(process.stdout, listener, settled)
        status = await process.wait()
        output = await errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors.cancel()
    # A crash of Python ends with 1 as well, but names no model.
    if status != 0 and not (status == 1 and failures):
        last = (output.strip().splitlines() or ["no output"])[-1]
        raise BuilderFailed(f"building models ended with status {status}: {last}")
    return failures


def _names(option: str, names: Collection[str] | None) -> tuple[str, ...]:
    return (option, ",".join(sorted(names))) if names else ()


async def _relay(
    stream: asyncio.StreamReader | None, listener: Listener, settled: Settled
) -> dict[str, str]:
    """Pass the builder's events on until it ends, with the seconds that a model has taken."""
    assert stream is not None
    failures: dict[str, str] = {}
    building, began = "", 0.0
    line = asyncio.ensure_future(stream.readline())
    try:
        while True:
            await asyncio.wait({line}, timeout=1)
            if not line.done():
                if building:
                    message = f"building ({time.monotonic() - began:.0f} s)"
                    listener(LifecycleEvent(Kind.PROGRESS, building, message))
                continue
            if line.result() == b"":
                return failures
            # Libraries write lines of their own.
            with suppress(ValueError):
                event = LifecycleEvent.from_json(line.result())
                if event.message != CURRENT:
                    listener(event)
                if event.kind is Kind.WARNING:
                    failures[event.subject] = event.message
                if event.kind in (Kind.WARNING, Kind.DONE):
                    settled(event.subject)
                building = event.subject if event.kind is Kind.STEP else ""
                began = time.monotonic()
            line = asyncio.ensure_future(stream.readline())
    finally:
        line.cancel()


async def _read(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode(errors="replace")
