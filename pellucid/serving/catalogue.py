"""The models that Triton serves right now: watched by one task, kept in memory.

What is ready in Triton, with a card in its configuration, is what Pellucid offers. A request asks
Triton nothing: it reads the snapshot, which is a second old at most. What the snapshot does not
know yet, the answer to an inference shows (`check_answer`); whoever notices marks the model as
stale, and the next who asks for it waits for a new snapshot.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeAlias

import structlog

from pellucid.errors import (
    BackendUnavailable,
    ModelBroken,
    ModelNotReady,
    PellucidError,
    UnknownModel,
)
from pellucid.serving import metrics
from pellucid.serving.channels import open_triton_channel
from pellucid.serving.repository import TritonRepository
from pellucid.serving.served_model import Entry, ServedModel, State
from pellucid.serving.settings import TritonSettings
from pellucid.serving.triton import unanswered

log = structlog.get_logger(__name__)

Models: TypeAlias = list[ServedModel]
Entries: TypeAlias = list[Entry]

_IN_TURN: Final = 4
"""Models whose configuration is read again each time: weights that were loaded again under the same
version are noticed within a second where models are few, and many models make no flood."""
_LATELY_S: Final = 3.0
"""A Triton that did not answer for so long, and the interval, counts as gone."""


class ModelCatalogue:
    """The models of one Triton, or of several behind one address; for one event loop."""

    def __init__(self, url: str, settings: TritonSettings) -> None:
        """Prepare to watch the Triton at `host:port`."""
        self._channel = open_triton_channel(url, settings)
        self._repository = TritonRepository(self._channel, settings.catalogue_timeout_s)
        self._interval_s = settings.catalogue_interval_s
        self._watcher: asyncio.Task[None] | None = None
        self._entries: Mapping[str, Entry] | None = None
        self._read_at = -float("inf")
        self._stale: set[str] = set()
        self._being_read: set[str] = set()
        """Marked before the reading began that is going on."""
        self._marks = threading.Lock()
        self._turn = 0
        self._waiting: list[asyncio.Future[bool]] = []
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop watching, and close the connection."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        for waiting in self._waiting:
            waiting.cancel()
        await self._channel.close()

    @property
    def ready(self) -> bool:
        """Whether Triton answered lately and some model is ready.

        A single model that does not load must not close the door to the others.
        """
        lately = monotonic() - self._read_at <= self._interval_s + _LATELY_S
        return lately and bool(_ready(self._entries or {}))

    async def get(self, name: str, field: str = "model") -> ServedModel:
        """One classifier that is ready.

        It waits for Triton only where the snapshot does not have it, or where it was marked.

        Args:
            name: of the model.
            field: its path in the request, for the error.

        Raises:
            UnknownModel: Triton has no such model, or it has no card.
            ModelNotReady: it is loading, or not loaded.
            ModelBroken: it did not load, or its card cannot be read.
            BackendUnavailable: Triton does not answer.
        """
        known = (self._entries or {}).get(name)
        if known is None or known.model is None or self._is_stale(name):
            await self._refresh()
        entries = self._entries or {}
        entry = entries.get(name)
        if entry is None:
            raise _unknown(name, entries, field)
        if entry.model is None:
            raise _not_served(entry, field)
        return entry.model

    async def list(self) -> Models:
        """All classifiers that are ready, by name.

        Raises:
            BackendUnavailable: Triton does not answer.
        """
        return [entry.model for entry in await self.entries() if entry.model is not None]

    async def entries(self) -> Entries:
        """All models of Triton's repository, by name, whatever their state.

        Raises:
            BackendUnavailable: Triton does not answer.
        """
        if self._entries is None or self._stale or self._being_read:
            await self._refresh()
        return [*(self._entries or {}).values()]

    def mark_stale(self, name: str) -> None:
        """Say that a model is no longer what the snapshot says; any thread may."""
        with self._marks:
            self._stale.add(name)

    async def changes(self) -> AsyncIterator[Models]:
        """The models that are ready, by name: as soon as they are known, and after every change."""
        last: Models | None = None
        while True:
            changed = self._changed
            if self._entries is not None and (now := _ready(self._entries)) != last:
                last = now
                yield now
            await changed.wait()

    def _is_stale(self, name: str) -> bool:
        return name in self._stale or name in self._being_read

    async def _refresh(self) -> None:
        """Wait for a reading that begins after now.

        Raises:
            BackendUnavailable: Triton does not answer.
        """
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._wanted.set()
        if not await answered:
            raise unanswered()

    async def _watch(self) -> None:
        """Read again and again: every second or so, and at once for those who wait."""
        while True:
            waiting, self._waiting = self._waiting, []
            self._wanted.clear()
            try:
                answered = await self._read(() if waiting else self._next_in_turn())
                for each in waiting:
                    if not each.cancelled():
                        each.set_result(answered)
            finally:
                for each in waiting:
                    each.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._interval_s)

    def _next_in_turn(self) -> Iterable[str]:
        names = [*(self._entries or ())]
        start = self._turn % max(len(names), 1)
        self._turn = start + _IN_TURN
        return (names + names)[start : start + _IN_TURN]

    async def _read(self, in_turn: Iterable[str]) -> bool:
        """Take a new snapshot; where Triton does not answer, what was marked stays so."""
        with self._marks:
            self._being_read, self._stale = self._stale, set()
        try:
            found = await self._settled(self._entries or {}, self._being_read.union(in_turn))
            if self._keep(found):
                await self._repository.publish_engine()
        except Exception as error:
            with self._marks:
                self._stale |= self._being_read
            if not isinstance(error, BackendUnavailable):
                log.exception("the models could not be read")
            return False
        finally:
            self._being_read = set()
        return True

    async def _settled(
        self, known: Mapping[str, Entry], doubted: Collection[str]
    ) -> Mapping[str, Entry]:
        """The models as they are, once two readings in a row say that they changed.

        Several Tritons behind one address differ while they are updated; what the next one denies
        at once is no change yet. What comes new after none was known needs no proof.
        """
        found = await self._repository.read(known, doubted)
        changed = {name for name in {*known, *found} if known.get(name) != found.get(name)}
        if not known or not changed:
            return found
        return await self._repository.read(known, changed)

    def _keep(self, found: Mapping[str, Entry]) -> bool:
        """Have it served from now on; True where it is another than before."""
        self._read_at = monotonic()
        if found == self._entries:
            return False
        for name, entry in found.items():
            if (self._entries or {}).get(name) != entry:
                log.info("model", model=name, state=entry.state.value, why=entry.reason)
        metrics.MODELS.clear()
        for model in _ready(found):
            metrics.MODELS.labels(model.card.name, model.version, model.precision).set(1)
        self._entries = found
        self._changed.set()
        self._changed = asyncio.Event()
        return True


def _ready(entries: Mapping[str, Entry]) -> Models:
    return [entry.model for entry in entries.values() if entry.model is not None]


def _not_served(entry: Entry, field: str) -> PellucidError:
    name = entry.name
    if entry.state is State.FAILED:
        return ModelBroken(
            f"{name} does not work: {entry.reason}",
            field=field,
            remedy="fix the model and load it again",
            model=name,
        )
    return ModelNotReady(
        f"{name} is not ready: {entry.reason}",
        field=field,
        remedy="load it, or wait",
        retry_after_s=entry.retry_after_s,
        model=name,
    )


def _unknown(name: str, entries: Mapping[str, Entry], field: str) -> UnknownModel:
    served = [model.card.name for model in _ready(entries)]
    return UnknownModel(
        f"there is no model {name!r}",
        field=field,
        remedy=f"choose one of: {', '.join(served)}" if served else "load a model",
        model=name,
    )
