"""The parts of the embedded system that need no Triton."""

import os
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest

from pellucid.addresses import address
from pellucid.embedded.environment import libpython
from pellucid.embedded.errors import (
    AlreadyRunning,
    MissingPrerequisite,
    NotRunning,
    PortTaken,
    PortUnusable,
)
from pellucid.embedded.events import Event, Kind
from pellucid.embedded.logs import logs
from pellucid.embedded.ports import resolve_ports
from pellucid.embedded.process import Child, Command, is_running
from pellucid.embedded.state import StateFolder, SystemRecord
from pellucid.embedded.status import SystemState, status

HOST = "127.0.0.1"


def command(code: str) -> Command:
    return Command((sys.executable, "-c", code), dict(os.environ))


def test_free_ports_are_distinct() -> None:
    ports = resolve_ports(dict.fromkeys("abcdef", (HOST, 0)))
    assert len(set(ports.values())) == 6


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server((HOST, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for gateway .*process {os.getpid()}"):
            resolve_ports({"gateway": (HOST, port)})


def test_an_address_of_another_machine_is_not_called_taken() -> None:
    with pytest.raises(PortUnusable, match=r"192\.0\.2\.1 for gateway"):
        resolve_ports({"gateway": ("192.0.2.1", 0)})


def test_a_wanted_port_is_never_given_away_as_a_free_one() -> None:
    wanted = resolve_ports({"gateway": (HOST, 0)})["gateway"]
    ports = resolve_ports({"triton": (HOST, 0), "gateway": (HOST, wanted)})
    assert ports["gateway"] == wanted != ports["triton"]


def test_only_an_ipv6_host_stands_in_brackets() -> None:
    hosts = ("127.0.0.1", "localhost", "::1")
    assert [address(host, 5) for host in hosts] == ["127.0.0.1:5", "localhost:5", "[::1]:5"]


def test_a_missing_libpython_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {"LIBDIR": str(tmp_path), "INSTSONAME": "libpython3.11.a", "MULTIARCH": ""}
    monkeypatch.setattr(sysconfig, "get_config_vars", lambda: found)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    with pytest.raises(MissingPrerequisite, match=r"apt install libpython3\.11"):
        libpython()


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


def test_a_folder_without_a_state_file_is_down(tmp_path: Path) -> None:
    assert status(tmp_path).state is SystemState.DOWN


def test_a_state_file_of_a_dead_supervisor_is_stale(tmp_path: Path) -> None:
    # The number is taken, by another process than the one that was written down.
    record = SystemRecord(pid=os.getpid(), created=1.0, repository=tmp_path, ready=True)
    StateFolder(tmp_path).write(record)
    assert status(tmp_path).state is SystemState.STALE


def test_a_state_folder_belongs_to_one_supervisor(tmp_path: Path) -> None:
    with StateFolder(tmp_path).claimed(), pytest.raises(AlreadyRunning, match="pellucid down"):
        StateFolder(tmp_path).claimed().__enter__()


def test_the_logs_of_all_services_are_told_apart(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.logs.mkdir()
    (folder.logs / "gateway.log").write_text("one\ntwo\n")
    (folder.logs / "triton.log").write_text("three\n")
    assert list(logs(tmp_path, "gateway", lines=1)) == ["two"]
    assert [line.split() for line in logs(tmp_path)] == [
        ["gateway", "|", "one"],
        ["gateway", "|", "two"],
        ["triton", "|", "three"],
    ]


def test_the_log_of_an_unknown_service_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.logs.mkdir()
    (folder.logs / "gateway.log").write_text("one\n")
    with pytest.raises(NotRunning, match="gateway"):
        next(logs(tmp_path, "nope"))


def test_an_event_survives_the_supervisors_log() -> None:
    event = Event(Kind.PROGRESS, "models", "loaded one", 1, 2)
    assert Event.from_dict({"at": "now", **event.to_dict()}) == event
