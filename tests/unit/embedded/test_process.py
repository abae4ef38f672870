"""Child processes: their logs, their ends, and their death with the supervisor."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from pellucid.embedded.process import Child, Command, is_running


def command(code: str) -> Command:
    return Command((sys.executable, "-c", code), dict(os.environ))


async def test_a_child_writes_to_its_log_and_tells_its_status(tmp_path: Path) -> None:
    child = await Child.start(command("print('hello'); exit(3)"), tmp_path / "child.log")
    assert await child.wait() == 3
    assert (tmp_path / "child.log").read_text() == "hello\n"


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(60)"
    )
    log = tmp_path / "child.log"
    child = await Child.start(command(code), log)
    while "deaf" not in log.read_text():
        time.sleep(0.02)
    await child.stop(grace_s=0.2)
    assert not is_running(child.pid, child.created)


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "child.log"
    child = await Child.start(command(code), log)
    while not log.read_text().endswith("\n"):
        time.sleep(0.02)
    grandchild = psutil.Process(int(log.read_text()))
    await child.stop(grace_s=5)
    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_child_dies_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    code = (
        "import asyncio, os, sys, time\n"
        "from pathlib import Path\n"
        "from pellucid.embedded.process import Child, Command\n"
        "async def main():\n"
        "    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "    command = Command((sys.executable, '-c', code), dict(os.environ))\n"
        "    await Child.start(command, Path(sys.argv[1]))\n"
        "    time.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(log)]) as supervisor:
        while not log.is_file() or not log.read_text().endswith("\n"):
            time.sleep(0.05)
        child = psutil.Process(int(log.read_text()))
        supervisor.kill()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
