"""What the supervisor makes of the builder's words and of its end."""

import sys
from pathlib import Path

import pytest

from pellucid.embedded.building import build_models
from pellucid.embedded.errors import BuildFailed
from pellucid.embedded.events import Event, Kind


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The builder's program; whatever shell a test writes into it."""
    program = tmp_path / "builder"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


async def test_an_empty_line_is_not_the_end_of_the_builder(says: Path, tmp_path: Path) -> None:
    says.write_text("#!/bin/sh\nprintf 'building\\tone\\n\\nbuilt\\tone\\n'\n")
    events: list[Event] = []
    await build_models(tmp_path, events.append)
    assert [event.kind for event in events] == [Kind.STEP, Kind.DONE]


async def test_a_model_that_is_not_built_is_a_warning(says: Path, tmp_path: Path) -> None:
    says.write_text("#!/bin/sh\nprintf 'failed\\tone\\tno card\\n'; exit 1\n")
    events: list[Event] = []
    await build_models(tmp_path, events.append)
    assert [(e.kind, e.message) for e in events] == [(Kind.WARNING, "one was not built: no card")]


async def test_a_builder_that_fails_without_naming_a_model_has_failed(
    says: Path, tmp_path: Path
) -> None:
    says.write_text("#!/bin/sh\necho 'ImportError: no onnx' >&2; exit 1\n")
    with pytest.raises(BuildFailed, match="status 1: ImportError: no onnx"):
        await build_models(tmp_path, lambda _: None)
