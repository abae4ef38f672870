"""What follows the last convolution of a torch network: planes are pooled and weighed up."""

from torch import nn


def with_head(features: nn.Module, planes: int, outputs: int, dropout: float) -> nn.Module:
    """A network of convolutions and a head: the mean of each plane goes to one dense layer.

    Args:
        features: from inputs to planes `(N, planes, H, W)`.
        planes: of the last convolution.
        outputs: logits.
        dropout: share of the pooled features that training hides.

    Returns:
        A module to logits `(N, outputs)`; `features` and `classifier` are its parts with weights.
    """
    network = nn.Sequential()
    network.add_module("features", features)
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("dropout", nn.Dropout(dropout))
    network.add_module("classifier", nn.Linear(planes, outputs))
    return network
