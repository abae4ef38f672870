"""The training loop of the speech model: one run that can stop anywhere and go on.

A run's state is arrays alone, so that a checkpoint is a safetensors file and changing the length
of the crops is the same as resuming.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

Floats = NDArray[np.float32]
State = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Stage:
    """A run of epochs at one length of the crops."""

    frames: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """What a training does; the card of a model says how far its weights went with it."""

    stages: tuple[Stage, ...] = (Stage(63, 50), Stage(126, 8))
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warm_up: float = 0.05
    """Share of all steps over which the learning rate rises."""
    smoothing: float = 0.05
    origin_weight: float = 0.5
    """Weight of the second task, naming the engine or source of a clip; it is not kept."""
    ema_decay: float = 0.995
    clip_norm: float = 1.0

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def frames(self, epoch: int) -> int:
        """Length of the crops in an epoch, counted from 0."""
        return [stage.frames for stage in self.stages for _ in range(stage.epochs)][epoch]


class Build(Protocol):
    """Builds the network for crops of some length; the same weights fit every length.

    The network has a layer `dropout`, the last before the logits.
    """

    def __call__(self, frames: int) -> keras.Model:
        """Give an untrained network from `(N, n_mels, frames, 1)` to logits."""


class Run:
    """One training: the weights, their moving average, the optimizer, and where they are kept."""

    def __init__(
        self, build: Build, recipe: Recipe, *, origins: int, steps: int, folder: Path, seed: int
    ) -> None:
        """Start from random weights, or go on from the checkpoint in `folder`.

        Args:
            build: says which network.
            recipe: says how it is trained.
            origins: engines and sources that the second task tells apart.
            steps: steps of an epoch.
            folder: keeps `checkpoint.safetensors`, `curves.jsonl` and `best.safetensors`.
            seed: of the initial weights and of the dropout.

        Raises:
            ValueError: the checkpoint is of another recipe or seed.
        """
        keras.utils.set_random_seed(seed)
        self._network, self._recipe, self._folder, self._seed = build, recipe, folder, seed
        self._origins, self._steps = origins, steps
        self.epoch, self.best = 0, -1.0
        self._checkpoint = folder / "checkpoint.safetensors"
        self._made_by = {"made_by": repr((recipe, seed))}
        state: State = {}
        if self._checkpoint.exists():
            state = self._read_checkpoint()
            self.epoch, self.best = int(state.pop("epoch")), float(state.pop("best"))
        self._build(recipe.frames(min(self.epoch, recipe.epochs - 1)))
        if state:
            self._restore(state)

    def start_epoch(self) -> int:
        """Fit the network to the epoch's crops; give their length."""
        frames = self._recipe.frames(self.epoch)
        if self._model.input_shape[2] != frames:
            state = self._state()
            self._build(frames)
            self._restore(state)
        # Epochs are the same whether or not the run was interrupted before them.
        self._model.get_layer("dropout").seed_generator.state.assign([self._seed, self.epoch])
        return frames

    def step(self, x: Floats, targets: Floats) -> float:
        """Take one step; give the loss of the first task.

        Args:
            x: inputs `(N, n_mels, frames)`.
            targets: shares of the labels, then of the origins, `(N, labels + origins)`.
        """
        return float(self._step(tf.constant(x[..., None]), tf.constant(targets)))

    def averaged(self) -> list[Floats]:
        """The averaged weights, in Keras' order."""
        return [np.asarray(value) for value in self._average]

    def finish_epoch(self, loss: float, auc: float) -> None:
        """Write the checkpoint, a line of the curves and, where they are best, the weights.

        Only epochs on whole windows can be best: the earlier ones saw another kind of input.
        """
        frames = self._recipe.frames(self.epoch)
        if frames == self._recipe.stages[-1].frames and auc > self.best:
            self.best = auc
            paths = [weight.path for weight in self._model.weights]
            save_file(dict(zip(paths, self.averaged(), strict=True)), self.best_weights)
        line = {"epoch": self.epoch + 1, "frames": frames, "loss": loss, "val_auc": auc}
        with open(self._folder / "curves.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.epoch += 1
        new = self._checkpoint.with_suffix(".new")
        progress = {"epoch": np.array(self.epoch), "best": np.array(self.best)}
        save_file({**self._state(), **progress}, new, metadata=self._made_by)
        new.replace(self._checkpoint)

    @property
    def best_weights(self) -> Path:
        """The averaged weights of the best epoch, as float32."""
        return self._folder / "best.safetensors"

    def _read_checkpoint(self) -> State:
        with safe_open(self._checkpoint, "numpy") as file:
            if file.metadata() != self._made_by:
                raise ValueError(f"{self._checkpoint} is of another recipe or seed: remove it")
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping

    def _build(self, frames: int) -> None:
        recipe = self._recipe
        steps = self._steps * recipe.epochs
        self._model = self._network(frames)
        features = self._model.get_layer("dropout").output
        origin = keras.layers.Dense(self._origins, name="origin")(features)
        self._pupil = keras.Model(self._model.input, [self._model.output, origin])
        self._average = [tf.Variable(weight.numpy()) for weight in self._model.weights]
        schedule = keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 100,
            decay_steps=round(steps * (1 - recipe.warm_up)),
            warmup_target=recipe.learning_rate,
            warmup_steps=round(steps * recipe.warm_up),
        )
        self._optimizer = keras.optimizers.AdamW(
            schedule, weight_decay=recipe.weight_decay, global_clipnorm=recipe.clip_norm
        )
        self._optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self._optimizer.build(self._pupil.trainable_variables)
        self._step = self._compile()

    def _compile(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        model, pupil, optimizer, average = self._model, self._pupil, self._optimizer, self._average
        recipe, labels = self._recipe, model.output_shape[1]
        loss_of = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.smoothing
        )

        def step(x: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits, origins = pupil(x, training=True)
                loss = loss_of(targets[:, :labels], logits)
                second = loss_of(targets[:, labels:], origins)
                total = loss + recipe.origin_weight * second
            optimizer.apply(
                tape.gradient(total, pupil.trainable_variables), pupil.trainable_variables
            )
            # The average follows quickly at first, so that it soon forgets the random start.
            count = tf.cast(optimizer.iterations.value, tf.float32)
            decay = tf.minimum(recipe.ema_decay, (1 + count) / (10 + count))
            for mean, weight in zip(average, model.weights, strict=True):
                mean.assign_sub((1 - decay) * (mean - weight.value))
            return loss

        compiled: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.function(step)
        return compiled

    def _variables(self) -> dict[str, tf.Variable]:
        parts = {
            "model": self._pupil.weights,
            "average": self._average,
            "optimizer": self._optimizer.variables,
        }
        return {
            f"{part}.{number:03}": variable
            for part, variables in parts.items()
            for number, variable in enumerate(variables)
        }

    def _state(self) -> State:
        return {key: np.asarray(variable) for key, variable in self._variables().items()}

    def _restore(self, state: State) -> None:
        for key, variable in self._variables().items():
            variable.assign(state[key])
