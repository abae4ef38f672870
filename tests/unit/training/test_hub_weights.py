"""Weights of a hub are pinned, checked, cached and never unpickled."""

import hashlib
import pickle

import pytest
import torch
from huggingface_hub import constants
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save

from pellucid.architectures.small_cnn import small_cnn
from tests.support.hub_server import serve_hub
from training.digests import NoWeights
from training.places import Places
from training.recipe import Hub, Start
from training.weights import start_torch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PLACE = f"clinic/xray/resolve/{COMMIT}/"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def places(tmp_path) -> Places:
    return Places(tmp_path, tmp_path / "runs", tmp_path / "repository")


@pytest.fixture
def theirs() -> dict[str, torch.Tensor]:
    return small_cnn(channels=1, outputs=5, width=4, blocks=2).state_dict()


def start_of(content: bytes, endpoint: str, file: str = "model.safetensors") -> Hub:
    return Hub(
        kind="hub",
        repository="clinic/xray",
        revision=COMMIT,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        endpoint=endpoint,
    )


def plain_state_dict(state, path) -> bytes:
    torch.save(state, path)
    return path.read_bytes()


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_network_starts_from_a_file_of_a_hub_and_later_without_it(file, places, theirs, tmp_path):
    content = save(theirs) if file.endswith("s") else plain_state_dict(theirs, tmp_path / "state")
    ours = small_cnn(channels=1, outputs=1, width=4, blocks=2)
    with serve_hub({PLACE + file: content}) as hub:
        start = start_of(content, hub.address, file)
        start_torch(ours, start, places)
        assert not hub.authorised, "no token goes to a server that a recipe names"
        assert f"HEAD /{PLACE}{file}" in hub.requests
    body = "features.block2.conv1.weight"
    torch.testing.assert_close(ours.state_dict()[body], theirs[body])
    start_torch(ours, start, places)


def test_a_file_that_is_not_what_the_recipe_says_is_refused(places, theirs):
    content = save(theirs)
    with serve_hub({PLACE + "model.safetensors": content}) as hub:
        start = start_of(content + b"tampered", hub.address)
        with pytest.raises(NoWeights, match="SHA-256"):
            start_torch(small_cnn(channels=1, outputs=1, width=4, blocks=2), start, places)


def test_pickled_code_is_not_run(places):
    content = pickle.dumps(print, protocol=2)
    with serve_hub({PLACE + "model.bin": content}) as hub:
        start = start_of(content, hub.address, "model.bin")
        with pytest.raises(NoWeights, match="no plain state_dict"):
            start_torch(small_cnn(channels=1, outputs=1), start, places)


def test_what_the_hub_has_not_is_named(places):
    with serve_hub({PLACE + "other.safetensors": b""}) as hub:
        start = start_of(b"", hub.address)
        with pytest.raises(NoWeights, match=r"clinic/xray/model\.safetensors at 0123"):
            start_torch(small_cnn(channels=1, outputs=1), start, places)
        elsewhere = start.model_copy(update={"repository": "clinic/none"})
        with pytest.raises(NoWeights, match="clinic/none"):
            start_torch(small_cnn(channels=1, outputs=1), elsewhere, places)


def test_a_hub_out_of_reach_is_named(places, monkeypatch):
    # Its library waits longer and longer between five attempts.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    with serve_hub({}) as hub:
        start = start_of(b"", hub.address)
    with pytest.raises(NoWeights, match="neither cached nor to be had"):
        start_torch(small_cnn(channels=1, outputs=1), start, places)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_a_revision_that_may_move_is_refused(revision):
    tree = {
        "kind": "hub",
        "repository": "clinic/xray",
        "revision": revision,
        "file": "model.safetensors",
        "sha256": "0" * 64,
    }
    with pytest.raises(ValidationError, match="40 hexadecimal digits"):
        TypeAdapter(Start).validate_python(tree)
