"""What the supervisor does with errors that were not foreseen."""

import asyncio
from pathlib import Path

import pytest

from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.supervisor import Supervisor
from pellucid.lifecycle import Kind, LifecycleEvent


async def test_an_unforeseen_error_is_the_last_event(tmp_path: Path) -> None:
    settings = SystemSettings(
        repository=tmp_path,
        state_dir=tmp_path / "state",
        services=("preprocess",),
        ports={"preprocess": 70_000},  # no socket takes it
    )
    events: list[LifecycleEvent] = []
    with pytest.raises(OverflowError):
        await Supervisor(settings, events.append).run(asyncio.Event())
    assert events[-1].kind is Kind.FAILED
    assert events[-1].message.startswith("OverflowError: ")
