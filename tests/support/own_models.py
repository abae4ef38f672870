"""Files of models as users have them: small networks, saved by each framework's own means."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SIDE = 32
LABELS = ("a", "b", "c")


def write_card(folder: Path, name: str, side: int = SIDE, **facts: Any) -> Path:
    """A card of three labels over a small square colour picture, as a user writes it."""
    layout = facts.pop("layout", "CHW")
    card = {
        "name": name,
        "version": "1",
        "title": name,
        "description": "A user's own.",
        "modality": "photo",
        "labels": list(LABELS),
        "output": {"activation": "softmax"},
        "preprocess": {
            "kind": "image",
            "height": side,
            "width": side,
            "channels": 3,
            "layout": layout,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(card | facts, sort_keys=False), encoding="utf-8")
    return path


class Convolutional(nn.Module):
    """`conv -> norm -> relu -> conv -> relu -> mean -> dense`, over CHW."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)
        )
        self.head = nn.Linear(8, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.features(x)).mean((2, 3)))


class Block(nn.Module):
    """One block of a Vision Transformer (arXiv:2010.11929)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.norm2 = nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = self.mix(self.norm1(x)).chunk(3, dim=-1)
        x = x + nn.functional.scaled_dot_product_attention(queries, keys, values)
        return x + self.dense(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of 8 by 8, a class token, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        width = 16
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, (SIDE // 8) ** 2 + 1, width))
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.head(self.blocks(tokens + self.places)[:, 0])


def save_program(module: nn.Module, path: Path, side: int = SIDE) -> Path:
    """What `torch.export.save` writes, with a free batch size."""
    batch = torch.export.Dim("batch")
    example = torch.zeros(2, 3, side, side)
    torch.export.save(
        torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},)), path
    )
    return path


def save_onnx(module: nn.Module, path: Path) -> Path:
    """What `torch.onnx.export` writes, with a free batch size."""
    torch.onnx.export(
        module.eval(),
        (torch.zeros(2, 3, SIDE, SIDE),),
        path,
        input_names=["pixels"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path


def save_hardmax(path: Path) -> Path:
    """A graph with an operator that has no counterpart in torch."""
    value, rng = helper.make_tensor_value_info, np.random.default_rng(0)
    weights = rng.normal(size=(3 * SIDE * SIDE, len(LABELS))).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Hardmax", ["flat"], ["brightest"]),
        helper.make_node("MatMul", ["brightest", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [value("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [value("scores", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def nested_keras(outputs: int = len(LABELS)) -> keras.Model:
    """A base inside a model, as fine-tuning makes it; Grad-CAM's layer is `base/last`."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="first")(inputs)
    base = keras.Model(inputs, keras.layers.Conv2D(8, 3, 2, "same", name="last")(x), name="base")
    outer = keras.Input((SIDE, SIDE, 3), name="pixels")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(base(outer)))
    return keras.Model(outer, keras.layers.Dense(outputs)(pooled))
