"""Brings a Triton to what a repository holds: loads, replaces and unloads models."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.lifecycle import Kind, LifecycleEvent, Listener
from pellucid.repository.desired import DesiredModel, Identity, complete_models
from pellucid.repository.errors import RepositoryError
from pellucid.repository.model_control import READY, ModelControl
from pellucid.repository.unloadable import failed_model, waiting_model

_LOADS_AT_ONCE = 4
"""As many as Triton itself loads at once; every one takes a thread of ours meanwhile."""


@dataclass(frozen=True)
class _Change:
    """What has to happen to one classifier and its masked graph."""

    unload: tuple[str, ...]
    """Before anything is loaded, in this order."""
    load: tuple[DesiredModel, ...]
    """In this order; the first that fails ends it."""


@dataclass(frozen=True)
class _Loaded:
    """What Triton has, when it was asked."""

    ready: Mapping[str, Identity]
    failed: Collection[str]
    """Names whose last load failed, as far as Triton remembers."""


class Loader:
    """Loads the models of one repository into one Triton.

    What Triton has is read from Triton, so a loader may start at any time, and start again.
    """

    def __init__(
        self,
        repository: Path,
        control: ModelControl,
        *,
        allowed: Collection[str] | None,
        listener: Listener,
        gap_s: float,
    ) -> None:
        """Name both sides; the arguments are `Follower`'s."""
        self._repository = repository
        self._control = control
        self._allowed = allowed
        self._listener = listener
        self._gap_s = gap_s
        self._lock = asyncio.Lock()
        self._refused: dict[str, Identity | str] = {}
        """What of a model did not load last: what would have been loaded, or a reason."""

    async def reconcile(
        self,
        automatic_precision: str,
        not_built: Mapping[str, str],
        waiting: Collection[str] = (),
    ) -> bool:
        """Load, replace and unload whatever differs; a model that does not load is a warning.

        Args:
            automatic_precision: what Triton's engine computes in where a card leaves the choice.
            not_built: why models could not be built, by name; Triton's index says it where
                nothing older is loaded.
            waiting: names of models whose folders are not to be read yet. They stay as they are;
                where nothing is loaded, Triton's index says that they wait.

        Returns:
            Whether there was anything to do; what Triton has refused before is not tried again.

        Raises:
            TritonUnavailable: Triton does not answer.
        """
        async with self._lock:
            models = complete_models(self._repository, self._allowed)
            loaded = await asyncio.to_thread(self._read_loaded)
            # A folder that is being built lacks files for a moment.
            unloaded = not waiting and await self._unload_absent(models, loaded)
            models = {name: models[name] for name in models if name not in waiting}
            changes, unreadable = await asyncio.to_thread(
                self._plan, models, loaded, automatic_precision
            )
            await self._apply(changes)
            # Of a model that was built before, the last good state is served.
            nothing = {name: not_built[name] for name in not_built if name not in models}
            failures = {
                name: reason
                for name, reason in (nothing | unreadable).items()
                if name not in loaded.ready and not self._was_refused(name, reason, loaded)
            }
            for name, reason in failures.items():
                if name in unreadable:
                    self._emit(Kind.WARNING, name, reason)
                await self._publish_failure(name, reason)
            await self._publish_waiting(waiting, loaded)
            return bool(unloaded or changes or failures)

    def _read_loaded(self) -> _Loaded:
        ready, failed = {}, set()
        for entry in self._control.index():
            if entry.state != READY:
                failed |= {entry.name} if entry.reason else set()
            elif (config := self._control.config(entry.name)) is not None:
                ready[entry.name] = Identity.of_loaded(entry.version, config)
        return _Loaded(ready, failed)

    async def _unload_absent(self, models: Mapping[str, Sequence[str]], loaded: _Loaded) -> bool:
        present = {name for names in models.values() for name in names}
        # What others have loaded is theirs.
        absent = [
            name
            for name, identity in loaded.ready.items()
            if name not in present and identity.graph_digest
        ]
        for name in sorted(absent, reverse=True):
            await self._unload(name)
        return bool(absent)

    def _plan(
        self, models: Mapping[str, Sequence[str]], loaded: _Loaded, automatic_precision: str
    ) -> tuple[list[_Change], dict[str, str]]:
        changes, failures = [], {}
        for names in models.values():
            desired: list[DesiredModel] = []
            for name in names:
                try:
                    desired.append(DesiredModel.read(self._repository / name, automatic_precision))
                except RepositoryError as error:
                    failures[name] = str(error)
                    break
            changes.append(self._change(names, desired, loaded))
        return [change for change in changes if change.load], failures

    def _change(
        self, names: Sequence[str], desired: Sequence[DesiredModel], loaded: _Loaded
    ) -> _Change:
        different = []
        for model in desired:
            if self._was_refused(model.name, model.identity, loaded):
                break
            if loaded.ready.get(model.name) != model.identity:
                different.append(model)
        replaced = any(
            model.name in loaded.ready and model.identity.replaces(loaded.ready[model.name])
            for model in different
        )
        if not replaced:
            return _Change((), tuple(different))
        # Whoever asks for a version must never meet two graphs under its number.
        unload = tuple(name for name in reversed(names) if name in loaded.ready)
        return _Change(unload, tuple(desired))

    def _was_refused(self, name: str, what: Identity | str, loaded: _Loaded) -> bool:
        # A Triton that was started anew knows nothing of it, and may have more memory.
        known = name in loaded.failed or name in loaded.ready
        return self._refused.get(name) == what and known

    async def _apply(self, changes: Sequence[_Change]) -> None:
        total = sum(len(change.load) for change in changes)
        if not total:
            return
        turns = asyncio.Semaphore(_LOADS_AT_ONCE)
        done: list[str] = []

        async def apply(change: _Change) -> None:
            async with turns:
                if not await self._make_room(change.unload):
                    return
                for model in change.load:
                    if not await self._load(model):
                        return
                    done.append(model.name)
                    self._emit(Kind.PROGRESS, "models", f"loaded {model.name}", len(done), total)

        self._emit(Kind.STEP, "models", f"loading {total}", 0, total)
        await asyncio.gather(*(apply(change) for change in changes))
        self._emit(Kind.DONE, "models", f"{len(done)} of {total} loaded", len(done), total)

    async def _make_room(self, names: Sequence[str]) -> bool:
        """Unload what others will replace, for long enough that everybody notices."""
        for name in names:
            if not await self._unload(name):
                return False
        if names:
            await asyncio.sleep(self._gap_s)
        return True

    async def _unload(self, name: str) -> bool:
        reason = await asyncio.to_thread(self._control.unload, name)
        if reason is not None:
            self._emit(Kind.WARNING, name, f"not unloaded: {reason}")
            return False
        self._emit(Kind.DONE, name, "unloaded")
        return True

    async def _load(self, model: DesiredModel) -> bool:
        reason = await asyncio.to_thread(self._control.load, model.name, model.config)
        if reason is None:
            self._refused.pop(model.name, None)
            return True
        self._refused[model.name] = model.identity
        self._emit(Kind.WARNING, model.name, f"not loaded: {reason}")
        return False

    async def _publish_failure(self, name: str, reason: str) -> None:
        """Have Triton try what cannot load, so that its index says why."""
        await asyncio.to_thread(self._control.load, *failed_model(name, reason))
        self._refused[name] = reason

    async def _publish_waiting(self, names: Collection[str], loaded: _Loaded) -> None:
        """Have Triton's index say what is to come."""
        for name in sorted(names):
            # Of one that failed before, the index says more.
            if name not in loaded.ready and name not in loaded.failed:
                await asyncio.to_thread(self._control.load, *waiting_model(name))

    def _emit(self, kind: Kind, subject: str, message: str, done: int = 0, total: int = 0) -> None:
        self._listener(LifecycleEvent(kind, subject, message, done, total))
