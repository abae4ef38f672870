"""Each network answers with a logit a label, and has the layers that its documentation names."""

import keras
import numpy as np
import pytest
import torch

from pellucid.architectures import build
from pellucid.architectures.efficientnet import efficientnet_lite
from pellucid.cards import Architecture

TORCH = {
    "alexnet": ({}, "features.relu5", 2_455_617),
    "densenet121": ({}, "features.norm5", 6_948_609),
    "efficientnet_lite": ({}, "features.head", 3_371_713),
    "resnet18": ({}, "layer4", 11_171_649),
    "small_cnn": ({"blocks": 3}, "features.block3.relu2", 287_009),
}
KERAS = {
    "efficientnet_v2": ({}, "top_activation"),
    "mobilenet_v2": ({"alpha": 0.35}, "out_relu"),
    "residual_network": ({"planes": 8}, "stage4_block2_out"),
    "vgg16": ({"alpha": 0.125}, "block5_relu3"),
}


@pytest.mark.parametrize("name", TORCH)
def test_a_torch_network_takes_pictures_of_one_plane(name):
    arguments, layer, size = TORCH[name]
    module = build(
        Architecture(
            framework="torch", builder=name, arguments={"channels": 1, "outputs": 1, **arguments}
        )
    ).eval()
    assert module.get_submodule(layer) is not None
    assert sum(each.numel() for each in module.parameters()) == size
    assert module(torch.zeros(2, 1, 64, 64)).shape == (2, 1)


@pytest.mark.parametrize("name", KERAS)
def test_a_keras_network_takes_spectrograms_and_is_flat(name):
    arguments, layer = KERAS[name]
    model = build(
        Architecture(
            framework="keras",
            builder=name,
            arguments={"height": 64, "width": 63, "outputs": 2, **arguments},
        )
    )
    assert model.get_layer(layer) and model.get_layer("logits")
    assert not any(isinstance(each, keras.Model) for each in model.layers)
    assert model(np.zeros((2, 64, 63, 1), np.float32), training=False).shape == (2, 2)


@pytest.mark.parametrize(("variant", "millions"), [(0, 4.65), (1, 5.42), (2, 6.09)])
def test_the_variants_of_efficientnet_lite_are_as_large_as_published(variant, millions):
    module = efficientnet_lite(variant=variant, channels=3, outputs=1_000)
    assert sum(each.numel() for each in module.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.01
    )
    with pytest.raises(ValueError, match="variant"):
        efficientnet_lite(variant=9, channels=3, outputs=1)
