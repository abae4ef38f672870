"""How fast a stage of a training changes a Keras network."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule


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
