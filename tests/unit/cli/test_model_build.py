"""`pellucid model build`, which the models' commands call: what it builds, and how it ends."""

from pathlib import Path

import pytest
import typer

from pellucid.cli.exits import Exit
from pellucid.cli.model_build import build
from tests.support.known_models import linear_model


def test_only_the_named_models_are_built(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (linear_model(tmp_path, name).folder / "config.pbtxt").unlink()
    build(["two"], tmp_path)
    assert not (tmp_path / "one" / "config.pbtxt").exists()
    assert (tmp_path / "two" / "config.pbtxt").exists()


def test_a_name_that_no_folder_has_is_not_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linear_model(tmp_path, "one")
    with pytest.raises(typer.Exit) as ended:
        build(["one", "zwei"], tmp_path)
    assert ended.value.exit_code == Exit.NOT_FOUND
    assert "zwei" in capsys.readouterr().err


def test_a_model_that_cannot_be_built_decides_the_exit_code(tmp_path: Path) -> None:
    (linear_model(tmp_path, "one").folder / "card.yaml").write_text("- a list\n")
    with pytest.raises(typer.Exit) as ended:
        build(None, tmp_path)
    assert ended.value.exit_code == Exit.INVALID
