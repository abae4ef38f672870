"""EfficientNetV2-B0 (arXiv:2104.00298) for spectrograms, as Keras builds it."""

import keras

from pellucid.architectures.keras_head import Pool, head
from pellucid.architectures.keras_layers import BATCH_NORMALISATION_MOMENTUM


def efficientnet_v2(
    *,
    height: int,
    width: int,
    outputs: int,
    channels: int = 1,
    dropout: float = 0.3,
    pool: Pool = "all",
) -> keras.Model:
    """Build an untrained EfficientNetV2-B0, at most 5.9 million weights.

    Args:
        height: rows of the input: mel bands, the lowest first, or pixels.
        width: columns of the input: frames, or pixels.
        outputs: logits of the last layer, named `logits`.
        channels: planes of the input.
        dropout: share of the pooled features that training hides.
        pool: how planes become features; see `keras_head`. `time` pools the last block, 192 planes:
            the 1,280 of the convolution after it would be more features than it can learn to weigh.

    Returns:
        A flat functional model from float32 `(N, height, width, channels)` to logits
        `(N, outputs)`. Grad-CAM's usual layer is `top_activation`, or `block6h_add` with `time`
        (1/32 of the size).
    """
    base = keras.applications.EfficientNetV2B0(
        input_tensor=keras.Input((height, width, channels), name="input"),
        include_top=False,
        weights=None,
        include_preprocessing=False,
    )
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORMALISATION_MOMENTUM
    last = base.get_layer("block6h_add").output if pool == "time" else base.output
    logits = head(last, outputs, dropout, pool)
    return keras.Model(base.inputs[0], logits, name="efficientnet_v2")
