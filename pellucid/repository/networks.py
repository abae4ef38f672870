"""What the repository asks of a network besides its export: logits, and its last convolution."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pellucid.architectures.networks import load_network
from pellucid.cards import Architecture
from pellucid.tensors import FloatArray


class Network(NamedTuple):
    """A network with its weights, of either framework."""

    framework: str
    module: Any
    """A `torch.nn.Module` or a `keras.Model`."""
    logits: Callable[[FloatArray], FloatArray]
    """Logits `(N, K)` of inputs `(N, *shape)`."""


def network_of(architecture: Architecture, path: Path) -> Network:
    """Load a network; raises what `load_network` does."""
    module = load_network(architecture, path)
    logits = _keras_logits(module) if architecture.framework == "keras" else _torch_logits(module)
    return Network(architecture.framework, module, logits)


def last_convolution(network: Network) -> str | None:
    """Name of the last layer that convolves, as Grad-CAM takes it; None where there is none."""
    if network.framework == "keras":
        from pellucid.architectures.keras_layers import named_layers

        layers = named_layers(network.module)
        found = [name for name, layer in layers if type(layer).__name__.endswith("Conv2D")]
    else:
        found = [name for name, layer in network.module.named_modules() if _is_convolution(layer)]
    return found[-1] if found else None


def _is_convolution(layer: Any) -> bool:
    from torch import nn

    if isinstance(layer, nn.Conv2d):
        return True
    # A layer of an exported program is a graph of its own.
    nodes = getattr(getattr(layer, "graph", None), "nodes", ())
    operators = [str(node.target) for node in nodes if node.op == "call_function"]
    return len(operators) == 1 and operators[0].startswith(("aten.conv2d", "aten.convolution"))


def _torch_logits(module: Any) -> Callable[[FloatArray], FloatArray]:
    import torch

    def logits(inputs: FloatArray) -> FloatArray:
        with torch.inference_mode():
            found: FloatArray = module(torch.from_numpy(inputs)).numpy()
            return found

    # An exported program is of evaluation already, and refuses to be told.
    if not hasattr(module, "module_call_graph"):
        module.eval()
    return logits


def _keras_logits(model: Any) -> Callable[[FloatArray], FloatArray]:
    return lambda inputs: np.asarray(model(inputs, training=False))
