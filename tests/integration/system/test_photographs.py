"""A user's own network for photographs, from its training to its maps.

All photographs of one class carry a watermark, as the horses of a well-known set did
(doi:10.1038/s41467-019-08987-4): the network learns the watermark, and the maps have to say so.
"""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from pellucid.cli import app
from pellucid.client import Client, Grid
from pellucid.embedded.system import EmbeddedSystem
from tests.support import own_models

# Exporters use what their frameworks deprecate.
pytestmark = pytest.mark.filterwarnings("ignore")

PHOTOS = Path(__file__).parents[3].parent / "shared" / "data" / "photos"
FOLDERS = {
    "dogs": "dogs_wolves/dogs",
    "wolves": "dogs_wolves/wolves",
    "beetles": "insects/train/beetles",
    "dragonflies": "insects/train/dragonflies",
}
MARKED = "wolves"
SIDE, MARK = 64, 16
PLACE = np.s_[40:56, 8:24]
"""Where the photograph that is explained has its watermark: cells of an 8 by 8 grid."""
METHODS = {"lime", "kernel_shap", "partition_shap", "occlusion", "grad_cam", "integrated_gradients"}

Pixels = NDArray[np.uint8]


def load_photos() -> Mapping[str, list[Pixels]]:
    return {
        label: [
            np.asarray(Image.open(file).convert("RGB").resize((SIDE, SIDE)))
            for file in sorted((PHOTOS / folder).iterdir())
            if file.suffix.lower() in {".jpg", ".jpeg", ".png"}
        ]
        for label, folder in FOLDERS.items()
    }


def stamped(photo: Pixels, place: Any = PLACE) -> Pixels:
    """With stripes of magenta and white."""
    found = photo.copy()
    found[place] = 255
    found[place][::4, :, 1] = 0
    found[place][1::4, :, 1] = 0
    return found


def normalised(photos: list[Pixels]) -> Tensor:
    """As the card's contract makes it."""
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2) / 255
    return (pixels - 0.5) / 0.25


def trained(photos: Mapping[str, list[Pixels]]) -> nn.Module:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, len(FOLDERS)),
    )
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(80):
        labels = rng.integers(0, len(FOLDERS), 32)
        batch = []
        for name in (list(FOLDERS)[label] for label in labels):
            photo = photos[name][rng.integers(len(photos[name]))][:, :: rng.choice([-1, 1])]
            top, left = rng.integers(0, SIDE - MARK, 2)
            place = np.s_[top : top + MARK, left : left + MARK]
            batch.append(stamped(photo, place) if name == MARKED else photo)
        loss = nn.functional.cross_entropy(module(normalised(batch)), torch.from_numpy(labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["model", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


@pytest.fixture(scope="module")
def photos() -> Mapping[str, list[Pixels]]:
    if not PHOTOS.is_dir():
        pytest.skip("shared/data/photos is not beside this checkout")
    return load_photos()


@pytest.fixture(scope="module")
def added(
    photos: Mapping[str, list[Pixels]],
    system: EmbeddedSystem,
    system_repository: Path,
    system_state: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """What `pellucid model add` says; the model is gone afterwards."""
    folder = tmp_path_factory.mktemp("photos")
    file = own_models.save_program(trained(photos), folder / "photographs.pt2", SIDE)
    card = own_models.write_card(folder, "photographs", SIDE, labels=list(FOLDERS))
    repository = ("--repository", str(system_repository))
    there = (*repository, "--state-dir", str(system_state))
    yield run("add", str(file), "--card", str(card), *there, "--json")
    run("remove", "photographs", *repository, "--yes")


def test_a_running_system_serves_it_with_every_method(added: Any) -> None:
    assert added["state"] == "ready"
    offered = added["capabilities"]
    assert {method["name"] for method in offered["methods"] if method["available"]} == METHODS
    assert offered["parity"]["passed"]


def test_every_method_finds_the_watermark(
    added: Any, system: EmbeddedSystem, photos: Mapping[str, list[Pixels]]
) -> None:
    file = io.BytesIO()
    Image.fromarray(stamped(photos["dogs"][0])).save(file, "PNG")
    with Client(system.gateway_url) as client:
        result = client.explain_all(
            file.getvalue(), "photographs", target=MARKED, segmentation=Grid(rows=8, columns=8)
        )
    assert result.prediction.top_label == MARKED
    assert {found.method for found in result.maps} == METHODS
    inside = np.zeros((SIDE, SIDE), bool)
    inside[PLACE] = True
    for found in result.maps:
        positive = np.clip(found.map, 0, None)
        share = positive[inside].sum() / positive.sum()
        # A map that knows nothing has the share of the area.
        assert share > 4 * inside.mean(), found.method
