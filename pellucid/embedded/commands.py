"""`pellucid up`, `down`, `status` and `logs`, for the command line and for programs."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from pellucid.embedded.errors import ServiceFailed
from pellucid.embedded.log_rotation import rewind_if_truncated
from pellucid.embedded.logs import logs
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.state import StateFolder
from pellucid.embedded.status import SystemState, SystemStatus, status
from pellucid.embedded.supervisor import Supervisor, end_leftovers
from pellucid.lifecycle import Kind, LifecycleEvent, Listener, ignore

__all__ = ["SystemState", "SystemStatus", "down", "logs", "run_until_signal", "status", "up"]

_POLL_S = 0.1


def up(
    settings: SystemSettings, *, detach: bool = False, listener: Listener = ignore
) -> SystemStatus:
    """Run a system: until Ctrl-C, SIGTERM or `down`; or, detached, until it is healthy.

    Args:
        settings: what to run.
        detach: leave it running in the background and return when it is ready.
        listener: receives every event of the start, and in the foreground of the whole life.

    Returns:
        The status at the end: ready where detached, else down.

    Raises:
        EmbeddedError: it could not be started; nothing of it is left running.
    """
    folder = StateFolder(settings.state_dir)
    if detach:
        _spawn(settings, folder, listener)
    else:
        asyncio.run(run_until_signal(settings, listener))
    return status(settings.state_dir)


def down(state_dir: Path, *, grace_s: float = 90.0, listener: Listener = ignore) -> bool:
    """Stop a system in order; clear what a dead supervisor has left.

    Returns:
        False if there was nothing to stop.
    """
    folder = StateFolder(state_dir)
    record = folder.read()
    if record is None:
        return False
    if record.running:
        listener(LifecycleEvent(Kind.STEP, "system", "stopping"))
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(record.pid)
            supervisor.terminate()
            if not _ended(supervisor, grace_s, listener):
                listener(LifecycleEvent(Kind.WARNING, "system", "did not stop in time, is killed"))
                supervisor.kill()
                supervisor.wait(grace_s)
    if left := end_leftovers(folder):
        listener(
            LifecycleEvent(
                Kind.WARNING, "system", f"ended {len(left)} services of a dead supervisor"
            )
        )
    listener(LifecycleEvent(Kind.STOPPED, "system", "stopped"))
    return True


async def run_until_signal(settings: SystemSettings, listener: Listener = ignore) -> None:
    """Run a system in this process until SIGINT or SIGTERM; must be on the main thread.

    Raises:
        EmbeddedError: it could not be started.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await Supervisor(settings, listener).run(stop)


def _ended(supervisor: psutil.Process, within_s: float, listener: Listener) -> bool:
    began = time.monotonic()
    while (waited := time.monotonic() - began) < within_s:
        with suppress(psutil.TimeoutExpired):
            supervisor.wait(1)
            return True
        listener(LifecycleEvent(Kind.PROGRESS, "system", f"stopping ({waited + 1:.0f} s)"))
    return False


def _spawn(settings: SystemSettings, folder: StateFolder, listener: Listener) -> None:
    folder.logs.mkdir(parents=True, exist_ok=True)
    with folder.events.open("ab") as log:
        start = log.tell()
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "pellucid.embedded", settings.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_ready(read_events(folder.events, start, supervisor), listener)
    except BaseException:
        # Also on Ctrl-C: what was asked for and did not come about must not linger.
        supervisor.terminate()
        supervisor.wait()
        raise
    # It lives on; without this, Python would warn of a process that was not waited for.
    supervisor.returncode = 0


def _wait_ready(events: Iterator[LifecycleEvent], listener: Listener) -> None:
    for event in events:
        if event.kind is Kind.FAILED:
            raise ServiceFailed(event.message)
        listener(event)
        if event.kind is Kind.READY:
            return
    raise ServiceFailed("the supervisor ended before the system was ready")


def read_events(
    path: Path, start: int, supervisor: subprocess.Popen[bytes]
) -> Iterator[LifecycleEvent]:
    """Events that a supervisor logs from `start`, in bytes, on; ends when the process has ended."""
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        rest = ""
        while True:
            ended = supervisor.poll() is not None
            rewind_if_truncated(file)
            rest += file.read()
            *whole, rest = rest.split("\n")
            for line in whole:
                # Other lines are Python's own, e.g. a traceback.
                with suppress(ValueError):
                    yield LifecycleEvent.from_json(line)
            if ended:
                return
            time.sleep(_POLL_S)
