"""Logs are rotated while processes write them and people read them."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.embedded.commands import read_events
from pellucid.embedded.errors import EmbeddedError
from pellucid.embedded.log_rotation import rotate, rotate_long_logs
from pellucid.embedded.logs import logs
from pellucid.embedded.process import Child, Command
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.supervisor import Supervisor
from pellucid.lifecycle import Kind, LifecycleEvent, ignore, logged

WITHIN_S = 10


async def until_written(log: Path, text: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while text not in log.read_text():
            await asyncio.sleep(0.01)


async def test_only_a_log_that_is_too_long_is_moved(tmp_path: Path) -> None:
    (tmp_path / "long.log").write_text("eleven chars")
    (tmp_path / "short.log").write_text("short")
    rotation = asyncio.create_task(rotate_long_logs(tmp_path, limit_bytes=10, period_s=0.01))
    async with asyncio.timeout(WITHIN_S):
        while (tmp_path / "long.log").stat().st_size:
            await asyncio.sleep(0.01)
    rotation.cancel()
    assert (tmp_path / "long.log.1").read_text() == "eleven chars"
    assert (tmp_path / "short.log").read_text() == "short"
    assert not (tmp_path / "short.log.1").exists()


async def test_a_child_goes_on_at_the_beginning_of_its_log(tmp_path: Path) -> None:
    code = "import time\nfor i in range(600): print(i, flush=True); time.sleep(0.1)"
    log = tmp_path / "child.log"
    child = await Child.start(Command((sys.executable, "-c", code), dict(os.environ)), log)
    await until_written(log, "1\n")
    rotate(log, limit_bytes=0)
    await until_written(log, "\n")
    await child.stop(grace_s=5)
    assert (tmp_path / "child.log.1").read_text().startswith("0\n")
    assert int(log.read_text().splitlines()[0]) > 0


def test_a_log_that_is_followed_is_followed_after_it_was_rotated(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "gateway.log"
    log.parent.mkdir()
    log.write_text("one\ntwo\n")
    lines = logs(tmp_path, "gateway", follow=True)
    assert [next(lines), next(lines)] == ["one", "two"]
    rotate(log, limit_bytes=0)
    log.write_text("three\n")
    assert next(lines) == "three"


def test_the_end_of_a_start_is_read_although_the_log_was_rotated(tmp_path: Path) -> None:
    log = tmp_path / "supervisor.log"
    log.write_text("x" * 1_000)
    rotate(log, limit_bytes=0)
    event = LifecycleEvent(Kind.READY, "system", "ready")
    logged(log, ignore)(event)
    with subprocess.Popen(["sleep", "60"]) as running:
        assert next(read_events(log, 1_000, running)) == event
        running.kill()


async def test_a_supervisor_rotates_its_own_log_and_those_of_its_services(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("supervisor", "explain"):
        with (folder / f"{name}.log").open("w") as log:
            log.truncate(20_000_001)
    settings = SystemSettings(repository=tmp_path / "nowhere", state_dir=tmp_path)
    settings = settings.model_copy(update={"gateway_port": 0})
    with pytest.raises(EmbeddedError):
        await Supervisor(settings, ignore).run(asyncio.Event())
    assert (folder / "explain.log").stat().st_size == 0
    last = (folder / "supervisor.log").read_text().splitlines()[-1]
    assert (folder / "supervisor.log").stat().st_size < 10_000
    assert json.loads(last)["kind"] == "failed"
