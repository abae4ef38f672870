"""Which layers of a Keras network a stage of a training changes, and how fast."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.callbacks import Callback
from keras.optimizers.schedules import LearningRateSchedule

from training.recipe import LastLayers, Recipe, Stage


class SharedRates(LearningRateSchedule):  # type: ignore[misc]
    """A schedule of which each epoch takes a share."""

    def __init__(self, schedule: LearningRateSchedule, shares: Sequence[float], steps: int) -> None:
        """Take `shares` of a schedule, an epoch of `steps` each."""
        self._schedule, self._shares, self._steps = schedule, shares, steps

    def __call__(self, step: Any) -> Any:
        """Learning rate of a step."""
        epoch = tf.minimum(tf.cast(step, tf.int32) // self._steps, len(self._shares) - 1)
        return self._schedule(step) * tf.gather(tf.constant(self._shares, tf.float32), epoch)

    def get_config(self) -> dict[str, Any]:
        """What it was made of."""
        return {"schedule": self._schedule, "shares": self._shares, "steps": self._steps}


class Freeze(Callback):  # type: ignore[misc]
    """Lets only the layers of a stage change; in the others normalisation keeps its statistics."""

    def __init__(self, recipe: Recipe) -> None:
        """Follow the stages of a recipe."""
        super().__init__()
        self._recipe = recipe
        self._last: Stage | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Freeze; another stage needs another graph."""
        stage = self._recipe.stage(epoch)
        layers = list(layers_of(self.model))
        chosen = _chosen(layers, stage)
        for layer in layers:
            layer.trainable = any(layer is each for each in chosen)
        if stage != self._last:
            self.model.make_train_function(force=True)
        self._last = stage


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Layers that have weights, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        elif layer.weights:
            yield layer


def _chosen(layers: Sequence[keras.Layer], stage: Stage) -> Sequence[keras.Layer]:
    if isinstance(stage.trained, LastLayers):
        return layers[-stage.trained.last :]
    if stage.trained == "all":
        return layers
    return [layer for layer in layers if isinstance(layer, keras.layers.Dense)][-1:]
