"""The networks whose weights Pellucid ships, by name.

Nothing heavy is imported before a network is built, so the registry costs a service that never
builds one neither torch nor tensorflow.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pellucid.cards import Architecture

BUILDERS: Mapping[str, tuple[str, str]] = {
    "alexnet": ("torch", "pellucid.architectures.alexnet"),
    "densenet121": ("torch", "pellucid.architectures.densenet"),
    "efficientnet_lite": ("torch", "pellucid.architectures.efficientnet"),
    "efficientnet_v2": ("keras", "pellucid.architectures.efficientnet_v2"),
    "mobilenet_v2": ("keras", "pellucid.architectures.mobilenet"),
    "residual_network": ("keras", "pellucid.architectures.residual"),
    "resnet18": ("torch", "pellucid.architectures.resnet"),
    "small_cnn": ("torch", "pellucid.architectures.small_cnn"),
    "vgg16": ("keras", "pellucid.architectures.vgg"),
}
"""Framework and module of each builder; the function in the module has the builder's name."""


def build(architecture: Architecture) -> Any:
    """Build the untrained network that a card names.

    Returns:
        A `torch.nn.Module` or a `keras.Model`, as `architecture.framework` says.

    Raises:
        ValueError: no builder has this name, it is of another framework, or it does not take
            these arguments; the message names what would do.
    """
    name = architecture.builder
    if name is None or name not in BUILDERS:
        known = ", ".join(sorted(BUILDERS))
        raise ValueError(f"no architecture is called {name!r}; known: {known}")
    framework, module = BUILDERS[name]
    if framework != architecture.framework:
        raise ValueError(f"{name} is of {framework}, the card says {architecture.framework}")
    builder = getattr(import_module(module), name)
    try:
        return builder(**architecture.arguments)
    except TypeError as error:
        raise ValueError(f"the card's arguments of {name}: {error}") from error


__all__ = ["BUILDERS", "build"]
