"""EfficientNet-Lite (arXiv:1905.11946 without squeeze-and-excitation, with ReLU6) in torch.

Convolutions of stride 2 pad below and on the right alone, as TensorFlow does, so that the published
ImageNet weights fit; that holds for inputs whose sides are multiples of 32.
"""

import math
from collections.abc import Iterator

from torch import Tensor, nn

from pellucid.architectures.torch_head import with_head

_STAGES = (
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Width and depth of each variant."""
_STEM, _HEAD = 32, 1280
"""Channels of the first and the last convolution; no variant widens them."""


def efficientnet_lite(
    *, variant: int = 0, channels: int, outputs: int, dropout: float = 0.2
) -> nn.Module:
    """Build an untrained EfficientNet-Lite.

    Args:
        variant: 0, 1 or 2: 3.4, 4.1 or 4.8 million weights.
        channels: planes of the input, 1 for a radiograph.
        outputs: logits of the last layer.
        dropout: share of the pooled features that training hides.

    Returns:
        A module from float32 `(N, channels, H, W)` to logits `(N, outputs)`. Grad-CAM's usual layer
        is `features.head` (1,280 planes at 1/32 of the size).

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in _SCALES:
        raise ValueError(f"variant is {variant}, choose one of {sorted(_SCALES)}")
    features = nn.Sequential()
    features.add_module("stem", _convolution(channels, _STEM, 3, stride=2))
    last = _STEM
    for number, block in enumerate(_blocks(*_SCALES[variant])):
        features.add_module(f"block{number}", block)
        last = block.outputs
    features.add_module("head", _convolution(last, _HEAD, 1))
    return with_head(features, _HEAD, outputs, dropout)


class _InvertedBottleneck(nn.Module):
    """Widen, filter each plane, narrow; with a way round where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.outputs = outputs
        wide = inputs * expansion
        self.path = nn.Sequential()
        if expansion > 1:
            self.path.add_module("expand", _convolution(inputs, wide, 1))
        self.path.add_module("filter", _convolution(wide, wide, kernel, stride=stride, groups=wide))
        self.path.add_module("project", _convolution(wide, outputs, 1, active=False))
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.path(x)
        return x + y if self._residual else y


def _blocks(width: float, depth: float) -> Iterator[_InvertedBottleneck]:
    inputs = _STEM
    for number, (expansion, channels, blocks, stride, kernel) in enumerate(_STAGES):
        outputs = _rounded(channels * width)
        fixed = number in (0, len(_STAGES) - 1)
        for repeat in range(blocks if fixed else math.ceil(blocks * depth)):
            step = stride if repeat == 0 else 1
            yield _InvertedBottleneck(inputs, outputs, expansion, kernel, step)
            inputs = outputs


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    before = (kernel - stride) // 2
    layers = nn.Sequential()
    if stride > 1:
        after = kernel - stride - before
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    padding = 0 if stride > 1 else before
    layers.add_module(
        "convolution",
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
    )
    layers.add_module("norm", nn.BatchNorm2d(outputs, eps=1e-3))
    if active:
        layers.add_module("relu", nn.ReLU6())
    return layers


def _rounded(channels: float) -> int:
    """To a multiple of 8, never by more than a tenth downwards."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
