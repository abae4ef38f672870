"""ResNet-18 for radiographs (arXiv:1512.03385), as MONAI builds it."""

from monai.networks.nets.resnet import resnet18 as monai_resnet18
from torch import nn


def resnet18(*, channels: int, outputs: int) -> nn.Module:
    """Build an untrained ResNet-18.

    Args:
        channels: planes of the input, 1 for a radiograph.
        outputs: logits of the last layer.

    Returns:
        A module from float32 `(N, channels, H, W)` to logits `(N, outputs)`. Grad-CAM's usual
        layer is `layer4` (512 planes at 1/32 of the size).
    """
    module: nn.Module = monai_resnet18(
        spatial_dims=2, n_input_channels=channels, num_classes=outputs, conv1_t_stride=2
    )
    return module
