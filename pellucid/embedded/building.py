"""Graphs and configurations of a repository, built in a process of its own."""

import asyncio
import sys
import time
from pathlib import Path

from pellucid.embedded.errors import BuildFailed
from pellucid.embedded.events import Event, Kind, Progress


async def build_models(repository: Path, progress: Progress) -> None:
    """Build every graph and configuration that is missing or stale.

    It happens in a process of its own: the frameworks are large and the supervisor lives long. A
    model that cannot be built is a warning: the others run.

    Raises:
        BuildFailed: the builder itself did not work.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pellucid.export", str(repository)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    errors = asyncio.create_task(_read(process.stderr))
    try:
        failures = await _relay(process.stdout, progress)
        status = await process.wait()
        words = await errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors.cancel()
    # A crash of Python ends with 1 as well, but names no model.
    if status != 0 and not (status == 1 and failures):
        last = (words.strip().splitlines() or ["no output"])[-1]
        raise BuildFailed(f"building models ended with status {status}: {last}")


async def _relay(stream: asyncio.StreamReader | None, progress: Progress) -> int:
    """Tell what the builder says until it ends; returns how many models it could not build."""
    assert stream is not None
    building, began, failures = "", 0.0, 0
    line = asyncio.ensure_future(stream.readline())
    try:
        while True:
            await asyncio.wait({line}, timeout=1)
            if line.done():
                if line.result() == b"":
                    return failures
                words = line.result().decode(errors="replace").rstrip("\n").split("\t")
                _tell(words, progress)
                failures += words[0] == "failed"
                building = words[1] if words[0] == "building" else ""
                began = time.monotonic()
                line = asyncio.ensure_future(stream.readline())
            elif building:
                message = f"building {building} ({time.monotonic() - began:.0f} s)"
                progress(Event(Kind.PROGRESS, "models", message))
    finally:
        line.cancel()


async def _read(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode(errors="replace")


def _tell(words: list[str], progress: Progress) -> None:
    match words:
        case ["building", name]:
            progress(Event(Kind.STEP, "models", f"building {name}"))
        case ["built", name]:
            progress(Event(Kind.DONE, "models", f"built {name}"))
        case ["failed", name, reason]:
            progress(Event(Kind.WARNING, "models", f"{name} was not built: {reason}"))
        case _:
            pass
