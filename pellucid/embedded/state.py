"""The state file: what runs, readable by anybody who finds the folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pellucid.client.connection import Tls
from pellucid.embedded.errors import AlreadyRunning
from pellucid.embedded.process import is_running


class ServiceState(StrEnum):
    """Where one service is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class ServiceRecord(BaseModel):
    """One service, as the supervisor last saw it."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ServiceState = ServiceState.STARTING
    pid: int = 0
    created: float = 0.0
    url: str
    """`host:port` of its gRPC server."""
    metrics_url: str
    tls: Tls | None = None
    """How to reach it where it speaks TLS; None for plain text."""
    restarts: int = 0
    log: Path

    @property
    def running(self) -> bool:
        """Whether the recorded process still exists."""
        return self.pid > 0 and is_running(self.pid, self.created)


class SystemRecord(BaseModel):
    """One system, as its supervisor last saw it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float
    repository: Path
    ready: bool = False
    services: tuple[ServiceRecord, ...] = ()

    @property
    def running(self) -> bool:
        """Whether the supervisor still exists."""
        return is_running(self.pid, self.created)

    def service(self, name: str) -> ServiceRecord | None:
        """One service by name."""
        return next((s for s in self.services if s.name == name), None)


class StateFolder:
    """Paths in a state folder, and its one lock."""

    def __init__(self, path: Path) -> None:
        """Name a folder; nothing is created yet."""
        self.path = path.absolute()
        self.file = self.path / "state.json"
        self.logs = self.path / "logs"
        self.events = self.logs / "supervisor.log"

    def read(self) -> SystemRecord | None:
        """The record, or None where no supervisor has left one."""
        try:
            return SystemRecord.model_validate_json(self.file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, record: SystemRecord) -> None:
        """Replace the record in one step."""
        temporary = self.file.with_suffix(".new")
        temporary.write_text(record.model_dump_json(indent=2), encoding="utf-8")
        os.replace(temporary, self.file)

    def remove(self) -> None:
        """Forget the record."""
        self.file.unlink(missing_ok=True)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for one supervisor.

        Raises:
            AlreadyRunning: another supervisor holds it.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                record = self.read()
                who = f" (process {record.pid})" if record else ""
                raise AlreadyRunning(
                    f"a system with the state folder {self.path} is running{who}; "
                    "`pellucid down` stops it, another --state-dir starts a second one"
                ) from None
            with contextlib.suppress(OSError):
                os.set_inheritable(lock.fileno(), False)
            yield
