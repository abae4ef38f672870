"""Makes a model's index of cases from a folder of files, with the services that answer clients."""

import asyncio
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from gateway.case_index import About, Case, write
from gateway.classification import Classifier, Wanted
from gateway.peers import PreprocessPeer
from gateway.settings import GatewaySettings
from pellucid.errors import InvalidArgument, ModelChanged
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.channels import open_channel
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import TritonInference
from pellucid.tensors import FloatArray

_AT_ONCE: Final = 4
_FILE_S: Final = 120.0
"""Longest time for one file."""
_THUMBNAIL: Final = 96
"""Pixels of its longer side."""


class NothingToIndex(Exception):
    """No index can be made; the message says why."""


@dataclass(frozen=True)
class Made:
    """An index that was made."""

    about: About
    left_out: Mapping[str, str]
    """Files that could not be read, and why."""


async def build_index(
    model: str,
    folder: Path,
    out: Path,
    settings: GatewaySettings,
    *,
    labels: Path | None = None,
    thumbnails: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Made:
    """Index every file below a folder; one that cannot be read is left out and named.

    Args:
        model: by name; it has to be served, and its card to give features.
        folder: of files; where `labels` is absent, those of `folder/LABEL/` have this label.
        out: folder of the index.
        settings: where Triton and the preprocess service are, and the largest file.
        labels: CSV with the columns `file`, a path from `folder`, and `label`, several of them
            divided by `|`; only the files that it names are indexed.
        thumbnails: whether the index keeps small pictures of what the model sees.
        progress: called with files done, and their number.

    Raises:
        NothingToIndex: no file can be read, or the labels' file is not as it should be.
        PellucidError: the model or a service is at fault.
    """
    files = _labelled(folder, labels) if labels else _found(folder)
    if not files:
        raise NothingToIndex(f"{folder} has no files")
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(ModelCatalogue(settings.triton_url, settings))
        inference = await stack.enter_async_context(
            TritonInference(settings.triton_url, settings, catalogue.mark_stale)
        )
        channel = await stack.enter_async_context(open_channel(settings.preprocess_url, settings))
        peer = PreprocessPeer(channel, settings.preprocess_timeout_s)
        reader = _Reader(Classifier(catalogue, inference, peer, settings), model, thumbnails)
        await reader.check()
        many, done = asyncio.Semaphore(_AT_ONCE), 0

        async def ask(name: str) -> _Seen | str:
            nonlocal done
            async with many:
                seen = await reader.read(folder / name)
            done += 1
            progress(done, len(files))
            return seen

        try:
            async with asyncio.TaskGroup() as group:
                asking = {name: group.create_task(ask(name)) for name in files}
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    answers = {name: task.result() for name, task in asking.items()}
    read = {name: seen for name, seen in answers.items() if isinstance(seen, _Seen)}
    left_out = {name: why for name, why in answers.items() if isinstance(why, str)}
    if not read:
        first, why = next(iter(left_out.items()))
        raise NothingToIndex(f"none of {len(files)} files can be read; {first}: {why}")
    digests = {seen.weights_digest for seen in read.values()}
    if len(digests) > 1:
        raise ModelChanged(f"{model} changed meanwhile", remedy="make the index again")
    about = write(
        out,
        model,
        digests.pop(),
        [
            Case(id=name, labels=tuple(files[name]), start_seconds=start, end_seconds=end)
            for name, seen in read.items()
            for start, end in seen.spans
        ],
        np.concatenate([seen.features for seen in read.values()]),
        [png for seen in read.values() for png in seen.thumbnails],
    )
    return Made(about, left_out)


@dataclass(frozen=True)
class _Seen:
    """What an index keeps of one file."""

    weights_digest: str
    features: FloatArray
    """Of its windows, `(N, D)`."""
    spans: Sequence[tuple[float, float]]
    """Seconds."""
    thumbnails: Sequence[bytes]


class _Reader:
    """Reads files as one model sees them."""

    def __init__(self, classifier: Classifier, model: str, thumbnails: bool) -> None:
        self._classifier, self._model, self._thumbnails = classifier, model, thumbnails

    async def check(self) -> None:
        """Refuse a model that has no features."""
        served = await self._classifier.model(self._model)
        if not served.card.gives_features:
            raise NothingToIndex(
                f"{self._model} gives no features: put `features: true` into its card"
            )

    async def read(self, path: Path) -> _Seen | str:
        """Read one file; or say why it cannot be read."""
        wanted = Wanted(features=True, displayed=self._thumbnails)
        try:
            content = await asyncio.to_thread(path.read_bytes)
            found = await self._classifier.classify(
                self._model, content, Deadline.after(_FILE_S), wanted
            )
        except InvalidArgument as error:
            return error.message
        except OSError as error:
            return str(error)
        if found.features is None:
            raise ModelChanged(f"{self._model} gives no features any more", remedy="begin again")
        return _Seen(
            found.model.weights_digest,
            found.features,
            [(window.start_seconds, window.end_seconds) for window in found.windows],
            [_smaller(window.display_png) for window in found.windows if self._thumbnails],
        )


def _found(folder: Path) -> dict[str, Sequence[str]]:
    """Files by their path from the folder, with the label that their own folder is."""
    found: dict[str, Sequence[str]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            found[inside.as_posix()] = inside.parts[:1] if len(inside.parts) > 1 else ()
    return found


def _labelled(folder: Path, labels: Path) -> dict[str, Sequence[str]]:
    with open(labels, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"file", "label"} - set(reader.fieldnames or ())
        if missing:
            raise NothingToIndex(f"{labels} has no column {sorted(missing)[0]!r}")
        found = {
            row["file"]: tuple(filter(None, (row["label"] or "").split("|"))) for row in reader
        }
    root = folder.resolve()
    outside = [name for name in found if not (folder / name).resolve().is_relative_to(root)]
    if outside:
        raise NothingToIndex(f"{labels} names {outside[0]!r}, which is not in {folder}")
    return dict(sorted(found.items()))


def _smaller(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB" if picture.mode in ("P", "RGBA") else picture.mode)
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        out = io.BytesIO()
        small.save(out, "PNG")
        return out.getvalue()
