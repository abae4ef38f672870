"""Which layers of a torch network a stage of a training changes."""

from typing import Literal

from torch import nn

from training.recipe import LastLayers


def head_of(network: nn.Module) -> nn.Linear:
    """The last dense layer."""
    return [each for each in network.modules() if isinstance(each, nn.Linear)][-1]


def train_only(network: nn.Module, trained: Literal["all", "head"] | LastLayers) -> None:
    """Let some layers change; the others keep weights and statistics, whatever they are shown.

    Args:
        network: in training mode.
        trained: as a stage says.
    """
    layers = [each for each in network.modules() if any(True for _ in each.parameters(False))]
    if isinstance(trained, LastLayers):
        chosen: list[nn.Module] = layers[-trained.last :]
    else:
        chosen = layers if trained == "all" else [head_of(network)]
    for layer in layers:
        changes = any(layer is each for each in chosen)
        for parameter in layer.parameters(False):
            parameter.requires_grad_(changes)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train(changes)
