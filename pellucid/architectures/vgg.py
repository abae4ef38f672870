"""VGG16's thirteen convolutions (arXiv:1409.1556) with a pooling head, in Keras.

The original's dense layers hold nine tenths of its weights. Here the mean of each plane goes to one
dense layer, and each convolution is followed by a batch normalisation, so that the network learns
from random weights.
"""

import keras

from pellucid.architectures.keras_head import Pool, head
from pellucid.architectures.keras_layers import BATCH_NORMALISATION_MOMENTUM

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Planes and convolutions of each block."""


def vgg16(
    *,
    height: int,
    width: int,
    outputs: int,
    channels: int = 1,
    alpha: float = 0.5,
    dropout: float = 0.3,
    pool: Pool = "all",
) -> keras.Model:
    """Build an untrained VGG16 with a pooling head.

    Args:
        height: rows of the input: mel bands, the lowest first, or pixels.
        width: columns of the input: frames, or pixels.
        outputs: logits of the last layer, named `logits`.
        channels: planes of the input.
        alpha: width multiplier of every layer; 3.7 million weights at 0.5, 14.7 at 1.
        dropout: share of the pooled features that training hides.
        pool: how planes become features; see `keras_head`.

    Returns:
        A flat functional model from float32 `(N, height, width, channels)` to logits
        `(N, outputs)`. Grad-CAM's usual layer is `block5_relu3` (1/16 of the size).
    """
    inputs = x = keras.Input((height, width, channels), name="input")
    for block, (planes, convolutions) in enumerate(_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            x = keras.layers.Conv2D(
                round(planes * alpha),
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=f"block{block}_conv{number}",
            )(x)
            x = keras.layers.BatchNormalization(
                momentum=BATCH_NORMALISATION_MOMENTUM, name=f"block{block}_norm{number}"
            )(x)
            x = keras.layers.ReLU(name=f"block{block}_relu{number}")(x)
        if block < len(_BLOCKS):
            x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, head(x, outputs, dropout, pool), name="vgg16")
