"""The models of a running system: built, loaded, and followed while their folders change."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pellucid.cards import MASKED_SUFFIX
from pellucid.embedded.errors import BuildFailed
from pellucid.embedded.events import Event, Kind, Progress
from pellucid.embedded.probes import load_model, unload_model

_LOADS_AT_ONCE = 4
"""As many as Triton itself loads at once; every one takes a thread of ours meanwhile."""
_WATCH_S = 2.0
_SOURCES = ("card.yaml", "config.pbtxt", "1/model.onnx", "1/weights.safetensors")

Stamps = Mapping[str, tuple[tuple[int, int], ...]]
"""Size and time of a folder's files, by folder name."""


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
        assert process.stdout is not None
        while line := await process.stdout.readline():
            _tell(line.decode().rstrip("\n").split("\t"), progress)
        status = await process.wait()
        words = await errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors.cancel()
    if status not in (0, 1):
        last = (words.strip().splitlines() or ["no output"])[-1]
        raise BuildFailed(f"building models ended with status {status}: {last}")


async def load_models(repository: Path, url: str, progress: Progress) -> None:
    """Load every complete folder of a repository; one that does not load is a warning."""
    names = complete_models(repository)
    turns = asyncio.Semaphore(_LOADS_AT_ONCE)
    loaded: list[str] = []

    async def load(name: str) -> None:
        async with turns:
            reason = await asyncio.to_thread(load_model, url, name)
        if reason is None:
            loaded.append(name)
            progress(Event(Kind.PROGRESS, "models", f"loaded {name}", len(loaded), len(names)))
        else:
            progress(Event(Kind.WARNING, "models", f"{name} did not load: {reason}"))

    progress(Event(Kind.STEP, "models", f"loading {len(names)} models", 0, len(names)))
    await asyncio.gather(*(load(name) for name in names))
    summary = f"{len(loaded)} of {len(names)} models loaded"
    progress(Event(Kind.DONE, "models", summary, len(loaded), len(names)))


def complete_models(repository: Path) -> list[str]:
    """Names of the folders that Triton can load, sorted; a masked graph goes with its model."""
    return sorted(
        path.parent.name
        for path in repository.glob("*/config.pbtxt")
        if (path.parent / "1" / "model.onnx").is_file() and not _is_orphan(path.parent)
    )


def _is_orphan(folder: Path) -> bool:
    name = folder.name.removesuffix(MASKED_SUFFIX)
    return name != folder.name and not folder.with_name(name).is_dir()


async def follow_models(repository: Path, url: str, progress: Progress) -> None:
    """Load folders that appear or change, unload those that go; never returns.

    A folder is touched only when nothing in it has changed between two looks, so that a copy in
    progress is left alone.
    """
    known = await asyncio.to_thread(_stamps, repository)
    before = known
    while True:
        await asyncio.sleep(_WATCH_S)
        now = await asyncio.to_thread(_stamps, repository)
        settled, before = now == before, now
        if now == known or not settled:
            continue
        if any(now[name] != known.get(name) for name in now):
            await build_models(repository, progress)
            now = before = await asyncio.to_thread(_stamps, repository)
        for name in sorted(set(known) - set(now)):
            await asyncio.to_thread(unload_model, url, name)
            progress(Event(Kind.DONE, "models", f"unloaded {name}"))
        ready = set(complete_models(repository))
        for name in sorted(name for name in ready & set(now) if now[name] != known.get(name)):
            reason = await asyncio.to_thread(load_model, url, name)
            message = f"{name} did not load: {reason}" if reason else f"loaded {name}"
            progress(Event(Kind.WARNING if reason else Kind.DONE, "models", message))
        known = now


def _stamps(repository: Path) -> Stamps:
    found = {}
    for folder in repository.iterdir():
        stamps = [_stamp(folder / source) for source in _SOURCES]
        if any(stamps) and not _is_orphan(folder):
            found[folder.name] = tuple(stamp or (0, 0) for stamp in stamps)
    return found


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


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
