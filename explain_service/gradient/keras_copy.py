"""A copy in Keras on tensorflow; gradients by `GradientTape`.

Importing this module imports tensorflow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import keras
import numpy as np
import structlog
import tensorflow as tf

from explain_service.gradient.model import Head
from pellucid.architectures.keras_layers import named_layers
from pellucid.architectures.networks import load_network
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
        layers = dict(named_layers(model))
        if missing := [name for name in architecture.grad_cam_layers if name not in layers]:
            raise ValueError(f"{architecture.builder or 'the network'} has no layer {missing[0]!r}")
        model.trainable = False
        self._model = model
        self._layers = layers
        self._chunk = chunk
        self._lock = Lock()

    @classmethod
    def load(cls, architecture: Architecture, weights: Path, chunk: int) -> "KerasCopy":
        """Load a network; see `load_network`.

        Raises:
            ValueError: the architecture cannot be built, or lacks one of its layers.
            WeightsMismatch: the weights do not fit it.
            UnsafeFile: the file of the network may not be loaded, or cannot be.
        """
        return cls(architecture, load_network(architecture, weights), chunk)

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
            with (
                tf.GradientTape(watch_accessed_variables=False) as tape,
                _outputs(self._layers[layer]) as outputs,
            ):
                tape.watch(tensor)
                scores = _apply(head, self._model(tensor, training=False))
            activations = outputs[-1]
            gradients = tape.gradient(scores, activations)
        if activations.shape.rank != 4:
            raise ValueError(f"the output of layer {layer!r} has no rows and columns")
        weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        return _array(tf.reduce_sum(weights * activations, axis=3)[0])


@contextmanager
def _outputs(layer: keras.layers.Layer) -> Iterator[list[Any]]:
    """Collect what a layer puts out while the model runs, however deep it is inside."""
    call, found = layer.call, []

    def collecting(*args: Any, **kwargs: Any) -> Any:
        found.append(call(*args, **kwargs))
        return found[-1]

    layer.call = collecting
    try:
        yield found
    finally:
        layer.call = call


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
