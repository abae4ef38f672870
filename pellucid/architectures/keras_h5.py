"""Keras' older `.h5` files: a whole model, or the weights of one."""

import json
from pathlib import Path
from typing import Any

from pellucid.architectures import build
from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.keras_file import check_config, check_weights, keras_errors
from pellucid.cards import Architecture


def load_h5_model(path: Path) -> Any:
    """Load a whole model; its layers are checked first, as safe mode does not hold for `.h5`.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        UnsafeFile: it holds other things than Keras' own layers, or no model.
    """
    import h5py
    import keras

    with keras_errors(path):
        with h5py.File(path, "r") as file:
            check_weights(path.name, file)
            stored = file.attrs.get("model_config")
        if stored is None:
            raise UnsafeFile(
                f"{path.name} holds weights only: name a builder under `architecture` in the "
                "card, or save the whole model as .keras"
            )
        check_config(path.name, json.loads(stored))
        return keras.saving.load_model(path, compile=False)


def load_h5_weights(architecture: Architecture, path: Path) -> Any:
    """Build a network and fill it with the weights of a `.h5` file.

    Raises:
        ValueError: the architecture cannot be built.
        UnsafeFile: the file is damaged, or its weights do not fit.
    """
    import h5py

    model = build(architecture)
    try:
        with h5py.File(path, "r") as file:
            check_weights(path.name, file)
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UnsafeFile(f"{path.name} does not fit {architecture.builder}: {error}") from error
    return model
