"""The embedded system for programs: `with EmbeddedSystem(settings) as system: ...`."""

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pellucid.embedded.errors import NotRunning
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.state import ServiceRecord, SystemRecord
from pellucid.embedded.supervisor import Supervisor
from pellucid.lifecycle import Listener, ignore


class EmbeddedSystem:
    """A whole system whose life is a `with` block; the supervisor runs in a thread.

    Everything ends with the block, and also when this process is killed.
    """

    def __init__(self, settings: SystemSettings, listener: Listener = ignore) -> None:
        """Describe a system; entering the block builds and starts it."""
        self._settings = settings
        self._listener = listener
        self._supervisor: Supervisor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._decided = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pellucid supervisor", daemon=True)

    def __enter__(self) -> Self:
        """Build and start everything, and wait until it is healthy.

        Raises:
            EmbeddedError: it could not be started.
        """
        self._thread.start()
        self._decided.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything in order."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def record(self) -> SystemRecord:
        """Processes, ports and states of the moment."""
        if self._supervisor is None:
            raise NotRunning("the system has not been started")
        return self._supervisor.record

    def service(self, name: str) -> ServiceRecord:
        """One service of the system.

        Raises:
            NotRunning: the settings do not name it.
        """
        found = self.record.service(name)
        if found is None:
            raise NotRunning(f"{name} is not among the services of this system")
        return found

    @property
    def gateway_url(self) -> str:
        """`host:port` of the gateway."""
        return self.service("gateway").url

    @property
    def triton_url(self) -> str:
        """`host:port` of Triton's gRPC."""
        return self.service("triton").url

    def _run(self) -> None:
        try:
            asyncio.run(self._supervise())
        except BaseException as error:
            self._failure = error
        finally:
            self._decided.set()

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._supervisor = Supervisor(self._settings, self._listener)
        ready = asyncio.Event()
        announcing = asyncio.create_task(self._announce(ready))
        try:
            await self._supervisor.run(self._stop, ready)
        finally:
            announcing.cancel()

    async def _announce(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._decided.set()


class EmbeddedTriton(EmbeddedSystem):
    """Triton alone over a repository, on free ports: `with EmbeddedTriton(repository, state)`."""

    def __init__(
        self,
        repository: Path,
        state_dir: Path,
        *,
        watch: bool = False,
        listener: Listener = ignore,
    ) -> None:
        """Describe it; every model of the repository is built and loaded on entering.

        Args:
            repository: Triton's model repository.
            state_dir: folder for the state file and the log, one for each running system.
            watch: whether folders that appear later are loaded by themselves.
            listener: receives what happens.
        """
        settings = SystemSettings(
            repository=repository,
            state_dir=state_dir,
            services=("triton",),
            watch=watch,
        )
        super().__init__(settings, listener)
