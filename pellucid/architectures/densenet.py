"""DenseNet-121 for single-channel radiographs (arXiv:1608.06993), as MONAI builds it."""

from monai.networks.nets.densenet import DenseNet121
from torch import nn


def densenet121(*, channels: int, outputs: int) -> nn.Module:
    """Build an untrained DenseNet-121.

    Args:
        channels: planes of the input, 1 for a radiograph.
        outputs: logits of the last layer.

    Returns:
        A module from float32 `(N, channels, H, W)` to logits `(N, outputs)`. Grad-CAM's usual
        layer is `features` (its last batch normalisation, 1,024 planes at 1/32 of the size).
    """
    return DenseNet121(spatial_dims=2, in_channels=channels, out_channels=outputs)
