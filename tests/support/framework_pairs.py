"""One small convolutional network in torch and in Keras, with the same weights, and linear ones."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn

from explain_service.gradient.keras_copy import KerasCopy
from explain_service.gradient.model import GradientModel
from explain_service.gradient.torch_copy import TorchCopy
from pellucid.architectures.weights import save_keras, save_torch
from pellucid.cards import Card

Floats = NDArray[np.float32]

SIZE = (12, 16)
"""Rows and columns of the input; it has three channels."""


class TorchNetwork(nn.Module):
    """`conv -> relu -> pool -> conv (`features`) -> relu -> mean -> dense`, over CHW."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.AvgPool2d(2)
        self.features = nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.first(x)))
        return self.head(self.relu(self.features(x)).mean(dim=(2, 3)))


def torch_network(*, outputs: int = 3) -> nn.Module:
    torch.manual_seed(7)
    module = TorchNetwork(outputs)
    with torch.no_grad():
        module.first.weight.mul_(3)
        module.features.weight.mul_(4)
        module.head.weight.mul_(3)
    return module


def keras_network(*, outputs: int = 3) -> keras.Model:
    source = torch_network(outputs=outputs)
    inputs = keras.Input((*SIZE, 3), name="input")
    x = keras.layers.Conv2D(6, 3, padding="same", name="first")(inputs)
    x = keras.layers.AveragePooling2D(2, name="pool")(keras.layers.ReLU(name="relu1")(x))
    x = keras.layers.Conv2D(8, 3, padding="same", name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(keras.layers.ReLU(name="relu2")(x))
    model = keras.Model(inputs, keras.layers.Dense(outputs, name="head")(x))
    for name in ("first", "features"):
        kernel, bias = source.get_submodule(name).parameters()
        kernel = kernel.detach().numpy().transpose(2, 3, 1, 0)
        model.get_layer(name).set_weights([kernel, bias.detach().numpy()])
    kernel, bias = (value.detach().numpy() for value in source.get_submodule("head").parameters())
    model.get_layer("head").set_weights([kernel.T, bias])
    return model


def torch_linear(weights: Floats, bias: Floats) -> nn.Module:
    """`sum(weights * input) + bias`, with weights `(K', *shape)`."""
    layer = nn.Linear(weights[0].size, len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.reshape(len(weights), -1)))
        layer.bias.copy_(torch.from_numpy(bias))
    return nn.Sequential(nn.Flatten(), layer)


def keras_linear(weights: Floats, bias: Floats) -> keras.Model:
    """The same in Keras."""
    inputs = keras.Input(weights.shape[1:], name="input")
    dense = keras.layers.Dense(len(weights))
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([weights.reshape(len(weights), -1).T, bias])
    return model


BUILDERS = {
    "torch_network": ("torch", "tests.support.framework_pairs"),
    "keras_network": ("keras", "tests.support.framework_pairs"),
}
"""To be put into `pellucid.architectures.BUILDERS`."""


def pair_card(framework: str, **changes: Any) -> Card:
    """Three labels over a small colour picture; `changes` go into the card."""
    torch_like = framework == "torch"
    facts: dict[str, Any] = {
        "name": f"{framework}_network",
        "version": "1",
        "title": framework,
        "description": "It has its pair in the other framework.",
        "modality": "photo",
        "labels": ["a", "b", "c"],
        "output": {"activation": "softmax"},
        "preprocess": {
            "kind": "image",
            "height": SIZE[0],
            "width": SIZE[1],
            "channels": 3,
            "layout": "CHW" if torch_like else "HWC",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        },
        "architecture": {
            "framework": framework,
            "builder": f"{framework}_network",
            "grad_cam_layers": ["features", "first"],
        },
    }
    return Card.model_validate(facts | changes)


def picture() -> Floats:
    """An input of the pair, `(3, H, W)`."""
    return np.random.default_rng(3).normal(size=(3, *SIZE)).astype(np.float32)


def copy_of(card: Card, *, outputs: int = 3) -> GradientModel:
    """A gradient copy of the pair's network in a card's framework, of four inputs at once."""
    assert card.architecture is not None
    if card.architecture.framework == "torch":
        return TorchCopy(card.architecture, torch_network(outputs=outputs), 4)
    return KerasCopy(card.architecture, keras_network(outputs=outputs), 4)


def linear_copy(framework: str, **changes: Any) -> tuple[GradientModel, Floats, Card]:
    """A copy of a linear network, its weights `(K', *shape)`, and its card with `changes`."""
    architecture = {"framework": framework, "builder": f"{framework}_network"}
    card = pair_card(framework, architecture=architecture, **changes)
    assert card.architecture is not None
    rng = np.random.default_rng(5)
    shape = (card.logits, *card.preprocess.shape)
    weights = rng.normal(0, 0.1, shape).astype(np.float32)
    bias = rng.normal(size=card.logits).astype(np.float32)
    if framework == "torch":
        return TorchCopy(card.architecture, torch_linear(weights, bias), 4), weights, card
    return KerasCopy(card.architecture, keras_linear(weights, bias), 4), weights, card


def write_folder(repository: Path, card: Card, version: str = "1") -> Path:
    """`card.yaml` of a model, and the folder of a version."""
    folder = repository / card.name / version
    folder.mkdir(parents=True)
    text = yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    (repository / card.name / "card.yaml").write_text(text, encoding="utf-8")
    return folder


def save(framework: str, folder: Path, scale: float = 1.0) -> Path:
    """Write the weights of the pair's network, scaled; the file."""
    file = folder / "weights.safetensors"
    if framework == "torch":
        save_torch(torch_network(), file)
    else:
        save_keras(keras_network(), file)
    if scale != 1.0:
        scaled = {key: value * np.float16(scale) for key, value in load_file(file).items()}
        save_file(scaled, file)
    return file
