"""MobileNetV2 (arXiv:1801.04381) for spectrograms, as Keras builds it."""

import keras

from pellucid.architectures.keras_head import Pool, head
from pellucid.architectures.keras_layers import BATCH_NORMALISATION_MOMENTUM


def mobilenet_v2(
    *,
    height: int,
    width: int,
    outputs: int,
    channels: int = 1,
    alpha: float = 0.5,
    dropout: float = 0.3,
    pool: Pool = "all",
) -> keras.Model:
    """Build an untrained MobileNetV2.

    Args:
        height: rows of the input: mel bands, the lowest first.
        width: columns of the input: frames.
        outputs: logits of the last layer, named `logits`.
        channels: planes of the input.
        alpha: width multiplier of every layer.
        dropout: share of the pooled features that training hides.
        pool: how planes become features; see `keras_head`.

    Returns:
        A flat functional model from float32 `(N, height, width, channels)` to logits
        `(N, outputs)`. Grad-CAM's usual layer is `out_relu` (1/32 of the size);
        `block_13_expand_relu` has 1/16.
    """
    base = keras.applications.MobileNetV2(
        input_tensor=keras.Input((height, width, channels), name="input"),
        alpha=alpha,
        include_top=False,
        weights=None,
    )
    logits = head(base.output, outputs, dropout, pool)
    model = keras.Model(base.inputs[0], logits, name="mobilenet_v2")
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        layer.momentum = BATCH_NORMALISATION_MOMENTUM
        if layer.name.replace("_project_BN", "_add") in names - {layer.name}:
            # A residual block starts as the identity (arXiv:1706.02677, section 5.1): without it
            # the gradients of a random network this deep are noise for hundreds of steps.
            layer.gamma.assign(keras.ops.zeros_like(layer.gamma))
    return model
