"""Trainings of Keras networks on clips: Keras' own fit and callbacks have the loop."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.callbacks import BackupAndRestore, Callback, CSVLogger, ModelCheckpoint, SwapEMAWeights
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pellucid.architectures import build
from pellucid.architectures.weights import save_keras
from pellucid.cards import Card
from pellucid.contracts import LogMelContract
from training import sounds
from training.datasets.clips import Clips
from training.drawing import PairDraw
from training.recipe import Recipe
from training.weights import WEIGHTS, Places

Floats = NDArray[np.float32]
BEST, CURVES, CHOSEN = "best.weights.h5", "curves.csv", "chosen"


class VariedClips(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of an epoch, the same whether or not the run was interrupted before it."""

    def __init__(self, recipe: Recipe, clips: Clips, epoch: int) -> None:
        """Draw from `clips`, beginning with `epoch`."""
        super().__init__()
        contract = recipe.card.preprocess
        assert isinstance(contract, LogMelContract)
        self._recipe, self._clips, self._contract = recipe, clips, contract
        self._draw, self._epoch = PairDraw(clips), epoch

    def __len__(self) -> int:
        """Batches of an epoch."""
        count = self._recipe.examples_per_epoch or len(self._clips)
        return -(-count // self._recipe.batch)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's chance."""
        self._epoch += 1

    def __getitem__(self, number: int) -> tuple[Floats, Floats]:
        """Inputs `(N, n_mels, frames, 1)` and shares of the labels `(N, 2)`."""
        recipe = self._recipe
        stage = recipe.stage(min(self._epoch, recipe.epochs - 1))
        rng = np.random.default_rng([recipe.seed, self._epoch, number])
        rows = self._draw.rows(recipe.batch, rng)
        changes = recipe.sound_changes
        x = sounds.varied(self._clips.samples[rows], self._contract, changes.devices, rng)
        if changes.bars:
            x = sounds.mask_bars(x, rng)
        if stage.hidden:
            x = sounds.hide(x, stage.hidden, self._contract, rng)
        return x[..., None], np.eye(2, dtype=np.float32)[self._clips.labels[rows]]


class Judge(Callback):  # type: ignore[misc]
    """Puts the figures of the validation clips into the logs, those of the worst set as chosen."""

    def __init__(self, recipe: Recipe, clips: Clips) -> None:
        """Judge by `clips`, as they are and as training varies them."""
        super().__init__()
        contract = recipe.card.preprocess
        assert isinstance(contract, LogMelContract)
        self._recipe, self._clips = recipe, clips
        rng = np.random.default_rng(1)
        strength = recipe.sound_changes.devices
        self._inputs = {
            "": sounds.inputs(clips.samples, contract)[..., None],
            "changed_": sounds.varied(clips.samples, contract, strength, rng)[..., None],
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure what has just been trained."""
        logs = {} if logs is None else logs
        figures: dict[str, list[float]] = {}
        for prefix, x in self._inputs.items():
            logits = self.model.predict(x, batch_size=64, verbose=0)
            for name in sorted(set(self._clips.sets)):
                rows = np.array(self._clips.sets) == name
                auc, loss = judged(self._clips.labels[rows], logits[rows])
                logs[f"val_{prefix}auc_{name}"], logs[f"val_{prefix}loss_{name}"] = auc, loss
                figures.setdefault(f"{prefix}auc", []).append(auc)
                figures.setdefault(f"{prefix}loss", []).append(loss)
        wanted = figures[self._recipe.choose]
        better_high = self._recipe.choose.endswith("auc")
        last = self._recipe.stage(epoch) == self._recipe.stages[-1]
        nothing = -math.inf if better_high else math.inf
        logs[CHOSEN] = (min(wanted) if better_high else max(wanted)) if last else nothing


def judged(labels: NDArray[np.int64], logits: Floats) -> tuple[float, float]:
    """Area under the ROC curve, and the mean of the losses of the two classes."""
    margin = (logits[:, 1] - logits[:, 0]).astype(np.float64)
    signed = np.where(labels == 1, margin, -margin)
    losses = np.logaddexp(0, -signed)
    balanced = np.mean([losses[labels == label].mean() for label in (0, 1)])
    return float(roc_auc_score(labels, margin)), float(balanced)


def build_keras(card: Card) -> keras.Model:
    """The card's network, untrained."""
    assert card.architecture is not None  # the recipe has checked it
    model = build(card.architecture)
    if not isinstance(model, keras.Model):
        raise ValueError(f"{card.name} is no Keras network")
    return model


def train(recipe: Recipe, training: Clips, validation: Clips, places: Places) -> Path:
    """Train a Keras network, or go on from the last epoch of its run.

    Args:
        recipe: of the training.
        training: what it learns from.
        validation: what the kept epoch is chosen on.
        places: where to read and write.

    Returns:
        `weights.safetensors` of the run: the averaged weights of the best epoch, float16.
    """
    folder = places.run(recipe.card.name)
    keras.utils.set_random_seed(recipe.seed)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(recipe.threads)
    model = build_keras(recipe.card)
    backup = BackupAndRestore(folder / "backup", delete_checkpoint=False)
    batches = VariedClips(recipe, training, _epochs_done(folder / "backup"))
    model.compile(
        optimiser_of(recipe, len(batches)),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.optimiser.smoothing
        ),
    )
    mode = "max" if recipe.choose.endswith("auc") else "min"
    # A product this small is done before a second thread has started, and waiting costs a core.
    with threadpool_limits(1, user_api="blas"):
        model.fit(
            batches,
            epochs=recipe.epochs,
            verbose=2,
            callbacks=[
                # In this order: what is resumed are the trained weights, what is judged and kept
                # is their average.
                backup,
                SwapEMAWeights(swap_on_epoch=True),
                Judge(recipe, validation),
                ModelCheckpoint(
                    folder / BEST,
                    monitor=CHOSEN,
                    mode=mode,
                    save_best_only=True,
                    save_weights_only=True,
                    initial_value_threshold=_best_so_far(folder / CURVES, mode),
                ),
                CSVLogger(folder / CURVES, append=True),
            ],
        )
    model.load_weights(folder / BEST)
    weights = folder / WEIGHTS
    save_keras(model, weights)
    return weights


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
    optimiser = keras.optimizers.AdamW(
        schedule,
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
