"""Builds what is missing, starts every service, keeps them alive, and ends them in order."""

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import psutil

from pellucid.embedded.building import build_models
from pellucid.embedded.environment import TritonEnvironment, build_environment
from pellucid.embedded.errors import EmbeddedError, ServiceFailed
from pellucid.embedded.events import Event, Kind, Progress, written
from pellucid.embedded.models import Models
from pellucid.embedded.ports import resolve_ports
from pellucid.embedded.rotation import keep_short
from pellucid.embedded.service import Service
from pellucid.embedded.services import ServicePlan, plan_services, wanted_ports
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.state import StateFolder, SystemRecord

_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0


class Supervisor:
    """One embedded system, from building to its end."""

    def __init__(self, settings: SystemSettings, progress: Progress) -> None:
        """Describe a system; `run` does everything."""
        self._settings = settings
        self._folder = StateFolder(settings.state_dir)
        self._progress = written(self._folder.events, progress)
        self._services: list[Service] = []
        self._models: Models | None = None
        self._automatic = ""
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
                await self._live(stop, ready or asyncio.Event())
        except EmbeddedError as error:
            self._say(Kind.FAILED, str(error))
            raise
        except Exception as error:
            # Nobody foresaw it, but whoever waits for the system must hear of its end.
            self._say(Kind.FAILED, f"{type(error).__name__}: {error}")
            raise
        self._say(Kind.STOPPED, "stopped")

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

    async def _live(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        self._say(Kind.STEP, "starting")
        keeping = asyncio.create_task(keep_short(self._folder.logs))
        try:
            if await _unless(stop, self._start()):
                self._ready = True
                self._write()
                self._say(Kind.READY, self._summary())
                ready.set()
                await self._follow(stop)
        finally:
            keeping.cancel()
            await self._end()

    async def _start(self) -> None:
        await asyncio.to_thread(end_leftovers, self._folder)
        self._write()
        # Ports first: a taken one is said before minutes of building, not after.
        ports = resolve_ports(wanted_ports(self._settings))
        environment = await self._build()
        plans = plan_services(self._settings, environment, ports)
        self._services = [self._service(plan) for plan in plans]
        if environment is not None:
            self._serve_models()
        for service in self._services:
            service.keep()
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

    async def _build(self) -> TritonEnvironment | None:
        settings = self._settings
        if not settings.repository.is_dir():
            raise EmbeddedError(f"there is no model repository at {settings.repository.absolute()}")
        if "triton" not in settings.services:
            return None
        if not settings.build_models:
            return await self._environment()
        models = build_models(settings.repository, self._progress)
        environment, _ = await asyncio.gather(self._environment(), models)
        return environment

    async def _environment(self) -> TritonEnvironment:
        cache = self._settings.cache
        environment = await asyncio.to_thread(build_environment, cache, self._progress)
        self._automatic = await asyncio.to_thread(environment.automatic_precision)
        return environment

    def _service(self, plan: ServicePlan) -> Service:
        log = self._folder.logs / f"{plan.name}.log"
        return Service(plan, log, self._progress, self._write)

    def _serve_models(self) -> None:
        triton = next(s for s in self._services if s.plan.name == "triton")
        repository = self._settings.repository
        self._models = Models(repository, triton.plan.url, self._automatic, self._progress)
        triton.on_healthy = self._models.load_all

    async def _follow(self, stop: asyncio.Event) -> None:
        if self._models is None or not self._settings.watch:
            await stop.wait()
            return
        delay = _FIRST_DELAY_S
        while not stop.is_set():
            begin = time.monotonic()
            try:
                await _unless(stop, self._models.follow())
            except Exception as error:
                if time.monotonic() - begin > _LONGEST_DELAY_S:  # it had worked for a while
                    delay = _FIRST_DELAY_S
                # A model that cannot be followed must not end those that are served.
                why = f"{str(error) or type(error).__name__}; trying again in {delay:g} s"
                self._say(Kind.WARNING, f"following the models failed: {why}")
                await _unless(stop, asyncio.sleep(delay))
                # What fails may be a build, and a build costs.
                delay = min(delay * 2, _LONGEST_DELAY_S)

    async def _end(self) -> None:
        if self._services:
            self._say(Kind.STEP, "stopping")
        while self._services:
            await self._services[-1].stop(self._settings.stop_grace_s)
            self._services.pop()
        self._folder.remove()

    def _write(self) -> None:
        self._folder.write(self.record)

    def _summary(self) -> str:
        door = self._services[-1].plan
        return f"{door.name} is ready at {door.url}"

    def _say(self, kind: Kind, message: str) -> None:
        self._progress(Event(kind, "system", message))


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
