"""AlexNet's five convolutions (arXiv:1404.5997) with a pooling head in torch.

The original's three dense layers hold 96 % of its weights. Here the mean of each plane goes to one
dense layer, and each convolution is followed by a batch normalisation, without which the network
hardly learns from random weights.
"""

from torch import nn

from pellucid.architectures.torch_head import with_head


def alexnet(*, channels: int, outputs: int, dropout: float = 0.2) -> nn.Module:
    """Build an untrained AlexNet with a pooling head, 2.5 million weights.

    Args:
        channels: planes of the input, 1 for a radiograph.
        outputs: logits of the last layer.
        dropout: share of the pooled features that training hides.

    Returns:
        A module from float32 `(N, channels, H, W)`, sides of at least 63, to logits
        `(N, outputs)`. Grad-CAM's usual layer is `features.relu5` (256 planes, 13 x 13 at 224).
    """
    features = nn.Sequential()
    layers = (
        # outputs, kernel, stride, padding, whether it halves first
        (64, 11, 4, 2, False),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, True),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, False),
    )
    inputs = channels
    for number, (planes, kernel, stride, padding, halves) in enumerate(layers, start=1):
        if halves:
            features.add_module(f"pool{number}", nn.MaxPool2d(3, 2))
        features.add_module(
            f"conv{number}", nn.Conv2d(inputs, planes, kernel, stride, padding, bias=False)
        )
        features.add_module(f"norm{number}", nn.BatchNorm2d(planes))
        features.add_module(f"relu{number}", nn.ReLU())
        inputs = planes
    return with_head(features, inputs, outputs, dropout)
