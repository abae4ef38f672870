"""From weights to the classifier's graph: `input` float32 `(N, *shape)` to `logits` `(N, K)`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from safetensors import SafetensorError

from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.exported_program import read_program
from pellucid.architectures.networks import load_network
from pellucid.architectures.weights import WeightsMismatch
from pellucid.cards import Architecture, Card
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.graphs import rename_value


def classifier_graph(card: Card, architecture: Architecture, weights: Path) -> onnx.ModelProto:
    """Load the network that a card names, and export it.

    Args:
        card: the model's card; its preprocess contract gives the shape of the input.
        architecture: the card's architecture.
        weights: safetensors that fit the architecture, or the network in a file.

    Returns:
        A graph whose batch size is free.

    Raises:
        ModelNotBuilt: the network does not exist or cannot be exported, or the weights cannot be
            read or do not fit it.
    """
    export: Callable[[Card, Any], onnx.ModelProto]
    export = _from_keras if architecture.framework == "keras" else _from_torch
    try:
        if architecture.framework == "torch" and architecture.builder is None:
            network, export = read_program(weights), _from_program
        else:
            network = load_network(architecture, weights)
    except (WeightsMismatch, UnsafeFile, ValueError) as error:
        raise ModelNotBuilt(f"{card.name}: {error}") from error
    except (OSError, SafetensorError) as error:
        raise ModelNotBuilt(f"{card.name}: {weights.name} cannot be read: {error}") from error
    try:
        return export(card, network)
    except Exception as error:
        # Of an operator without a counterpart; exporters raise whatever they like.
        raise ModelNotBuilt(f"{card.name} cannot be exported to ONNX: {error}") from error


def _from_torch(card: Card, module: Any) -> onnx.ModelProto:
    import torch

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


def _from_program(_: Card, exported: Any) -> onnx.ModelProto:
    import torch

    # In core operators: attention, say, has an ONNX form for four axes only.
    program = torch.onnx.export(exported.run_decompositions(), dynamo=True, verbose=False)
    assert program is not None  # only without dynamo
    graph = program.model_proto
    rename_value(graph, graph.graph.input[0].name, "input")
    rename_value(graph, graph.graph.output[0].name, "logits")
    return graph


def _from_keras(card: Card, model: Any) -> onnx.ModelProto:
    import keras
    import numpy as np

    shape = card.preprocess.shape
    # Keras refuses to export a model that it has never called.
    model(np.zeros((1, *shape), np.float32), training=False)
    signature = [keras.InputSpec(shape=(None, *shape), dtype="float32", name="input")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        model.export(str(path), format="onnx", input_signature=signature, verbose=False)
        graph = onnx.load_model(path)
    rename_value(graph, graph.graph.input[0].name, "input")
    rename_value(graph, graph.graph.output[0].name, "logits")
    return graph
