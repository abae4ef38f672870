"""EfficientNetV2-B0 (arXiv:2104.00298) for spectrograms, as Keras builds it."""

import keras

from pellucid.architectures.keras_head import head
from pellucid.architectures.keras_layers import BATCH_NORMALISATION_MOMENTUM


def efficientnet_v2(
    *,
    height: int,
    width: int,
    outputs: int,
    channels: int = 1,
    dropout: float = 0.3,
) -> keras.Model:
    """Build an untrained EfficientNetV2-B0, at most 5.9 million weights.

    Args:
        height: rows of the input: mel bands, the lowest first, or pixels.
        width: columns of the input: frames, or pixels.
        outputs: logits of the last layer, named `logits`.
        channels: planes of the input.
        dropout: share of the pooled features that training hides.

    Returns:
        A flat functional model from float32 `(N, height, width, channels)` to logits
        `(N, outputs)`. Grad-CAM's usual layer is `top_activation` (1/32 of the size).
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
        elif isinstance(layer, keras.layers.Dropout):
            # Blocks left out at random keep a small set from being learnt.
            layer.rate = 0.0
    logits = head(base.output, outputs, dropout, "all")
    return keras.Model(base.inputs[0], logits, name="efficientnet_v2")
