"""The state folder: who owns it, and what its file says of a system."""

import os
from pathlib import Path

import pytest

from pellucid.embedded.errors import AlreadyRunning
from pellucid.embedded.state import StateFolder, SystemRecord
from pellucid.embedded.status import SystemState, status


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
