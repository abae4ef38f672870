"""`pellucid model` as it is typed, on a repository without a system."""

import json
from pathlib import Path

import h5py
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from pellucid.cli import app
from tests.support.known_models import linear_model, write_ensemble
from tests.support.own_models import write_card


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    linear_model(tmp_path / "triton_repo")
    return tmp_path / "triton_repo"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments])


def test_the_models_of_a_repository_are_listed(repository: Path) -> None:
    [found] = json.loads(run("list", "--json").stdout)
    assert found["name"] == "linear"
    assert found["state"] == "not served"
    assert "linear" in run("list").stdout


def test_a_model_is_shown_as_its_card(repository: Path) -> None:
    shown = run("show", "linear").stdout
    assert "name: linear" in shown
    assert "model.onnx" in shown


def test_an_ensemble_is_said_to_be_made_of_its_members(repository: Path) -> None:
    members = [linear_model(repository, name, temperature=2) for name in ("one", "two")]
    write_ensemble(repository, "both", members)
    assert "made of one, two" in run("show", "both").stdout
    rows = {row["name"]: row["network"] for row in json.loads(run("list", "--json").stdout)}
    assert rows == {"both": "ensemble", "linear": "onnx", "one": "onnx", "two": "onnx"}


@pytest.mark.parametrize("command", ["show", "remove", "verify"])
def test_a_model_that_is_not_there_is_named(repository: Path, command: str) -> None:
    done = run(command, "nope")
    assert done.exit_code == 4
    assert "no model 'nope'" in done.stderr


def test_nothing_is_removed_without_saying_so(repository: Path) -> None:
    done = run("remove", "linear")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert (repository / "linear").is_dir()


def test_a_model_is_removed_with_its_masked_graph(repository: Path) -> None:
    assert run("remove", "linear", "--yes").exit_code == 0
    assert list(repository.iterdir()) == []


def test_a_member_is_not_removed_while_an_ensemble_is_made_of_it(repository: Path) -> None:
    members = [linear_model(repository, name, temperature=2) for name in ("one", "two")]
    write_ensemble(repository, "both", members)
    done = run("remove", "one", "--yes")
    assert done.exit_code == 3
    assert "one is a member of both" in done.stderr
    assert run("remove", "both", "--yes").exit_code == 0
    assert run("remove", "one", "--yes").exit_code == 0


def test_build_is_among_the_commands(repository: Path) -> None:
    (repository / "linear" / "config.pbtxt").unlink()
    assert run("build", "linear").exit_code == 0
    assert (repository / "linear" / "config.pbtxt").is_file()


def test_a_card_that_is_not_valid_names_its_field(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: Not a name\n")
    (tmp_path / "network.onnx").write_bytes(b"")
    done = run("add", "network.onnx", "--card", "card.yaml")
    assert done.exit_code == 3
    assert "card.yaml: name" in done.stderr


@pytest.mark.parametrize(
    ("file", "framework"),
    [("weights.safetensors", "torch"), ("weights.pth", "torch"), ("weights.h5", "keras")],
)
@pytest.mark.parametrize(
    ("builder", "arguments", "words"),
    [
        ("resnet17", {}, "no architecture is called 'resnet17'; known: alexnet"),
        ("", {"surprise": 1}, "the card's arguments of"),
    ],
)
def test_a_builder_that_does_not_exist_or_takes_other_arguments_is_refused_by_name(
    repository: Path,
    file: str,
    framework: str,
    builder: str,
    arguments: dict[str, int],
    words: str,
) -> None:
    known = {"torch": "small_cnn", "keras": "vgg16"}[framework]
    architecture = {"framework": framework, "builder": builder or known, "arguments": arguments}
    write_card(Path(), "mine", architecture=architecture)
    weights = torch.zeros(2)
    torch.save({"weight": weights}, "weights.pth")
    save_file({"weight": weights}, "weights.safetensors")
    with h5py.File("weights.h5", "w"):
        pass
    done = run("add", file, "--card", "mine.yaml")
    assert done.exit_code == 3, done.output
    assert words in " ".join(done.stderr.split())
    assert not (repository / "mine").exists()
