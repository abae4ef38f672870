"""One child process: its log, its death with ours, and its orderly end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PARENT_DEATH = Path(__file__).with_name("parent_death.py")


@dataclass(frozen=True)
class Command:
    """What to run."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the process."""


class Child:
    """A running process that never outlives this one.

    It leads a process group of its own: Ctrl-C in a terminal reaches the supervisor only, which
    ends its children in order; and what a child leaves behind can be ended with its group.
    """

    def __init__(self, process: asyncio.subprocess.Process, created: float) -> None:
        """Use `start`."""
        self._process = process
        self.created = created
        """Seconds since the epoch; together with `pid` it names a process for good."""

    @classmethod
    async def start(cls, command: Command, log: Path) -> "Child":
        """Start a command; its output is appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        command_line = (
            sys.executable,
            "-I",
            "-S",
            str(_PARENT_DEATH),
            str(os.getpid()),
            *command.arguments,
        )
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command_line,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(command.variables),
                start_new_session=True,
            )
        created = 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(process.pid).create_time()
        return cls(process, created)

    @property
    def pid(self) -> int:
        """Process id, also of the process group."""
        return self._process.pid

    async def wait(self) -> int:
        """Exit status; negative numbers are signals."""
        return await self._process.wait()

    def dead_children(self) -> set[int]:
        """Processes of its own that have died, and that it has not noticed."""
        dead = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.status() == psutil.STATUS_ZOMBIE:
                        dead.add(child.pid)
        return dead

    async def stop(self, grace_s: float) -> None:
        """Ask the process to end, insist after `grace_s` seconds, and clear its group."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM, group=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        self._signal(signal.SIGKILL, group=True)
        await self._process.wait()

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


def is_running(pid: int, created: float) -> bool:
    """Whether this very process still runs, rather than another that got its number."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
