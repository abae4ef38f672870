"""Gradient copies that are no network: a closed form, and one that tells what it was asked."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from explain_service.gradient.loading import NoCopy
from explain_service.gradient.model import GradientModel, Head
from explain_service.run_control import RunControl
from pellucid.tensors import FloatArray


class FlatGradients:
    """Logits that are 0 everywhere, with gradients of `value`, whatever is asked."""

    chunk = 4

    def __init__(self, labels: int = 2, value: float = 1.0) -> None:
        self._labels = labels
        self._value = value

    def logits(self, inputs: FloatArray) -> FloatArray:
        return np.zeros((len(inputs), self._labels), np.float32)

    def gradients(self, inputs: FloatArray, heads: Sequence[Head]) -> FloatArray:
        return np.full((len(heads), *inputs.shape), self._value, np.float32)

    def layer_cam(self, inputs: FloatArray, layer: str, head: Head) -> FloatArray:
        return np.full((3, 4), self._value, np.float32)


class WatchedGradients:
    """Another copy, which tells how many inputs are differentiated at once."""

    def __init__(self, model: GradientModel, told: Callable[[int], object]) -> None:
        self._model = model
        self._told = told
        self.chunk = model.chunk
        self.logits = model.logits
        self.layer_cam = model.layer_cam

    def gradients(self, inputs: FloatArray, heads: Sequence[Head]) -> FloatArray:
        self._told(len(inputs))
        return self._model.gradients(inputs, heads)


class OneCopy:
    """Has one copy for every model, or none and a reason."""

    def __init__(self, reason: str = "") -> None:
        self._model = FlatGradients()
        self._reason = reason

    def unavailable(self, model: Any) -> str:
        return self._reason

    def parity(self, model: Any) -> None:
        return None

    def checked(self, model: Any, control: RunControl) -> GradientModel:
        if self._reason:
            raise NoCopy(self._reason)
        return self._model
