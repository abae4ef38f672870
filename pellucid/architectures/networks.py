"""From a card's architecture and its file to a network with its weights."""

from pathlib import Path
from typing import Any

from pellucid.architectures import build
from pellucid.cards import Architecture


def load_network(architecture: Architecture, path: Path) -> Any:
    """Load a network, whoever made it; code in the file is not run.

    Args:
        architecture: names the builder that the weights fit, or none where the file is the network.
        path: safetensors; without a builder `.pt2`, `.keras` or `.onnx`, as the framework says.

    Returns:
        A `torch.nn.Module`, or for framework `keras` a `keras.Model`.

    Raises:
        ValueError: the architecture cannot be built.
        WeightsMismatch: the weights do not fit it.
        UnsafeFile: the file could run code, or is not of its format.
        ImportError: the framework is not installed.
    """
    if architecture.builder is not None:
        return _built(architecture, path)
    if architecture.framework == "torch":
        from pellucid.architectures.exported_program import load_program

        return load_program(path)
    if architecture.framework == "keras":
        from pellucid.architectures.keras_file import load_keras_file

        return load_keras_file(path)
    from pellucid.architectures.onnx_copy import load_onnx

    return load_onnx(path)


def _built(architecture: Architecture, path: Path) -> Any:
    from pellucid.architectures.weights import load_keras, load_torch

    network = build(architecture)
    load = load_torch if architecture.framework == "torch" else load_keras
    load(network, path)
    return network
