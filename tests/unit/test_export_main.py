"""The exporter as a program: a folder that cannot be built is named, the others are built."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pellucid.export.__main__ import main
from tests.models import linear_model

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


def export(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[list[str]]]:
    """Status of the exporter and what it said, line by line, word by word."""
    monkeypatch.setattr(sys, "argv", ["export", str(repository)])
    status = main()
    return status, [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("damage", [no_yaml, no_fields, no_graph, no_weights, a_folder_for_a_file])
def test_a_folder_that_cannot_be_built_is_named_and_the_next_one_is_built(
    damage: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(linear_model(tmp_path, "aaa").folder)
    (linear_model(tmp_path, "bbb").folder / "config.pbtxt").unlink()
    status, lines = export(tmp_path, monkeypatch, capsys)
    assert status == 1
    assert [words[1:2] for words in lines if words[0] == "failed"] == [["aaa"]]
    assert all(len(words) == 3 for words in lines if words[0] == "failed")
    assert lines[-1] == ["built", "bbb"]


def test_a_damaged_file_that_can_be_built_again_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    linear_model(tmp_path)
    (tmp_path / "linear_masked" / "1" / "model.onnx").write_bytes(b"no graph at all")
    (tmp_path / "linear" / "config.pbtxt").write_bytes(b"\xff")
    status, lines = export(tmp_path, monkeypatch, capsys)
    assert (status, lines[-1]) == (0, ["built", "linear"])
    assert export(tmp_path, monkeypatch, capsys) == (0, [["current", "linear"]])
