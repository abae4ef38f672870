"""ResNet-18 and -34 (arXiv:1512.03385) for spectrograms, in Keras."""

import keras

from pellucid.architectures.keras_head import Pool, head
from pellucid.architectures.keras_layers import BATCH_NORMALISATION_MOMENTUM

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage, by the number of layers."""


def residual_network(
    *,
    height: int,
    width: int,
    outputs: int,
    channels: int = 1,
    layers: int = 18,
    planes: int = 64,
    dropout: float = 0.3,
    pool: Pool = "all",
) -> keras.Model:
    """Build an untrained ResNet of two convolutions a block.

    Args:
        height: rows of the input: mel bands, the lowest first, or pixels.
        width: columns of the input: frames, or pixels.
        outputs: logits of the last layer, named `logits`.
        channels: planes of the input.
        layers: 18 or 34.
        planes: of the first stage; each later one has twice as many. 2.8 million weights at 32 and
            18 layers, 11.2 at 64.
        dropout: share of the pooled features that training hides.
        pool: how planes become features; see `keras_head`.

    Returns:
        A flat functional model from float32 `(N, height, width, channels)` to logits
        `(N, outputs)`. Grad-CAM's usual layer is `stage4_block2_out` (1/32 of the size).

    Raises:
        ValueError: there is none of so many layers.
    """
    if layers not in _BLOCKS:
        raise ValueError(f"layers is {layers}, choose one of {sorted(_BLOCKS)}")
    inputs = keras.Input((height, width, channels), name="input")
    x = _convolution(inputs, planes, 7, 2, "stem")
    x = keras.layers.ReLU(name="stem_out")(x)
    x = keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    for stage, blocks in enumerate(_BLOCKS[layers], start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _block(x, planes * 2 ** (stage - 1), stride, f"stage{stage}_block{block}")
    return keras.Model(inputs, head(x, outputs, dropout, pool), name=f"resnet{layers}")


def _block(x: keras.KerasTensor, planes: int, stride: int, name: str) -> keras.KerasTensor:
    y = keras.layers.ReLU(name=f"{name}_middle")(_convolution(x, planes, 3, stride, f"{name}_a"))
    # A block starts as the identity (arXiv:1706.02677, section 5.1).
    y = _convolution(y, planes, 3, 1, f"{name}_b", scale="zeros")
    if stride > 1 or x.shape[-1] != planes:
        x = _convolution(x, planes, 1, stride, f"{name}_way")
    return keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([x, y]))


def _convolution(
    x: keras.KerasTensor, planes: int, kernel: int, stride: int, name: str, scale: str = "ones"
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        planes,
        kernel,
        stride,
        "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(
        momentum=BATCH_NORMALISATION_MOMENTUM, gamma_initializer=scale, name=f"{name}_norm"
    )(x)
