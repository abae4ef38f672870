"""The models of a running Triton: loaded, and followed while their folders change."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from pellucid.cards import CARD_PARAMETER, MASKED_SUFFIX, PRECISION_PARAMETER, Card
from pellucid.embedded.building import build_models
from pellucid.embedded.events import Event, Kind, Progress
from pellucid.embedded.probes import load_model, unload_model

_LOADS_AT_ONCE = 4
"""As many as Triton itself loads at once; every one takes a thread of ours meanwhile."""
_WATCH_S = 2.0
_GIVEN = ("card.yaml", "1/weights.safetensors")
_BUILT = ("config.pbtxt", "1/model.onnx")
_WEIGHTS = 1
"""Place of the weights' stamp in a folder's."""
_NOTHING = (0, 0)
"""Stamp of a file that is not there."""

Stamps = Mapping[str, tuple[tuple[int, int], ...]]
"""Size and time of a folder's files, by folder name."""


@dataclass
class Models:
    """The models of one repository in one Triton."""

    repository: Path
    url: str
    """`host:port` of Triton's gRPC."""
    automatic: str
    """Precision of models that leave the choice to the engine."""
    progress: Progress
    _known: Stamps | None = field(default=None, init=False)
    """What Triton has caught up with; None before anything is followed."""

    async def load_all(self) -> None:
        """Load every complete folder; one that does not load is a warning."""
        names = complete_models(self.repository)
        turns = asyncio.Semaphore(_LOADS_AT_ONCE)
        loaded: list[str] = []

        async def load(name: str) -> None:
            async with turns:
                reason = await self._load(name)
            if reason is None:
                loaded.append(name)
                self._say(Kind.PROGRESS, f"loaded {name}", len(loaded), len(names))

        self._say(Kind.STEP, f"loading {len(names)} models", 0, len(names))
        await asyncio.gather(*(load(name) for name in names))
        summary = f"{len(loaded)} of {len(names)} models loaded"
        self._say(Kind.DONE, summary, len(loaded), len(names))

    async def follow(self) -> None:
        """Load folders that appear or change, unload those that go; never returns.

        A folder is touched only when nothing in it has changed between two looks, so that a copy
        in progress is left alone. Called again after an error, it tries what failed again.

        Raises:
            BuildFailed: the builder itself did not work.
            OSError: the repository cannot be read.
        """
        before = await asyncio.to_thread(_stamps, self.repository)
        if self._known is None:
            self._known = before
        while True:
            await asyncio.sleep(_WATCH_S)
            now = await asyncio.to_thread(_stamps, self.repository)
            settled, before = now == before, now
            if settled and now != self._known:
                self._known = before = await self._catch_up(self._known, now)

    async def _catch_up(self, known: Stamps, now: Stamps) -> Stamps:
        if any(now[name] != known.get(name) for name in now):
            await build_models(self.repository, self.progress)
            now = _built(now, await asyncio.to_thread(_stamps, self.repository))
        for name in sorted(set(known) - set(now)):
            reason = await asyncio.to_thread(unload_model, self.url, name)
            if reason is None:
                self._say(Kind.DONE, f"unloaded {name}")
            else:
                self._say(Kind.WARNING, f"{name} was not unloaded: {reason}")
        for name in complete_models(self.repository):
            if name in now and now[name] != known.get(name) and await self._load(name) is None:
                self._say(Kind.DONE, f"loaded {name}")
        return now

    async def _load(self, name: str) -> str | None:
        try:
            config = _loaded_config(self.repository / name, self.automatic)
            reason = await asyncio.to_thread(load_model, self.url, name, config)
        except (OSError, ValueError, text_format.ParseError, json_format.Error) as error:
            reason = f"its configuration cannot be read: {error}"
        if reason is not None:
            self._say(Kind.WARNING, f"{name} did not load: {reason}")
        return reason

    def _say(self, kind: Kind, message: str, done: int = 0, total: int = 0) -> None:
        self.progress(Event(kind, "models", message, done, total))


def _loaded_config(folder: Path, automatic: str) -> str:
    """A folder's configuration as JSON, with the precision that the model will run in.

    Python-based backends of this Triton cannot tell it with their answers, and a file that says it
    would be wrong on another machine.
    """
    config: Any = text_format.Parse(
        (folder / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig()
    )
    if CARD_PARAMETER in config.parameters:
        card = Card.from_json(config.parameters[CARD_PARAMETER].string_value)
        accelerators = config.optimization.execution_accelerators.cpu_execution_accelerator
        free = card.precision == "auto" and any(a.name == "openvino" for a in accelerators)
        config.parameters[PRECISION_PARAMETER].string_value = automatic if free else "float32"
    return str(json_format.MessageToJson(config, preserving_proto_field_name=True))


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


def _built(before: Stamps, after: Stamps) -> Stamps:
    """What a build has caught up with: what came or changed while it ran is for the next one."""
    caught_up = {}
    for name, stamps in after.items():
        if name in before:
            # Without weights nothing but the configuration can have been built.
            count = len(_GIVEN) if stamps[_WEIGHTS] != _NOTHING else len(stamps)
            caught_up[name] = (*before[name][:count], *stamps[count:])
        elif name.removesuffix(MASKED_SUFFIX) in before:
            caught_up[name] = stamps
    return caught_up


def _stamps(repository: Path) -> Stamps:
    found = {}
    for folder in repository.iterdir():
        stamps = [_stamp(folder / source) for source in (*_GIVEN, *_BUILT)]
        if any(stamps) and not _is_orphan(folder):
            found[folder.name] = tuple(stamp or _NOTHING for stamp in stamps)
    return found


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
