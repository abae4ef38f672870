"""One service kept alive: started, watched until healthy, started again when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pellucid.embedded.errors import ServiceFailed
from pellucid.embedded.events import Event, Kind, Progress
from pellucid.embedded.process import Child
from pellucid.embedded.services import ServicePlan, remove_leftovers
from pellucid.embedded.state import ServiceRecord, ServiceState

_POLL_S = 0.15
_ATTEMPTS = 3
"""Deaths before the first healthy moment after which the system gives up."""
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_SETTLED_S = 60.0
"""Life after which the next death starts again from the first delay."""

Hook = Callable[[], Awaitable[None]]


class Service:
    """A service and its process of the moment."""

    def __init__(
        self, plan: ServicePlan, log: Path, progress: Progress, changed: Callable[[], None]
    ) -> None:
        """Describe a service; `keep` starts it.

        Args:
            plan: what to run.
            log: file that its output is appended to.
            progress: told of every change worth a line.
            changed: called after every change of `record`.
        """
        self.plan = plan
        self.on_healthy: Hook | None = None
        """Awaited each time the process has become healthy, before the service counts as ready."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when the service could not be started at all."""
        self._log = log
        self._progress = progress
        self._changed = changed
        self._state = ServiceState.STARTING
        self._child: Child | None = None
        self._restarts = 0
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def record(self) -> ServiceRecord:
        """The service as the state file shows it."""
        return ServiceRecord(
            name=self.plan.name,
            state=self._state,
            pid=self._child.pid if self._child else 0,
            created=self._child.created if self._child else 0.0,
            url=self.plan.url,
            metrics_url=self.plan.metrics_url,
            tls=self.plan.tls,
            health_service=self.plan.health_service,
            restarts=self._restarts,
            log=self._log,
        )

    def keep(self) -> None:
        """Start the service and keep it running until `stop`."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.plan.name}")

    async def ready(self) -> None:
        """Wait until the service is healthy.

        Raises:
            ServiceFailed: it died again and again, or its keeper did.
        """
        waiting = asyncio.ensure_future(self._ready.wait())
        outcomes: set[asyncio.Future[Any]] = {waiting, self.failure}
        try:
            await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
            if self.failure.done():
                self.failure.result()
        finally:
            waiting.cancel()

    async def stop(self, grace_s: float) -> None:
        """End the process; it is not started again."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._child is not None:
            began = time.monotonic()
            self._say(Kind.STEP, "stopping")
            await self._child.stop(grace_s)
            remove_leftovers(self.plan)
            self._say(Kind.DONE, f"stopped in {time.monotonic() - began:.1f} s")
        self._child = None
        self._become(ServiceState.STOPPED)

    async def _keep(self) -> None:
        try:
            delay = _FIRST_DELAY_S
            while True:
                began = time.monotonic()
                status = await self._live()
                if not self._ready.is_set() and self._restarts + 1 >= _ATTEMPTS:
                    raise ServiceFailed(self._last_words(status))
                if time.monotonic() - began > _SETTLED_S:
                    delay = _FIRST_DELAY_S
                self._restarts += 1
                self._become(ServiceState.RESTARTING)
                again = f"{self._last_words(status)}; starting it again in {delay:g} s"
                self._say(Kind.WARNING, again)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
        except Exception as error:
            if not self.failure.done():
                self.failure.set_exception(error)
                # Nobody waits any more once the system is up; then the line must do.
                self.failure.exception()
            self._say(Kind.WARNING, str(error))

    async def _live(self) -> int:
        self._child = child = await Child.start(self.plan.command, self._log)
        self._become(ServiceState.RESTARTING if self._restarts else ServiceState.STARTING)
        death = asyncio.create_task(child.wait())
        healthy = asyncio.create_task(self._until_healthy())
        try:
            await asyncio.wait({death, healthy}, return_when=asyncio.FIRST_COMPLETED)
            if healthy.done():
                healthy.result()
            status = await death
        finally:
            healthy.cancel()
            death.cancel()
        # Whatever the process left in its group must not meet its successor.
        await child.stop(grace_s=0)
        remove_leftovers(self.plan)
        return status

    async def _until_healthy(self) -> None:
        began = time.monotonic()
        self._say(Kind.STEP, "starting")
        said = 0
        while not await asyncio.to_thread(self.plan.is_healthy):
            waited = int(time.monotonic() - began)
            if waited >= 2 and waited > said:
                said = waited
                self._say(Kind.PROGRESS, f"starting ({waited} s)")
            await asyncio.sleep(_POLL_S)
        if self.on_healthy is not None:
            await self.on_healthy()
        self._become(ServiceState.READY)
        self._ready.set()
        self._say(Kind.DONE, f"ready at {self.plan.url} in {time.monotonic() - began:.1f} s")

    def _become(self, state: ServiceState) -> None:
        self._state = state
        self._changed()

    def _say(self, kind: Kind, message: str) -> None:
        self._progress(Event(kind, self.plan.name, message))

    def _last_words(self, status: int) -> str:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        lines = self._log.read_text(errors="replace")[-4000:].strip().splitlines()
        last = f": {lines[-1].strip()}" if lines and status > 0 else ""
        return f"{self.plan.name} {how}{last} (see {self._log})"
