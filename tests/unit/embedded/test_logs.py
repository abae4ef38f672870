"""The logs of a system, read."""

from pathlib import Path

import pytest

from pellucid.embedded.errors import NotRunning
from pellucid.embedded.logs import logs
from pellucid.embedded.state import StateFolder


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
