"""An index of cases made by the command, and searched through the whole system."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from pellucid.cli import app
from pellucid.client import Client
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import IndexUnavailable
from tests.support import own_models

# Exporters use what their frameworks deprecate.
pytestmark = pytest.mark.filterwarnings("ignore")

NAME = "featured"


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of two labels, one without, and a file that is no picture."""
    folder, rng = tmp_path_factory.mktemp("cases"), np.random.default_rng(0)
    side = own_models.SIDE
    for label, low in (("dark", 0), ("bright", 120)):
        (folder / label).mkdir()
        for number in range(6):
            pixels = rng.integers(low, low + 100, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / "other.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return own_models.Convolutional().eval()


@pytest.fixture(scope="module")
def served(
    network: nn.Module,
    system: EmbeddedSystem,
    system_repository: Path,
    system_state: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, ...]]:
    """The options that say where a network is served that gives its features."""
    folder = tmp_path_factory.mktemp("featured")
    file = own_models.save_program(network, folder / f"{NAME}.pt2")
    card = own_models.write_card(folder, NAME, features=True)
    repository, state = ("--repository", str(system_repository)), ("--state-dir", str(system_state))
    added = run("model", "add", str(file), "--card", str(card), *repository, *state)
    assert added["state"] == "ready"
    yield state
    CliRunner().invoke(app, ["model", "remove", NAME, *repository, "--yes"])


def features(network: Any, file: Path) -> np.ndarray:
    """What the last dense layer is given, by torch."""
    pixels = torch.from_numpy(np.asarray(Image.open(file))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        return torch.relu(network.features((pixels - 0.5) / 0.25)).mean((2, 3))[0].numpy()


@pytest.fixture(scope="module")
def made(served: tuple[str, ...], pictures: Path) -> Mapping[str, Any]:
    return run("index", "build", NAME, str(pictures), "--thumbnails", *served)


def test_every_file_that_can_be_read_is_indexed_and_the_others_are_named(
    made: Mapping[str, Any], served: tuple[str, ...]
) -> None:
    assert made["files"] == 13
    assert [*made["left_out"]] == ["notes.txt"]
    [listed] = run("index", "list", *served)
    assert (listed["model"], listed["files"], listed["thumbnails"]) == (NAME, 13, True)


def test_the_served_distances_are_those_of_the_network(
    made: Mapping[str, Any], network: nn.Module, system: EmbeddedSystem, pictures: Path
) -> None:
    asked = pictures / "bright" / "3.png"
    expected = {
        path.relative_to(pictures).as_posix(): np.linalg.norm(
            features(network, path) - features(network, asked)
        )
        for path in pictures.rglob("*.png")
    }
    with Client(system.gateway_url) as client:
        found = client.find_similar(asked, NAME, count=100)
        capabilities = client.capabilities().models
    assert [case.id for case in found.cases] == sorted(expected, key=lambda name: expected[name])
    for case in found.cases:
        assert case.distance == pytest.approx(expected[case.id], abs=1e-4)
        assert case.labels == ((Path(case.id).parent.name,) if "/" in case.id else ())
        assert case.thumbnail_png.startswith(b"\x89PNG")
    assert found.cases[0].distance < 1e-5 < found.typical_distance
    assert found.indexed == 13
    assert {model.name: model.indexed_cases for model in capabilities}[NAME] == 13


def test_labels_may_come_from_a_table_and_pictures_are_kept_only_if_asked_for(
    made: Mapping[str, Any],
    served: tuple[str, ...],
    system: EmbeddedSystem,
    pictures: Path,
    tmp_path: Path,
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label\ndark/1.png,a|b\nother.png,\n")
    kept = tmp_path / "indices"
    made = run(
        "index",
        "build",
        NAME,
        str(pictures),
        "--labels",
        str(table),
        *served,
        "--indices",
        str(kept),
    )
    assert made["files"] == 2
    cases = (kept / NAME / "cases.jsonl").read_text()
    assert [json.loads(line) for line in cases.splitlines()] == [
        {"id": "dark/1.png", "labels": ["a", "b"]},
        {"id": "other.png"},
    ]
    assert {path.name for path in (kept / NAME).iterdir()} == {
        "index.json",
        "cases.jsonl",
        "features.npy",
    }


def test_a_model_that_gives_no_features_is_refused_with_the_remedy(
    served: tuple[str, ...], system: EmbeddedSystem, pictures: Path
) -> None:
    done = CliRunner().invoke(app, ["index", "build", "planted_patch", str(pictures), *served])
    assert done.exit_code == 3
    assert "features: true" in done.stderr
    with Client(system.gateway_url) as client, pytest.raises(IndexUnavailable):
        client.find_similar(pictures / "other.png", "planted_patch")


@pytest.mark.parametrize("table", ["name,label\n", "file,label\n../secret.png,a\n", "file,label\n"])
def test_a_bad_table_is_refused(
    served: tuple[str, ...], pictures: Path, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(table)
    done = CliRunner().invoke(
        app, ["index", "build", NAME, str(pictures), "--labels", str(path), *served]
    )
    assert done.exit_code == 3


def test_a_removed_index_is_gone_at_once(
    served: tuple[str, ...], system: EmbeddedSystem, pictures: Path
) -> None:
    run("index", "build", NAME, str(pictures), *served)
    done = CliRunner().invoke(app, ["index", "remove", NAME, *served])
    assert done.exit_code == 0
    with Client(system.gateway_url) as client, pytest.raises(IndexUnavailable):
        client.find_similar(pictures / "other.png", NAME)
