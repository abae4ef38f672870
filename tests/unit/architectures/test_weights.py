"""Weights survive their file, and a file that does not fit is refused by name."""

import keras
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pellucid.architectures.weights import (
    WeightsMismatch,
    load_keras,
    load_torch,
    save_arrays,
    save_keras,
    save_torch,
)


def keras_model() -> keras.Model:
    x = keras.Input((3,))
    y = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(x, keras.layers.Dense(2, name="logits")(y))


def torch_module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_keras_weights_are_float16_in_the_file_and_float32_in_the_model(tmp_path):
    path, model, other = tmp_path / "weights.safetensors", keras_model(), keras_model()
    save_keras(model, path)
    stored = load_file(path)
    assert {"logits/kernel", "norm/moving_variance"} < set(stored)
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float16)}
    load_keras(other, path)
    for weight in other.weights:
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight, stored[weight.path].astype(np.float32))


def test_torch_weights_come_back_without_the_batch_counter(tmp_path):
    path, module, other = tmp_path / "weights.safetensors", torch_module(), torch_module()
    save_torch(module, path)
    assert "1.num_batches_tracked" not in load_file(path)
    load_torch(other, path)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(value, module.state_dict()[key], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda arrays: arrays.pop("0.bias"), "missing: 0.bias"),
        (lambda arrays: arrays.update(extra=np.zeros(1, np.float16)), "unexpected: extra"),
        (lambda arrays: arrays.update({"0.bias": np.zeros(7, np.float16)}), "another shape"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, change, text):
    path = tmp_path / "weights.safetensors"
    save_torch(torch_module(), path)
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    with pytest.raises(WeightsMismatch, match=text):
        load_torch(torch_module(), path)


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_a_value_that_float16_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(WeightsMismatch, match="scale"):
        save_arrays({"scale": np.array([value], np.float32)}, tmp_path / "weights.safetensors")
