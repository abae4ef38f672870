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


@pytest.mark.parametrize("name", sorted(set(KERAS) - {"efficientnet_v2"}))
def test_a_keras_network_may_keep_the_rows_of_several_planes_apart(name):
    arguments, layer = KERAS[name]
    shape = {"height": 64, "width": 63, "channels": 3, "outputs": 2}
    model = build(
        Architecture(
            framework="keras", builder=name, arguments={**shape, "pool": "time"} | arguments
        )
    )
    _, rows, columns, planes = model.get_layer(layer).output.shape
    pooled = keras.Model(
        model.input, [model.get_layer(layer).output, model.get_layer("pool").output]
    )
    x = np.random.default_rng(0).normal(size=(2, 64, 63, 3)).astype(np.float32)
    found, features = (np.asarray(each) for each in pooled(x, training=False))
    assert found.shape == (2, rows, columns, planes)
    expected = np.concatenate([found.mean(axis=2), np.sqrt(found.var(axis=2) + 1e-5)], axis=-1)
    np.testing.assert_allclose(features, expected.reshape(2, -1), atol=1e-3)


def test_an_unknown_way_to_pool_is_refused():
    with pytest.raises(ValueError, match="pool"):
        build(
            Architecture(
                framework="keras",
                builder="vgg16",
                arguments={"height": 64, "width": 64, "outputs": 2, "pool": "max"},
            )
        )


@pytest.mark.parametrize(("variant", "millions"), [(0, 4.65), (1, 5.42), (2, 6.09)])
def test_the_variants_of_efficientnet_lite_are_as_large_as_published(variant, millions):
    module = efficientnet_lite(variant=variant, channels=3, outputs=1_000)
    assert sum(each.numel() for each in module.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.01
    )
    with pytest.raises(ValueError, match="variant"):
        efficientnet_lite(variant=9, channels=3, outputs=1)
