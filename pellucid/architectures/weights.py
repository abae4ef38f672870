"""Weights as safetensors: float16 in the file, float32 in the network.

The file's keys are torch's `state_dict` names or Keras' weight paths. The framework is imported
only by the functions that need it, so that a torch service does not load tensorflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

if TYPE_CHECKING:
    import keras
    from torch import nn

Arrays = Mapping[str, NDArray[np.float32]]

_UNSTORED = "num_batches_tracked"
"""Counters of torch's batch normalisation; inference does not read them."""


class WeightsMismatch(Exception):
    """A weights file does not fit the network, or a network's weights do not fit the file."""


def is_stored(key: str) -> bool:
    """Whether a value of this name is a weight, and not a counter of the training."""
    return not key.endswith(_UNSTORED)


def save_arrays(arrays: Arrays, path: Path) -> None:
    """Write weights as float16.

    Raises:
        WeightsMismatch: a value is not finite, or is too large for float16.
    """
    with np.errstate(over="ignore"):
        halves = {key: np.ascontiguousarray(array, np.float16) for key, array in arrays.items()}
    if bad := [key for key, array in halves.items() if not np.isfinite(array).all()]:
        raise WeightsMismatch(f"not representable as float16: {_some(bad)}")
    write_arrays(halves, path)


def write_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write contiguous arrays as they are; whoever may read the folder may read the file."""
    # Not `save_file`, whose files are for this user alone.
    path.write_bytes(save(dict(arrays)))


def load_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read weights as float32."""
    return {key: array.astype(np.float32) for key, array in load_file(path).items()}


def save_keras(model: keras.Model, path: Path) -> None:
    """Write a Keras model's weights as float16, keyed by weight path."""
    save_arrays({weight.path: np.asarray(weight) for weight in model.weights}, path)


def load_keras(model: keras.Model, path: Path) -> None:
    """Fill a Keras model with the weights of a file.

    Raises:
        WeightsMismatch: a weight is missing, unexpected or of another shape.
    """
    arrays = load_arrays(path)
    _check({weight.path: tuple(weight.shape) for weight in model.weights}, arrays, path)
    for weight in model.weights:
        weight.assign(arrays[weight.path])


def save_torch(module: nn.Module, path: Path) -> None:
    """Write a torch module's weights as float16, keyed by `state_dict` name."""
    save_arrays(
        {
            key: value.detach().cpu().numpy()
            for key, value in module.state_dict().items()
            if is_stored(key)
        },
        path,
    )


def load_torch(module: nn.Module, path: Path) -> None:
    """Fill a torch module with the weights of a file.

    Raises:
        WeightsMismatch: a weight is missing, unexpected or of another shape.
    """
    import torch

    arrays = load_arrays(path)
    stored = {key: value for key, value in module.state_dict().items() if is_stored(key)}
    _check({key: tuple(value.shape) for key, value in stored.items()}, arrays, path)
    module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, strict=False)


def _check(shapes: Mapping[str, tuple[int, ...]], arrays: Arrays, path: Path) -> None:
    differing = [key for key in shapes if key in arrays and arrays[key].shape != shapes[key]]
    problems = {
        "missing": sorted(set(shapes) - set(arrays)),
        "unexpected": sorted(set(arrays) - set(shapes)),
        "of another shape": differing,
    }
    if text := "; ".join(f"{name}: {_some(keys)}" for name, keys in problems.items() if keys):
        raise WeightsMismatch(f"{path.name} does not fit the network: {text}")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
