"""One service kept alive: started, watched until healthy, started again when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pellucid.embedded.errors import ServiceFailed
from pellucid.embedded.process import Child
from pellucid.embedded.service_plans import ServicePlan, remove_leftovers
from pellucid.embedded.state import ServiceRecord, ServiceState
from pellucid.lifecycle import Kind, LifecycleEvent, Listener

_POLL_S = 0.15
_ATTEMPTS = 3
"""Deaths before the first healthy moment after which the system gives up."""
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_CHILDREN_S = 2.0
"""A child that is dead at two checks in a row, so far apart, was not ended by its parent."""
_SETTLED_S = 60.0
"""Life after which the next death starts again from the first delay."""

Hook = Callable[[], Awaitable[object]]


class Service:
    """A service and its process of the moment."""

    def __init__(
        self, plan: ServicePlan, log: Path, listener: Listener, changed: Callable[[], None]
    ) -> None:
        """Describe a service; `start` starts it.

        Args:
            plan: what to run.
            log: file that its output is appended to.
            listener: receives every change worth a line.
            changed: called after every change of `record`.
        """
        self.plan = plan
        self.on_healthy: Hook | None = None
        """Awaited each time the process has become healthy, before the service counts as ready."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when the service could not be started at all."""
        self._log = log
        self._listener = listener
        self._changed = changed
        self._state = ServiceState.STARTING
        self._child: Child | None = None
        self._restarts = 0
        self._ready = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None

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
            restarts=self._restarts,
            log=self._log,
        )

    def start(self) -> None:
        """Start the service, and start it again whenever it ends, until `stop`."""
        self._supervision = asyncio.create_task(
            self._supervise(), name=f"supervise {self.plan.name}"
        )

    async def ready(self) -> None:
        """Wait until the service is healthy.

        Raises:
            ServiceFailed: it died again and again, or its supervision did.
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
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
        if self._child is not None:
            began = time.monotonic()
            self._emit(Kind.STEP, "stopping")
            await self._child.stop(grace_s)
            remove_leftovers(self.plan)
            self._emit(Kind.DONE, f"stopped in {time.monotonic() - began:.1f} s")
        self._child = None
        self._set_state(ServiceState.STOPPED)

    async def _supervise(self) -> None:
        try:
            delay = _FIRST_DELAY_S
            while True:
                began = time.monotonic()
                status = await self._run_once()
                if not self._ready.is_set() and self._restarts + 1 >= _ATTEMPTS:
                    raise ServiceFailed(self._exit_message(status))
                if time.monotonic() - began > _SETTLED_S:
                    delay = _FIRST_DELAY_S
                self._restarts += 1
                self._set_state(ServiceState.RESTARTING)
                again = f"{self._exit_message(status)}; starting it again in {delay:g} s"
                self._emit(Kind.WARNING, again)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
        except Exception as error:
            if not self.failure.done():
                self.failure.set_exception(error)
                # Once the system is up, `ready` is awaited no more; then the event must do.
                self.failure.exception()
            self._emit(Kind.WARNING, str(error))

    async def _run_once(self) -> int:
        self._child = child = await Child.start(self.plan.command, self._log)
        self._set_state(ServiceState.RESTARTING if self._restarts else ServiceState.STARTING)
        death = asyncio.create_task(child.wait())
        healthy = asyncio.create_task(self._until_healthy())
        crippled = asyncio.create_task(self._until_crippled(child))
        try:
            await asyncio.wait({death, healthy}, return_when=asyncio.FIRST_COMPLETED)
            if healthy.done():
                healthy.result()
            await asyncio.wait({death, crippled}, return_when=asyncio.FIRST_COMPLETED)
            if not death.done():
                self._emit(Kind.WARNING, "a process of its own has died; starting all of it again")
                await child.stop(grace_s=0)
            status = await death
        finally:
            for task in (crippled, healthy, death):
                task.cancel()
        # Whatever the process left in its group must not meet its successor.
        await child.stop(grace_s=0)
        remove_leftovers(self.plan)
        return status

    async def _until_crippled(self, child: Child) -> None:
        """Wait until it has lost a process of its own that it needs; for others, for ever."""
        dead: set[int] = set()
        while not self.plan.needs_children or not dead & (dead := child.dead_children()):
            await asyncio.sleep(_CHILDREN_S)

    async def _until_healthy(self) -> None:
        began = time.monotonic()
        self._emit(Kind.STEP, "starting")
        reported = 0
        while not await asyncio.to_thread(self.plan.has_started):
            waited = int(time.monotonic() - began)
            if waited >= 2 and waited > reported:
                reported = waited
                self._emit(Kind.PROGRESS, f"starting ({waited} s)")
            await asyncio.sleep(_POLL_S)
        if self.on_healthy is not None:
            await self.on_healthy()
        self._set_state(ServiceState.READY)
        self._ready.set()
        self._emit(Kind.DONE, f"ready at {self.plan.url} in {time.monotonic() - began:.1f} s")

    def _set_state(self, state: ServiceState) -> None:
        self._state = state
        self._changed()

    def _emit(self, kind: Kind, message: str) -> None:
        self._listener(LifecycleEvent(kind, self.plan.name, message))

    def _exit_message(self, status: int) -> str:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        lines = self._log.read_text(errors="replace")[-4000:].strip().splitlines()
        last = f": {lines[-1].strip()}" if lines and status > 0 else ""
        return f"{self.plan.name} {how}{last} (see {self._log})"
