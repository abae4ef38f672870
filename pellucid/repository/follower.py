"""Keeps a Triton in step with a repository: builds, loads and unloads what changes there."""

import asyncio
import os
from collections.abc import Awaitable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pellucid.lifecycle import Kind, LifecycleEvent, Listener, ignore
from pellucid.repository.build_process import Settled, build_repository
from pellucid.repository.config import FLOAT32
from pellucid.repository.errors import TritonUnavailable
from pellucid.repository.folder import CONFIG, DETECTOR, NETWORKS, WEIGHTS, model_folders
from pellucid.repository.loader import Loader
from pellucid.repository.model_control import IndexEntry, ModelControl

_LONGEST_DELAY_S = 60.0
_FILES = (
    "card.yaml",
    CONFIG,
    *(f"*/{name}" for name in (WEIGHTS, DETECTOR, *NETWORKS.values())),
)

Stamps = Mapping[Path, tuple[int, int]]
"""Size and time of the files that matter."""
Index = tuple[IndexEntry, ...]


class Build(Protocol):
    """`build_repository`, or what stands in for it."""

    def __call__(
        self,
        repository: Path,
        listener: Listener,
        allowed: Collection[str] | None,
        *,
        first: Collection[str],
        in_background: bool,
        settled: Settled,
    ) -> Awaitable[dict[str, str]]:
        """See `build_repository`."""
        ...


class Follower:
    """One repository and one Triton.

    It compares what is there with what is loaded, and does so again until nothing differs: it may
    be started before or after Triton, and started again.
    """

    def __init__(
        self,
        repository: Path,
        control: ModelControl,
        *,
        automatic_precision: str = FLOAT32,
        allowed: Collection[str] | None = None,
        first: Collection[str] = (),
        listener: Listener = ignore,
        build: Build = build_repository,
        period_s: float = 2.0,
        gap_s: float = 2.0,
    ) -> None:
        """Name both sides; nothing happens yet.

        Args:
            repository: Triton's model repository, as Triton sees it.
            control: of the Triton.
            automatic_precision: what its engine computes in where a card leaves the choice; it may
                be set later, before anything is loaded.
            allowed: names of the models that are built and loaded; all where None.
            first: names of those that are built and loaded before the others.
            listener: receives what happens.
            build: builds what is missing or stale.
            period_s: seconds between two observations of both sides.
            gap_s: seconds for which a model is not served while other weights take over its
                version number; longer than the period of a catalogue, so that each notices.
        """
        self.automatic_precision = automatic_precision
        self._repository = repository
        self._control = control
        self._allowed = allowed
        self._first = frozenset(first)
        self._listener = listener
        self._build = build
        self._period_s = period_s
        self._built: Stamps | None = None
        self._not_built: dict[str, str] = {}
        self._building: asyncio.Task[None] | None = None
        self._settled: dict[str, Stamps] = {}
        """Files of the models that were built, were current or could not be built. Where they are
        not the same any more, the graph may be of other weights than the configuration says."""
        self._news = False
        """Whether a model was built since the last load."""
        self._loaded: Index | None = None
        self._answers = True
        self._loader = Loader(repository, control, allowed=allowed, listener=listener, gap_s=gap_s)

    async def build(self) -> None:
        """Build what is missing or stale of the first models; of all, where none is named first.

        A model that cannot be built is a warning.

        Raises:
            BuilderFailed: the builder itself did not work.
            OSError: the repository cannot be read.
        """
        before = await asyncio.to_thread(self._stamps)
        first = self._first & await asyncio.to_thread(self._waiting)
        await self._build_models(first or self._allowed, in_background=False)
        # What came or changed meanwhile is for the next time, as is what was not among the first.
        self._built = None if first else before

    async def load(self) -> bool:
        """Load what Triton lacks, unload what is gone; a model that does not load is a warning.

        What is still to be built is left as it is.

        Returns:
            Whether there was anything to do.

        Raises:
            TritonUnavailable: Triton does not answer.
        """
        waiting = await asyncio.to_thread(self._waiting)
        return await self._loader.reconcile(self.automatic_precision, self._not_built, waiting)

    async def follow(self) -> None:
        """Build and load whatever changes, on either side; never returns.

        A folder is touched only when nothing has changed between two observations, so that a copy
        in progress is left alone. What fails is tried again, after longer and longer waits.
        """
        delay = self._period_s
        previous = None
        try:
            while True:
                try:
                    observed = (await asyncio.to_thread(self._stamps), await self._index())
                    if observed == previous:
                        await self._catch_up(*observed)
                    previous, delay = observed, self._period_s
                except Exception as error:
                    # A model that cannot be followed must not end those that are served.
                    reason = f"{str(error) or type(error).__name__}; trying again in {delay:g} s"
                    self._listener(LifecycleEvent(Kind.WARNING, "models", reason))
                    delay = min(delay * 2, _LONGEST_DELAY_S)
                await asyncio.sleep(delay)
        finally:
            await self._stop_building()

    async def _catch_up(self, stamps: Stamps, index: Index | None) -> None:
        if self._building is None and stamps != self._built:
            self._built = stamps
            work = self._build_models(self._allowed, in_background=True)
            self._building = asyncio.create_task(work)
        if self._building is not None and self._building.done():
            building, self._building = self._building, None
            if building.exception() is not None:
                self._built = None
            building.result()
        if index is not None and (self._news or index != self._loaded):
            self._news = False
            changed = await self.load()
            # Only a load that had nothing to do shows that both sides agree.
            self._loaded = None if changed else index

    async def _build_models(self, wanted: Collection[str] | None, *, in_background: bool) -> None:
        self._not_built = await self._build(
            self._repository,
            self._listener,
            wanted,
            first=self._first,
            in_background=in_background,
            settled=self._settle,
        )
        self._news = True

    def _settle(self, name: str) -> None:
        self._settled[name] = _stamps(self._repository / name)
        self._news = True

    def _waiting(self) -> frozenset[str]:
        """Models that are still to be built, or to be found current."""
        folders = model_folders(self._repository, self._allowed)
        return frozenset(
            folder.name for folder in folders if self._settled.get(folder.name) != _stamps(folder)
        )

    async def _stop_building(self) -> None:
        if self._building is not None:
            self._building.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._building

    async def _index(self) -> Index | None:
        """What Triton has; None while it does not answer, which is said once."""
        try:
            index = await asyncio.to_thread(self._control.index)
        except TritonUnavailable as error:
            if self._answers:
                self._listener(LifecycleEvent(Kind.WARNING, "models", str(error)))
            self._answers = False
            return None
        self._answers = True
        return index

    def _stamps(self) -> Stamps:
        found: dict[Path, tuple[int, int]] = {}
        for folder in self._repository.iterdir():
            found |= _stamps(folder)
        return found


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Of one model's files."""
    found = {}
    for path in (path for pattern in _FILES for path in folder.glob(pattern)):
        # It may go at any time.
        with suppress(FileNotFoundError):
            facts = os.stat(path)
            found[path] = (facts.st_size, facts.st_mtime_ns)
    return found
