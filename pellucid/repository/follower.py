"""Keeps a Triton in step with a repository: builds, loads and unloads what changes there."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from pellucid.lifecycle import Kind, LifecycleEvent, Listener, ignore
from pellucid.repository.build_process import build_repository
from pellucid.repository.config import FLOAT32
from pellucid.repository.errors import TritonUnavailable
from pellucid.repository.folder import CONFIG, GRAPH, WEIGHTS
from pellucid.repository.loader import Loader
from pellucid.repository.model_control import IndexEntry, ModelControl

_LONGEST_DELAY_S = 60.0
_FILES = ("card.yaml", CONFIG, f"*/{WEIGHTS}", f"*/{GRAPH}")

Stamps = Mapping[Path, tuple[int, int]]
"""Size and time of the files that matter."""
Index = tuple[IndexEntry, ...]
Build = Callable[[Path, Listener, Collection[str] | None], Awaitable[dict[str, str]]]
"""`build_repository`, or what stands in for it."""


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
        self._listener = listener
        self._build = build
        self._period_s = period_s
        self._built: Stamps | None = None
        self._not_built: Mapping[str, str] = {}
        self._loaded: Index | None = None
        self._answers = True
        self._loader = Loader(repository, control, allowed=allowed, listener=listener, gap_s=gap_s)

    async def build(self) -> None:
        """Build what is missing or stale; a model that cannot be built is a warning.

        Raises:
            BuilderFailed: the builder itself did not work.
            OSError: the repository cannot be read.
        """
        before = await asyncio.to_thread(self._stamps)
        self._not_built = await self._build(self._repository, self._listener, self._allowed)
        # What came or changed meanwhile is for the next time.
        self._built = before

    async def load(self) -> bool:
        """Load what Triton lacks, unload what is gone; a model that does not load is a warning.

        Returns:
            Whether there was anything to do.

        Raises:
            TritonUnavailable: Triton does not answer.
        """
        return await self._loader.reconcile(self.automatic_precision, self._not_built)

    async def follow(self) -> None:
        """Build and load whatever changes, on either side; never returns.

        A folder is touched only when nothing has changed between two observations, so that a copy
        in progress is left alone. What fails is tried again, after longer and longer waits.
        """
        delay = self._period_s
        previous = None
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

    async def _catch_up(self, stamps: Stamps, index: Index | None) -> None:
        if stamps != self._built:
            await self.build()
            self._loaded = None
        if index is not None and index != self._loaded:
            changed = await self.load()
            # Only a load that had nothing to do shows that both sides agree.
            self._loaded = None if changed else index

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
        found = {}
        for folder in self._repository.iterdir():
            for path in (path for pattern in _FILES for path in folder.glob(pattern)):
                try:
                    facts = os.stat(path)
                except FileNotFoundError:
                    continue
                found[path] = (facts.st_size, facts.st_mtime_ns)
        return found
