"""The layers of a Keras model by name, those of models inside it too."""

from collections.abc import Iterator

import keras


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Every layer with its path: that of a model inside a model is `inner/layer`."""
    for layer in model.layers:
        yield prefix + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
