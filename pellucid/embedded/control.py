"""`pellucid up`, `down`, `status` and `logs`, for the command line and for programs."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from pellucid.embedded.errors import ServiceFailed
from pellucid.embedded.events import Event, Kind, Progress, silent
from pellucid.embedded.logs import logs
from pellucid.embedded.rotation import rewind_if_cut
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.state import StateFolder
from pellucid.embedded.status import SystemState, SystemStatus, status
from pellucid.embedded.supervisor import Supervisor, end_leftovers

__all__ = ["SystemState", "SystemStatus", "down", "logs", "run_until_signal", "status", "up"]

_POLL_S = 0.1


def up(
    settings: SystemSettings, *, detach: bool = False, progress: Progress = silent
) -> SystemStatus:
    """Run a system: until Ctrl-C, SIGTERM or `down`; or, detached, until it is healthy.

    Args:
        settings: what to run.
        detach: leave it running in the background and return when it is ready.
        progress: receives every event of the start, and in the foreground of the whole life.

    Returns:
        The status at the end: ready where detached, else down.

    Raises:
        EmbeddedError: it could not be started; nothing of it is left running.
    """
    folder = StateFolder(settings.state_dir)
    if detach:
        _spawn(settings, folder, progress)
    else:
        asyncio.run(run_until_signal(settings, progress))
    return status(settings.state_dir)


def down(state_dir: Path, *, grace_s: float = 90.0, progress: Progress = silent) -> bool:
    """Stop a system in order; clear what a dead supervisor has left.

    Returns:
        False if there was nothing to stop.
    """
    folder = StateFolder(state_dir)
    record = folder.read()
    if record is None:
        return False
    if record.running:
        progress(Event(Kind.STEP, "system", "stopping"))
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(record.pid)
            supervisor.terminate()
            if not _ended(supervisor, grace_s, progress):
                progress(Event(Kind.WARNING, "system", "did not stop in time, is killed"))
                supervisor.kill()
                supervisor.wait(grace_s)
    if left := end_leftovers(folder):
        progress(Event(Kind.WARNING, "system", f"ended {len(left)} services of a dead supervisor"))
    progress(Event(Kind.STOPPED, "system", "stopped"))
    return True


async def run_until_signal(settings: SystemSettings, progress: Progress = silent) -> None:
    """Run a system in this process until SIGINT or SIGTERM; must be on the main thread.

    Raises:
        EmbeddedError: it could not be started.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await Supervisor(settings, progress).run(stop)


def _ended(supervisor: psutil.Process, within_s: float, progress: Progress) -> bool:
    began = time.monotonic()
    while (waited := time.monotonic() - began) < within_s:
        with suppress(psutil.TimeoutExpired):
            supervisor.wait(1)
            return True
        progress(Event(Kind.PROGRESS, "system", f"stopping ({waited + 1:.0f} s)"))
    return False


def _spawn(settings: SystemSettings, folder: StateFolder, progress: Progress) -> None:
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
        _await_ready(_events(folder.events, start, supervisor), progress)
    except BaseException:
        # Also on Ctrl-C: what was asked for and did not come about must not linger.
        supervisor.terminate()
        supervisor.wait()
        raise
    # It lives on; without this, Python would complain that nobody waits for it.
    supervisor.returncode = 0


def _await_ready(events: Iterator[Event], progress: Progress) -> None:
    for event in events:
        if event.kind is Kind.FAILED:
            raise ServiceFailed(event.message)
        progress(event)
        if event.kind is Kind.READY:
            return
    raise ServiceFailed("the supervisor ended before the system was ready")


def _events(path: Path, start: int, supervisor: subprocess.Popen[bytes]) -> Iterator[Event]:
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        rest = ""
        while True:
            ended = supervisor.poll() is not None
            rewind_if_cut(file)
            rest += file.read()
            *whole, rest = rest.split("\n")
            for line in whole:
                # Other lines are Python's own, e.g. a traceback.
                with suppress(ValueError, KeyError, TypeError):
                    yield Event.from_dict(json.loads(line))
            if ended:
                return
            time.sleep(_POLL_S)
