"""From weights to the classifier's graph: `input` float32 `(N, *shape)` to `logits` `(N, K)`."""

import tempfile
from pathlib import Path

import onnx
from safetensors import SafetensorError

from pellucid.architectures import build
from pellucid.architectures.weights import WeightsMismatch, load_keras, load_torch
from pellucid.cards import Architecture, Card
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.graphs import rename_value


def classifier_graph(card: Card, architecture: Architecture, weights: Path) -> onnx.ModelProto:
    """Build the network that a card names, give it its weights, and export it.

    Args:
        card: the model's card; its preprocess contract gives the shape of the input.
        architecture: the card's architecture.
        weights: safetensors that fit the architecture.

    Returns:
        A graph whose batch size is free.

    Raises:
        ModelNotBuilt: the network does not exist, or the weights cannot be read or do not fit it.
    """
    export = _from_torch if architecture.framework == "torch" else _from_keras
    try:
        return export(card, architecture, weights)
    except (WeightsMismatch, ValueError) as error:
        raise ModelNotBuilt(f"{card.name}: {error}") from error
    except (OSError, SafetensorError) as error:
        raise ModelNotBuilt(f"{card.name}: {weights.name} cannot be read: {error}") from error


def _from_torch(card: Card, architecture: Architecture, weights: Path) -> onnx.ModelProto:
    import torch

    module = build(architecture)
    load_torch(module, weights)
    module.eval()
    # A batch of two: the exporter takes a size of one for a constant.
    example = torch.zeros((2, *card.preprocess.shape))
    program = torch.onnx.export(
        module,
        (example,),
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only without dynamo
    return program.model_proto


def _from_keras(card: Card, architecture: Architecture, weights: Path) -> onnx.ModelProto:
    import keras
    import numpy as np

    shape = card.preprocess.shape
    model = build(architecture)
    # Keras refuses to export a model that it has never called.
    model(np.zeros((1, *shape), np.float32), training=False)
    load_keras(model, weights)
    signature = [keras.InputSpec(shape=(None, *shape), dtype="float32", name="input")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        model.export(str(path), format="onnx", input_signature=signature, verbose=False)
        graph = onnx.load_model(path)
    rename_value(graph, graph.graph.input[0].name, "input")
    rename_value(graph, graph.graph.output[0].name, "logits")
    return graph
