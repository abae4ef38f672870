"""What the layers of Keras models have in common, and how they are found by name."""

from collections.abc import Iterator
from typing import Final

import keras

BATCH_NORMALISATION_MOMENTUM: Final = 0.9
"""Keras' 0.999 needs some thousand steps to forget the first statistics; ours are soon right."""


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Every layer with its path: that of a model inside a model is `inner/layer`."""
    for layer in model.layers:
        yield prefix + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
