"""Convolutional networks that look at one known place, for the methods that need gradients."""

from typing import Any

import keras
import numpy as np
import torch
from torch import nn

from pellucid.cards import Card
from tests.support.known_models import IMAGE, SOUND

BUILDERS = {
    "torch_patch": ("torch", "tests.support.planted_networks"),
    "keras_tone": ("keras", "tests.support.planted_networks"),
}
"""To be put into `pellucid.architectures.BUILDERS`."""


class PatchNetwork(nn.Module):
    """Sees brightness, pooled to cells of 4 by 4, and adds up those of one patch."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 3, padding=1)
        self.pool = nn.AvgPool2d(4)
        self.head = nn.Linear(2 * 8 * 8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.relu(self.features(x))).flatten(1))


def torch_patch() -> nn.Module:
    """Says `patch` when rows 8 to 15, columns 16 to 23 of 32 by 32 are bright."""
    network = PatchNetwork()
    cells = torch.zeros(2, 2, 8, 8)
    cells[1, :, 2:4, 4:6] = 2
    with torch.no_grad():
        network.features.weight.fill_(1 / 9)
        network.features.bias.zero_()
        network.head.weight.copy_(cells.flatten(1))
        network.head.bias.copy_(torch.tensor([0.0, -4.0]))
    return network


def keras_tone() -> keras.Model:
    """Says `tone` when mel bands 12 to 15 are loud, at any time."""
    inputs = keras.Input((32, 63, 1), name="input")
    x = keras.layers.Conv2D(2, (1, 3), padding="same", activation="relu", name="features")(inputs)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D((1, 63))(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    model.get_layer("features").set_weights([np.full((1, 3, 1, 2), 1 / 3), np.zeros(2)])
    bands = np.zeros((32, 2, 2))
    bands[12:16, :, 1] = 2
    model.get_layer("head").set_weights([bands.reshape(64, 2), np.array([0.0, -8.0])])
    return model


def card(builder: str) -> Card:
    """The card of one of the networks, named like its builder."""
    framework, sound = BUILDERS[builder][0], builder == "keras_tone"
    facts: dict[str, Any] = {
        "name": builder,
        "version": "1",
        "title": builder,
        "description": "Looks at one known place.",
        "modality": "speech" if sound else "photo",
        "labels": ["plain", "planted"],
        "output": {"activation": "softmax"},
        "preprocess": SOUND if sound else IMAGE,
        "architecture": {
            "framework": framework,
            "builder": builder,
            "grad_cam_layers": ["features"],
        },
    }
    return Card.model_validate(facts)
