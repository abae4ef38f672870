"""What follows the last convolution of a Keras network: planes are pooled and weighed up."""

from typing import Final, Literal, TypeAlias

import keras

Pool: TypeAlias = Literal["all", "time"]
"""`all`: the mean of each plane. `time`: mean and standard deviation along the columns of each row
of each plane, as speaker recognition pools (doi:10.21437/Interspeech.2017-620): a network that has
to tell at which frequency something is keeps the rows apart."""
_LEAST: Final = 1e-5


def head(x: keras.KerasTensor, outputs: int, dropout: float, pool: Pool) -> keras.KerasTensor:
    """Logits `(N, outputs)` of planes `(N, H, W, C)`; the last layer is named `logits`.

    Args:
        x: planes.
        outputs: logits.
        dropout: share of the pooled features that training hides.
        pool: how the planes become features.

    Raises:
        ValueError: there is no such way to pool.
    """
    if pool == "all":
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    elif pool == "time":
        mean = keras.ops.mean(x, axis=2)
        variance = keras.ops.mean(x * x, axis=2) - mean * mean
        deviation = keras.ops.sqrt(keras.ops.relu(variance) + _LEAST)
        x = keras.layers.Flatten(name="pool")(keras.ops.concatenate([mean, deviation], axis=-1))
    else:
        raise ValueError(f"pool is {pool!r}, choose `all` or `time`")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(outputs, name="logits")(x)
