"""Trainings of Keras networks on clips or pictures: Keras' own fit and callbacks have the loop."""

import csv
import json
import math
import shutil
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    LambdaCallback,
    ModelCheckpoint,
    SwapEMAWeights,
    TensorBoard,
)
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pellucid.architectures import build
from pellucid.architectures.weights import load_keras, save_keras
from pellucid.cards import Activation, Card
from pellucid.repository.folder import WEIGHTS
from training.class_weights import example_weights
from training.keras_rates import SharedRates
from training.places import Places
from training.recipe import Recipe, Stage
from training.weights import start_weights

Floats = NDArray[np.float32]
Shares = Floats | dict[str, Floats]
"""Of the labels `(N, K)`; or by the task: also of the origins."""
LOGITS, ORIGIN = "logits", "origin"
"""The task that is kept, and the second one that helps to learn it."""
BEST, LAST = "best.weights.h5", "last.safetensors"
CURVES, BACKUP, CHOSEN = "curves.csv", "backup", "chosen"


class EpochBatches(keras.utils.PyDataset, ABC):  # type: ignore[misc]
    """Batches of an epoch, the same whether or not the run was interrupted before it."""

    origins = 0
    """Classes of the second task; 0: there is none."""

    def __init__(self, recipe: Recipe, examples: int, weights: Floats | None = None) -> None:
        """Draw from so many examples, weighted by their labels as `class_weights` makes them."""
        super().__init__()
        self._weights = weights
        self._recipe = recipe
        self._count = recipe.examples_per_epoch or examples
        self.epoch = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-self._count // self._recipe.batch)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's chance."""
        self.epoch += 1

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        """Inputs `(N, *shape)`, what they are and, where labels are weighted, their weights."""
        stage = self._recipe.stage(min(self.epoch, self._recipe.epochs - 1))
        x, y = self.draw(stage, [self._recipe.seed, self.epoch, number])
        if self._weights is None:
            return x, y
        if not isinstance(y, dict):
            return x, y, example_weights(self._weights, y)
        logits = example_weights(self._weights, y[LOGITS])
        return x, y, {LOGITS: logits, ORIGIN: np.ones_like(logits)}

    @abstractmethod
    def draw(self, stage: Stage, seed: list[int]) -> tuple[Floats, Shares]:
        """A batch that depends on nothing else."""


@dataclass(frozen=True)
class Questions:
    """Validation inputs, and what they are."""

    inputs: Mapping[str, Floats]
    """`(N, *shape)` each: `""` as they are, `"changed_"` as training varies them."""
    labels: NDArray[np.int64]
    """`(N,)`, 0 or 1."""
    sets: NDArray[np.str_]
    """The data set of each, `(N,)`."""


class Judge(Callback):  # type: ignore[misc]
    """Puts the figures of the validation split into the logs, those of the worst set as chosen."""

    def __init__(self, recipe: Recipe, network: keras.Model, questions: Questions) -> None:
        """Judge by a network's answers to these."""
        super().__init__()
        self._recipe, self._network, self._questions = recipe, network, questions

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure what has just been trained."""
        logs = {} if logs is None else logs
        figures: dict[str, list[float]] = {}
        for prefix, x in self._questions.inputs.items():
            margins = margins_of(self._network.predict(x, batch_size=64, verbose=0))
            for name in sorted(set(self._questions.sets)):
                rows = self._questions.sets == name
                auc, loss = judged(self._questions.labels[rows], margins[rows])
                logs[f"val_{prefix}auc_{name}"], logs[f"val_{prefix}loss_{name}"] = auc, loss
                figures.setdefault(f"{prefix}auc", []).append(auc)
                figures.setdefault(f"{prefix}loss", []).append(loss)
        wanted = figures[self._recipe.choose]
        better_high = self._recipe.choose.endswith("auc")
        last = self._recipe.stage(epoch) == self._recipe.stages[-1]
        nothing = -math.inf if better_high else math.inf
        logs[CHOSEN] = (min(wanted) if better_high else max(wanted)) if last else nothing


def margins_of(logits: Floats) -> NDArray[np.float64]:
    """How much the second label is ahead of the first, `(N,)`.

    Args:
        logits: `(N, 1)` of the second, or `(N, 2)`.
    """
    wide = logits.astype(np.float64)
    return wide[:, 0] if wide.shape[1] == 1 else wide[:, 1] - wide[:, 0]


def judged(labels: NDArray[np.int64], margins: NDArray[np.float64]) -> tuple[float, float]:
    """Area under the ROC curve, and the mean of the losses of the two classes."""
    losses = np.logaddexp(0, np.where(labels == 1, -margins, margins))
    balanced = np.mean([losses[labels == label].mean() for label in (0, 1)])
    return float(roc_auc_score(labels, margins)), float(balanced)


def build_keras(card: Card) -> keras.Model:
    """The card's network, untrained."""
    assert card.architecture is not None  # the recipe has checked it
    model = build(card.architecture)
    if not isinstance(model, keras.Model):
        raise ValueError(f"{card.name} is no Keras network")
    return model


