"""A small convolutional network for small pictures in torch."""

from torch import nn

from pellucid.architectures.torch_head import with_head


def small_cnn(
    *, channels: int, outputs: int, width: int = 32, blocks: int = 3, dropout: float = 0.3
) -> nn.Module:
    """Build an untrained network of `blocks` pairs of convolutions, each half as wide and high.

    Args:
        channels: planes of the input: 1 grey, 3 RGB.
        outputs: logits of the last layer.
        width: planes of the first block; each later one has twice as many.
        blocks: how often the sides are halved.
        dropout: share of the pooled features that training hides.

    Returns:
        A module from float32 `(N, channels, H, W)`, sides of at least `2 ** blocks`, to logits
        `(N, outputs)`. Grad-CAM's usual layer is the last block's `relu2`, e.g.
        `features.block3.relu2`, before its pooling.
    """
    features = nn.Sequential()
    inputs = channels
    for number in range(1, blocks + 1):
        block = nn.Sequential()
        for half in (1, 2):
            block.add_module(f"conv{half}", nn.Conv2d(inputs, width, 3, padding=1, bias=False))
            block.add_module(f"norm{half}", nn.BatchNorm2d(width))
            block.add_module(f"relu{half}", nn.ReLU())
            inputs = width
        block.add_module("pool", nn.MaxPool2d(2))
        features.add_module(f"block{number}", block)
        width *= 2
    return with_head(features, inputs, outputs, dropout)
