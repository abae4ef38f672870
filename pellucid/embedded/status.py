"""How a system is: what its state file says, and what its services answer now."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from pellucid.embedded.errors import NotRunning
from pellucid.embedded.health import is_healthy
from pellucid.embedded.state import ServiceRecord, StateFolder, SystemRecord
from pellucid.repository.errors import TritonUnavailable
from pellucid.repository.model_control import IndexEntry, ModelControl


class SystemState(StrEnum):
    """What can be said of a system as a whole."""

    DOWN = "down"
    """Nothing runs."""
    STALE = "stale"
    """The supervisor died and left its state file; `down` or `up` clears it."""
    STARTING = "starting"
    READY = "ready"
    """Every service is healthy."""
    DEGRADED = "degraded"
    """It was ready, and a service is not healthy now."""


class ServiceStatus(BaseModel):
    """One service, checked just now."""

    model_config = ConfigDict(frozen=True)

    record: ServiceRecord
    running: bool
    healthy: bool
    memory_bytes: int = 0
    """Memory of its processes; pages that they share count once (PSS)."""


class SystemStatus(BaseModel):
    """One system, checked just now."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    state: SystemState
    state_dir: Path
    record: SystemRecord | None = None
    services: tuple[ServiceStatus, ...] = ()
    models: tuple[IndexEntry, ...] = ()

    def url(self, service: str) -> str:
        """`host:port` of a service.

        Raises:
            NotRunning: the system has no such service.
        """
        for found in self.services:
            if found.record.name == service:
                return found.record.url
        raise NotRunning(f"no {service} runs with the state folder {self.state_dir}")


def status(state_dir: Path) -> SystemStatus:
    """How a system is: its processes, the health of each service, the models."""
    folder = StateFolder(state_dir)
    record = folder.read()
    if record is None:
        return SystemStatus(state=SystemState.DOWN, state_dir=folder.path)
    with ThreadPoolExecutor(max_workers=8) as threads:
        services = tuple(threads.map(_check, record.services))
    return SystemStatus(
        state=_state(record, services),
        state_dir=folder.path,
        record=record,
        services=services,
        models=served_models(record),
    )


def served_models(record: SystemRecord) -> tuple[IndexEntry, ...]:
    """What a system's Triton says of its models; empty while it does not answer."""
    triton = record.service("triton")
    if triton is None or not triton.running:
        return ()
    try:
        return ModelControl(triton.url).index()
    except TritonUnavailable:
        return ()


def _check(record: ServiceRecord) -> ServiceStatus:
    running = record.running
    healthy = running and is_healthy(record.name, record.url, record.tls)
    memory = _memory_bytes(record.pid) if running else 0
    return ServiceStatus(record=record, running=running, healthy=healthy, memory_bytes=memory)


def _memory_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += member.memory_full_info().pss
    return total


def _state(record: SystemRecord, services: tuple[ServiceStatus, ...]) -> SystemState:
    if not record.running:
        return SystemState.STALE
    if not record.ready:
        return SystemState.STARTING
    healthy = all(service.healthy for service in services)
    return SystemState.READY if healthy else SystemState.DEGRADED
