"""A copy in Keras on tensorflow; gradients by `GradientTape`.

Importing this module imports tensorflow.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import keras
import numpy as np
import structlog
import tensorflow as tf

from explain_service.gradient.model import Head
from pellucid.architectures import build
from pellucid.architectures.weights import load_keras
from pellucid.cards import Activation, Architecture
from pellucid.tensors import FloatArray

log = structlog.get_logger(__name__)


class KerasCopy:
    """See `GradientModel`; arithmetic is float32."""

    def __init__(self, architecture: Architecture, model: keras.Model, chunk: int) -> None:
        """Take over a model that has its weights.

        Raises:
            ValueError: the network lacks one of the architecture's layers.
        """
        names = {layer.name for layer in model.layers}
        if missing := [name for name in architecture.grad_cam_layers if name not in names]:
            raise ValueError(f"{architecture.builder} has no layer {missing[0]!r}")
        model.trainable = False
        self._model = model
        self._with_layer = {
            name: keras.Model(model.inputs, [model.get_layer(name).output, model.outputs[0]])
            for name in architecture.grad_cam_layers
        }
        self._chunk = chunk
        self._lock = Lock()

    @classmethod
    def load(cls, architecture: Architecture, weights: Path, chunk: int) -> "KerasCopy":
        """Build a network and fill it.

        Raises:
            ValueError: the architecture cannot be built, or lacks one of its layers.
            WeightsMismatch: the weights do not fit it.
        """
        model = build(architecture)
        load_keras(model, weights)
        return cls(architecture, model, chunk)

    @property
    def chunk(self) -> int:
        """See `GradientModel`."""
        return self._chunk

    def logits(self, inputs: FloatArray) -> FloatArray:
        """See `GradientModel`."""
        starts = range(0, len(inputs), self._chunk)
        with self._lock:
            parts = [
                self._model(tf.convert_to_tensor(inputs[at : at + self._chunk]), training=False)
                for at in starts
            ]
            return _array(tf.concat(parts, axis=0))

    def gradients(self, inputs: FloatArray, heads: Sequence[Head]) -> FloatArray:
        """See `GradientModel`."""
        tensor = tf.convert_to_tensor(inputs)
        with self._lock:
            with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
                tape.watch(tensor)
                logits = self._model(tensor, training=False)
                found = [_apply(head, logits) for head in heads]
            return np.stack([_array(tape.gradient(one, tensor)) for one in found])

    def layer_cam(self, inputs: FloatArray, layer: str, head: Head) -> FloatArray:
        """See `GradientModel`."""
        tensor = tf.convert_to_tensor(inputs)
        with self._lock:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(tensor)
                activations, logits = self._with_layer[layer](tensor, training=False)
                scores = _apply(head, logits)
            gradients = tape.gradient(scores, activations)
        if activations.shape.rank != 4:
            raise ValueError(f"the output of layer {layer!r} has no rows and columns")
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        return _array(tf.reduce_sum(weights * activations, axis=3)[0])


def _apply(head: Head, logits: Any) -> Any:
    if head.activation is Activation.SOFTMAX:
        return tf.nn.softmax(logits, axis=1)[:, head.column]
    logit = head.sign * logits[:, head.column]
    return logit if head.activation is None else tf.sigmoid(logit)


def _array(tensor: Any) -> FloatArray:
    return np.ascontiguousarray(tensor.numpy(), dtype=np.float32)


def prepare(threads: int) -> None:
    """Fix the number of threads, and choose operations that always sum in one order."""
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        log.warning("tensorflow was in use before; its threads stay as they are")