def train(recipe: Recipe, batches: EpochBatches, questions: Questions, places: Places) -> Path:
    """Train a Keras network, or go on from the last epoch of its run.

    Args:
        recipe: of the training.
        batches: of an epoch.
        questions: what the kept epoch is chosen on.
        places: where to read and write.

    Returns:
        `weights.safetensors` of the run: the averaged weights of the best epoch, float16.
    """
    folder = places.run(recipe.card.name)
    keras.utils.set_random_seed(recipe.seed)
    _use_threads(recipe.threads)
    network = build_keras(recipe.card)
    if recipe.start is not None:
        load_keras(network, start_weights(recipe.start, places))
    model = compiled(recipe, network, len(batches), batches.origins)
    backup = BackupAndRestore(folder / BACKUP, delete_checkpoint=False)
    batches.epoch = _epochs_done(folder / BACKUP)
    mode = "max" if recipe.choose.endswith("auc") else "min"
    # A product this small is done before a second thread has started, and waiting costs a core.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # Keras' own, with numpy 2.
        warnings.filterwarnings("ignore", "__array__ implementation")
        model.fit(
            batches,
            epochs=recipe.epochs,
            # A bar for people, a line an epoch for logs.
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[
                # In this order: what is resumed are the trained weights, what is judged and kept
                # is their average.
                backup,
                SwapEMAWeights(swap_on_epoch=True),
                Judge(recipe, network, questions),
                LambdaCallback(on_epoch_end=lambda *_: save_keras(network, folder / LAST)),
                ModelCheckpoint(
                    folder / BEST,
                    monitor=CHOSEN,
                    mode=mode,
                    save_best_only=True,
                    save_weights_only=True,
                    initial_value_threshold=_best_so_far(folder / CURVES, mode),
                ),
                CSVLogger(folder / CURVES, append=True),
                *([TensorBoard(folder / "tensorboard")] if places.tensorboard else []),
            ],
        )
    model.load_weights(folder / BEST)
    weights = folder / WEIGHTS
    save_keras(network, weights)
    return weights


def keep_last(recipe: Recipe, places: Places, out: Path) -> bool:
    """Write the averaged weights of a run's last epoch; False if it has ended none."""
    path = places.run(recipe.card.name) / LAST
    if path.exists():
        shutil.copyfile(path, out)
    return path.exists()


def compiled(recipe: Recipe, network: keras.Model, steps: int, origins: int) -> keras.Model:
    """The network ready to be trained; with a second head where there is a second task.

    Args:
        recipe: of the training.
        network: its weights are shared with what is given back.
        steps: of an epoch.
        origins: classes of the second task, or 0.
    """
    loss = loss_of(recipe)
    if not origins:
        network.compile(optimiser_of(recipe, steps), loss)
        return network
    origin = keras.layers.Dense(origins, name=ORIGIN)(network.layers[-1].input)
    model = keras.Model(network.input, {LOGITS: network.output, ORIGIN: origin})
    second = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(
        optimiser_of(recipe, steps),
        {LOGITS: loss, ORIGIN: second},
        loss_weights={LOGITS: 1.0, ORIGIN: recipe.origin_weight},
    )
    return model


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """Cross-entropy of logits with shares of the labels."""
    if recipe.card.output.activation is Activation.SOFTMAX:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.BinaryCrossentropy(from_logits=True)


def optimiser_of(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with its cosine and its moving average; no decay where there is nothing to decay.

    Args:
        recipe: of the training.
        steps: of an epoch.
    """
    settings, total = recipe.optimiser, steps * recipe.epochs
    rising = round(total * settings.warm_up)
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 100,
        decay_steps=max(1, total - rising),
        warmup_target=settings.learning_rate,
        warmup_steps=rising,
    )
    shares = [recipe.stage(epoch).rate_share for epoch in range(recipe.epochs)]
    optimiser = keras.optimizers.AdamW(
        schedule if set(shares) == {1} else SharedRates(schedule, shares, steps),
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        use_ema=True,
        ema_momentum=settings.average,
    )
    optimiser.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimiser


def _epochs_done(backup: Path) -> int:
    path = backup / "training_metadata.json"
    return int(json.loads(path.read_text())["epoch"]) if path.exists() else 0


def _best_so_far(curves: Path, mode: str) -> float | None:
    if not curves.exists():
        return None
    with open(curves, newline="", encoding="utf-8") as file:
        chosen = [float(line[CHOSEN]) for line in csv.DictReader(file)]
    return (max if mode == "max" else min)(chosen, default=None)


def _use_threads(threads: int) -> None:
    """Fix the number of threads; where tensorflow was in use before, they stay as they are."""
    with suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
