"""A stage changes the layers that it names, at its share of the learning rate, and no others."""

import keras
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pellucid.architectures.small_cnn import small_cnn
from tests.support.tiny_sets import XRAY_CARD, recipe_of
from training.freezing import train_only
from training.keras_rates import SharedRates
from training.places import Places
from training.recipe import LastLayers
from training.run import run

KERMANY = [{"kind": "kermany"}]
BODY, HEAD = "features.block2.conv2.weight", "classifier.weight"


@pytest.fixture
def places(kermany, tmp_path) -> Places:
    return Places(kermany, tmp_path / "runs", tmp_path / "repository", tensorboard=True)


def trained_names(network: torch.nn.Module) -> set[str]:
    return {n.rpartition(".")[0] for n, p in network.named_parameters() if p.requires_grad}


def test_the_last_layers_are_counted_from_the_end_and_the_others_stand_still():
    network = small_cnn(channels=1, outputs=1, width=4, blocks=2).train()
    train_only(network, "head")
    assert trained_names(network) == {"classifier"}
    train_only(network, LastLayers(last=3))
    assert trained_names(network) == {
        "classifier",
        "features.block2.conv2",
        "features.block2.norm2",
    }
    norms = {n: m.training for n, m in network.named_modules() if "norm" in n}
    assert [name for name, training in norms.items() if training] == ["features.block2.norm2"]
    train_only(network, "all")
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())


def test_the_published_method_trains_a_head_and_then_the_last_layers(places):
    run(recipe_of(XRAY_CARD, KERMANY), places)
    stages = [
        {"epochs": 2, "trained": "head"},
        {"epochs": 2, "trained": {"last": 3}, "rate_share": 0.05, "hidden": 0.5},
    ]
    fine = recipe_of(
        {**XRAY_CARD, "name": "fine"},
        KERMANY,
        start={"kind": "model", "model": "tiny"},
        stages=stages,
        optimiser={"learning_rate": 1e-2, "average": 0.1, "warm_up": 0},
    )
    run(fine, places)
    before, after = (
        load_file(places.run(name) / "weights.safetensors") for name in ("tiny", "fine")
    )
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {BODY, HEAD} < changed
    assert all(key.startswith(("classifier", "features.block2")) for key in changed)
    assert not any("conv1" in key or "norm1" in key for key in changed)
    assert list(places.run("fine").glob("tensorboard/*/events.*"))
    assert (places.run("fine") / "curves.png").exists()


def test_layers_of_a_keras_network_are_not_said_to_stand_still():
    card = {
        **XRAY_CARD,
        "preprocess": {**XRAY_CARD["preprocess"], "layout": "HWC", "height": 32, "width": 32},
        "architecture": {"framework": "keras", "builder": "mobilenet_v2"},
    }
    with pytest.raises(ValueError, match="only of torch networks"):
        recipe_of(card, KERMANY, stages=[{"epochs": 1, "trained": "head"}])


def test_each_epoch_takes_its_share_of_the_learning_rate():
    rates = SharedRates(
        keras.optimizers.schedules.CosineDecay(1.0, decay_steps=40), [1, 1, 0.02, 0.02], steps=10
    )
    whole = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=40)
    shares = [float(rates(step)) / float(whole(step)) for step in (0, 19, 20, 39)]
    np.testing.assert_allclose(shares, [1, 1, 0.02, 0.02], rtol=1e-5)
