"""Builds what is missing, starts every service, keeps them alive, and ends them in order."""

import asyncio
import os
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import psutil

from pellucid.addresses import address
from pellucid.embedded.environment import TritonEnvironment, build_environment
from pellucid.embedded.errors import BuildFailed, EmbeddedError, ServiceFailed
from pellucid.embedded.log_rotation import rotate_long_logs
from pellucid.embedded.ports import LOOPBACK, resolve_ports
from pellucid.embedded.service import Service
from pellucid.embedded.service_plans import ServicePlan, plan_services, wanted_ports
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.state import StateFolder, SystemRecord
from pellucid.lifecycle import Kind, LifecycleEvent, Listener, logged
from pellucid.repository.errors import RepositoryError
from pellucid.repository.follower import Follower
from pellucid.repository.model_control import ModelControl


class Supervisor:
    """One embedded system, from building to its end."""

    def __init__(self, settings: SystemSettings, listener: Listener) -> None:
        """Describe a system; `run` does everything."""
        self._settings = settings
        self._folder = StateFolder(settings.state_dir)
        self._listener = logged(self._folder.events, listener)
        self._services: list[Service] = []
        self._follower: Follower | None = None
        self._ready = False

    async def run(self, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
        """Run the system until `stop` is set.

        Args:
            stop: set by whoever wants the system to end, at any time.
            ready: set when every service is healthy for the first time.

        Raises:
            EmbeddedError: the system could not be started; everything that was is stopped again.
        """
        try:
            with self._folder.claimed():
                await self._run_claimed(stop, ready or asyncio.Event())
        except EmbeddedError as error:
            self._emit(Kind.FAILED, str(error))
            raise
        except Exception as error:
            # A bug, but whoever waits for the system must learn of its end.
            self._emit(Kind.FAILED, f"{type(error).__name__}: {error}")
            raise
        self._emit(Kind.STOPPED, "stopped")

    @property
    def record(self) -> SystemRecord:
        """The system as the state file shows it."""
        return SystemRecord(
            pid=os.getpid(),
            created=psutil.Process().create_time(),
            repository=self._settings.repository.absolute(),
            ready=self._ready,
            services=tuple(service.record for service in self._services),
        )

    async def _run_claimed(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        self._emit(Kind.STEP, "starting")
        rotation = asyncio.create_task(rotate_long_logs(self._folder.logs))
        try:
            if await _unless(stop, self._start()):
                self._ready = True
                self._write()
                self._emit(Kind.READY, self._summary())
                ready.set()
                await self._follow(stop)
        finally:
            rotation.cancel()
            await self._end()

    async def _start(self) -> None:
        await asyncio.to_thread(end_leftovers, self._folder)
        self._write()
        # Ports first: a taken one is said before minutes of building, not after.
        ports = resolve_ports(wanted_ports(self._settings))
        environment = await self._build(ports)
        plans = plan_services(self._settings, environment, ports)
        self._services = [self._service(plan) for plan in plans]
        for service in self._services:
            service.start()
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                # The first failure is the answer; the others would wait in vain.
                await asyncio.gather(*(service.ready() for service in self._services))
        except TimeoutError:
            late = [s.plan.name for s in self._services if s.record.state != "ready"]
            limit = f"{self._settings.start_timeout_s:g} s"
            raise ServiceFailed(
                f"{', '.join(late)} not healthy after {limit} (see {self._folder.logs})"
            ) from None

    async def _build(self, ports: Mapping[str, int]) -> TritonEnvironment | None:
        """Build Triton's environment and the models; None where the system has no Triton."""
        settings = self._settings
        if not settings.repository.is_dir():
            raise EmbeddedError(f"there is no model repository at {settings.repository.absolute()}")
        if "triton" not in settings.services:
            return None
        url = address(LOOPBACK, ports["triton"])
        self._follower = follower = Follower(
            settings.repository,
            ModelControl(url),
            allowed=settings.models,
            # Without anybody who follows, the others would never come.
            first=settings.first if settings.watch else (),
            listener=self._listener,
        )
        try:
            environment, _ = await asyncio.gather(self._environment(follower), follower.build())
        except RepositoryError as error:
            raise BuildFailed(str(error)) from error
        return environment

    async def _environment(self, follower: Follower) -> TritonEnvironment:
        cache = self._settings.cache
        environment = await asyncio.to_thread(build_environment, cache, self._listener)
        follower.automatic_precision = await asyncio.to_thread(environment.automatic_precision)
        return environment

    def _service(self, plan: ServicePlan) -> Service:
        log = self._folder.logs / f"{plan.name}.log"
        service = Service(plan, log, self._listener, self._write)
        if plan.name == "triton" and self._follower is not None:
            service.on_healthy = self._follower.load
        return service

    async def _follow(self, stop: asyncio.Event) -> None:
        if self._follower is not None and self._settings.watch:
            await _unless(stop, self._follower.follow())
        else:
            await stop.wait()

    async def _end(self) -> None:
        if self._services:
            self._emit(Kind.STEP, "stopping")
        # The explain service at once with the gateway, through which it sends what it has by then.
        front = [one for one in self._services if one.plan.name in ("gateway", "explain")]
        others = [[one] for one in reversed(self._services) if one not in front]
        for services in (front, *others):
            await asyncio.gather(*(one.stop(self._settings.stop_grace_s) for one in services))
            self._services = [one for one in self._services if one not in services]
        self._folder.remove()

    def _write(self) -> None:
        self._folder.write(self.record)

    def _summary(self) -> str:
        last = self._services[-1].plan
        return f"{last.name} is ready at {last.url}"

    def _emit(self, kind: Kind, message: str) -> None:
        self._listener(LifecycleEvent(kind, "system", message))


def end_leftovers(folder: StateFolder, grace_s: float = 5.0) -> list[int]:
    """End what a dead supervisor left running, and forget its state file.

    Returns:
        Process ids that had to be ended.
    """
    record = folder.read()
    left = [service for service in record.services if service.running] if record else []
    processes = []
    for service in left:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(service.pid)
            processes += [process, *process.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + grace_s
    _, stubborn = psutil.wait_procs(processes, timeout=max(0.0, deadline - time.monotonic()))
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    folder.remove()
    return [service.pid for service in left]


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do some work; give it up when `stop` is set. True if it was finished."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
