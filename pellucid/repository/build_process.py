"""The models of a repository, built in a process of its own."""

import asyncio
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pellucid.lifecycle import Kind, LifecycleEvent, Listener
from pellucid.repository.errors import BuilderFailed

BUILDER = (sys.executable, "-m", "pellucid.repository", "build", "--json")
"""The command that builds; the folder and the names of models follow."""


async def build_repository(
    repository: Path,
    listener: Listener,
    allowed: Collection[str] | None = None,
    builder: tuple[str, ...] = BUILDER,
) -> dict[str, str]:
    """Build every graph and configuration that is missing or stale.

    It happens in a process of its own: the frameworks are large and the caller lives long.

    Args:
        repository: of the models.
        listener: receives what the builder does; a model that cannot be built is a warning.
        allowed: names of the models to build; all where None.
        builder: the command that builds.

    Returns:
        Why models could not be built, by name.

    Raises:
        BuilderFailed: the builder itself did not work.
    """
    models = () if allowed is None else ("--models", ",".join(sorted(allowed)))
    process = await asyncio.create_subprocess_exec(
        *(*builder, str(repository), *models),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    errors = asyncio.create_task(_read(process.stderr))
    try:
        failures = await _relay(process.stdout, listener)
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


async def _relay(stream: asyncio.StreamReader | None, listener: Listener) -> dict[str, str]:
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
                listener(event)
                if event.kind is Kind.WARNING:
                    failures[event.subject] = event.message
                building = event.subject if event.kind is Kind.STEP else ""
                began = time.monotonic()
            line = asyncio.ensure_future(stream.readline())
    finally:
        line.cancel()


async def _read(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode(errors="replace")
