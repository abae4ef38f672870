"""What the supervisor does with errors that nobody foresaw."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pellucid.embedded import supervisor
from pellucid.embedded.events import Event, Kind
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.supervisor import Supervisor


class Stumbling:
    """Models whose following fails once, and then sees the system stopped."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.calls = 0

    async def follow(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("no such thing")
        self.stop.set()


async def test_an_unforeseen_error_is_told_as_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(supervisor, "plan_services", fail)
    settings = SystemSettings(
        repository=tmp_path, state_dir=tmp_path / "state", services=("preprocess",)
    )
    events: list[Event] = []
    with pytest.raises(RuntimeError):
        await Supervisor(settings, events.append).run(asyncio.Event())
    assert (events[-1].kind, events[-1].message) == (Kind.FAILED, "RuntimeError: no such thing")


async def test_an_unforeseen_error_of_the_follower_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_DELAY_S", 0.0, raising=False)
    (tmp_path / "logs").mkdir()
    events: list[Event] = []
    stop = asyncio.Event()
    system: Any = Supervisor(SystemSettings(state_dir=tmp_path), events.append)
    system._models = Stumbling(stop)
    await system._follow(stop)
    assert system._models.calls == 2
    assert [event.kind for event in events] == [Kind.WARNING]
    assert "no such thing" in events[0].message
