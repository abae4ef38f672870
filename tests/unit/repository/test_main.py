"""The commands: a folder that cannot be built is named, the others are built; and what is stale."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pellucid.repository.__main__ import main
from tests.support.known_models import linear_model

TORCH = {"framework": "torch", "builder": "densenet121", "arguments": {"channels": 1, "outputs": 3}}


def no_yaml(folder: Path) -> None:
    (folder / "card.yaml").write_text("labels: [one\n\tname: {\n")


def no_fields(folder: Path) -> None:
    (folder / "card.yaml").write_text("- a list\n")


def no_graph(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(b"no graph at all")


def no_weights(folder: Path) -> None:
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"architecture": TORCH}))
    (folder / "1" / "weights.safetensors").write_bytes(b"no weights at all")


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "config.pbtxt").unlink()
    (folder / "config.pbtxt").mkdir()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[tuple[str, ...]]]:
    """Status of a command, and kind, subject and message of its events."""
    status = main([*arguments, "--json"])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return status, [(event["kind"], event["subject"], event["message"]) for event in events]


@pytest.mark.parametrize("damage", [no_yaml, no_fields, no_graph, no_weights, a_folder_for_a_file])
def test_a_folder_that_cannot_be_built_is_named_and_the_next_one_is_built(
    damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(linear_model(tmp_path, "aaa").folder)
    (linear_model(tmp_path, "bbb").folder / "config.pbtxt").unlink()
    status, events = run(capsys, "build", str(tmp_path))
    assert status == 1
    assert [subject for kind, subject, _ in events if kind == "warning"] == ["aaa"]
    assert events[-1] == ("done", "bbb", "built")


def test_a_damaged_file_that_can_be_built_again_is_built_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linear_model(tmp_path)
    (tmp_path / "linear_masked" / "1" / "model.onnx").write_bytes(b"no graph at all")
    (tmp_path / "linear" / "config.pbtxt").write_bytes(b"\xff")
    status, events = run(capsys, "build", str(tmp_path))
    assert (status, events[-1]) == (0, ("done", "linear", "built"))
    assert run(capsys, "build", str(tmp_path)) == (0, [("done", "linear", "current")])


def test_only_named_models_are_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        (linear_model(tmp_path, name).folder / "config.pbtxt").unlink()
    _, events = run(capsys, "build", str(tmp_path), "--models", "three, one")
    assert [subject for kind, subject, _ in events if kind == "done"] == ["one", "three"]


def test_models_that_are_named_first_are_built_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "three", "two"):
        linear_model(tmp_path, name)
    _, events = run(capsys, "build", str(tmp_path), "--first", "two", "--force")
    assert [subject for kind, subject, _ in events if kind == "done"] == ["two", "one", "three"]


def test_a_check_names_what_is_stale_and_what_is_broken_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_fields(linear_model(tmp_path, "broken").folder)
    linear_model(tmp_path, "current")
    (linear_model(tmp_path, "stale").folder / "config.pbtxt").unlink()
    status, events = run(capsys, "check", str(tmp_path))
    assert status == 1
    assert [(kind, subject) for kind, subject, _ in events] == [
        ("warning", "broken"),
        ("done", "current"),
        ("warning", "stale"),
    ]
    assert not (tmp_path / "stale" / "config.pbtxt").exists()
