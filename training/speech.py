"""Train `speech_mobilenet_v2` to tell real from synthetic speech.

The network starts from random weights and sees one-second crops before whole windows, which
halves the cost of most steps and varies what it sees. One cycle of the learning rate covers both
stages, an exponential moving average of the weights is what is evaluated and kept, and the epoch
is chosen by the area under the ROC curve of the validation split alone.

What is shipped learns from `split_b`. A second network learns from `split`, which keeps every
engine of its test set from the training: what it reaches is what to expect of unknown engines.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from pellucid.architectures import build
from pellucid.architectures.weights import load_arrays, load_keras, save_arrays
from pellucid.cards import Card
from pellucid.contracts import LogMelContract
from pellucid.spectrogram import normalise
from training.evaluation import best_threshold, evaluate, recall_by_group
from training.speech_data import Clips, Floats, Odds, augment, draw_batch, load_clips
from training.speech_loop import Recipe, Run

THREADS = 2
SHIPPED, STRICT = "split_b", "split"
"""Columns of the manifest: the protocol of the shipped weights and the one that is harder."""


def train(
    card: Card, data: Path, folder: Path, *, recipe: Recipe | None = None, seed: int = 0
) -> Path:
    """Train both networks, each from its last checkpoint if there is one.

    Args:
        card: the model's; names its network and its spectrogram.
        data: folder of the speech set.
        folder: keeps a folder for each protocol.
        recipe: how they are trained.
        seed: of everything random.

    Returns:
        The weights to ship, float32: the best epoch's on `split_b`.
    """
    recipe = recipe or Recipe()
    best = {
        name: train_on(card, data, folder / name, protocol=name, recipe=recipe, seed=seed)
        for name in (SHIPPED, STRICT)
    }
    save_arrays(load_arrays(best[STRICT]), folder / f"{STRICT}.safetensors")
    return best[SHIPPED]


def measure(card: Card, data: Path, weights: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Thresholds, chosen on the validation splits, and quality on the test splits.

    Args:
        card: the model's.
        data: folder of the speech set.
        weights: float16 safetensors as they are shipped; those of the strict protocol lie beside
            them as `split.safetensors`.
    """
    limit_threads()
    shipped, quality = _measure_on(card, data, weights, SHIPPED, ("test",))
    strict = weights.with_name(f"{STRICT}.safetensors")
    _, beside = _measure_on(card, data, strict, STRICT, ("test", "test_seen"))
    protocol = (
        "split_b: no human speaker is in two splits, engines and their voices are; seven synthetic "
        "test clips are resynthesised from human clips of the training. Threshold of the best "
        "balanced accuracy on validation, 95 % intervals by a bootstrap over speakers and voices. "
        "strict: another network, trained without any engine of its test set; test_seen has the "
        "engines of its training and other speakers"
    )
    return {card.labels[1]: shipped}, {"protocol": protocol, **quality, "strict": beside}


def _measure_on(
    card: Card, data: Path, weights: Path, protocol: str, splits: tuple[str, ...]
) -> tuple[float, dict[str, Any]]:
    contract = audio_contract(card)
    model = network(card, contract.frames)
    load_keras(model, weights)
    clips = load_clips(data, protocol, "val", contract)
    scores = predict(model, clips.decibels, contract)
    threshold = best_threshold(clips.labels, scores)
    quality = {"validation": evaluate(clips.labels, scores, threshold, clips.voices)}
    for split in splits:
        clips = load_clips(data, protocol, split, contract)
        scores = predict(model, clips.decibels, contract)
        recall = recall_by_group(clips.labels, scores, clips.groups, threshold)
        figures = evaluate(clips.labels, scores, threshold, clips.voices)
        quality[split] = {**figures, "recall": recall}
    return threshold, quality


def train_on(
    card: Card, data: Path, folder: Path, *, protocol: str, recipe: Recipe, seed: int = 0
) -> Path:
    """Train one network, or go on from the last checkpoint in `folder`.

    Args:
        card: the model's; names its network and its spectrogram.
        data: folder of the speech set.
        folder: keeps the checkpoint, `curves.jsonl` and `best.safetensors`.
        protocol: column of the manifest that splits the clips: `split_b` or `split`.
        recipe: how it is trained.
        seed: of everything random.

    Returns:
        The best epoch's weights, float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limit_threads()
    contract = audio_contract(card)
    training = load_clips(data, protocol, "train", contract)
    validation = load_clips(data, protocol, "val", contract)
    targets = _targets(training)
    steps, origins = len(training.labels) // recipe.batch, targets.shape[1] - len(card.labels)
    run = Run(
        partial(network, card), recipe, origins=origins, steps=steps, folder=folder, seed=seed
    )
    judge = network(card, contract.frames)
    while run.epoch < recipe.epochs:
        rng = np.random.default_rng([seed, run.epoch])
        loss = _one_epoch(run, training, targets, contract, recipe, rng)
        judge.set_weights(run.averaged())
        scores = predict(judge, validation.decibels, contract)
        run.finish_epoch(loss, float(roc_auc_score(validation.labels, scores)))
    return run.best_weights


def _targets(clips: Clips) -> Floats:
    """One-hot labels beside one-hot origins: naming the engine teaches what engines leave."""
    groups = sorted(set(clips.groups))
    origins = np.array([groups.index(group) for group in clips.groups])
    both = [np.eye(2)[clips.labels], np.eye(len(groups))[origins]]
    return np.concatenate(both, axis=1).astype(np.float32)


def _one_epoch(
    run: Run,
    clips: Clips,
    targets: Floats,
    contract: LogMelContract,
    recipe: Recipe,
    rng: np.random.Generator,
) -> float:
    frames = run.start_epoch()
    steps = len(clips.labels) // recipe.batch
    odds = Odds.of(clips)
    losses = []
    for _ in tqdm(range(steps), desc=f"epoch {run.epoch + 1}/{recipe.epochs}", mininterval=20):
        batch = draw_batch(clips, odds, recipe.batch, rng)
        x = augment(clips.decibels[batch], contract, frames, rng)
        losses.append(run.step(x, targets[batch]))
    return float(np.mean(losses))


def predict(model: keras.Model, decibels: Floats, contract: LogMelContract) -> NDArray[np.float64]:
    """Probability that clips are fake.

    Args:
        model: a network for whole windows.
        decibels: spectrograms `(N, n_mels, frames)`.
        contract: how they are clipped and scaled.

    Returns:
        Shape `(N,)`, from 0 to 1.
    """
    x = normalise(decibels, contract)[..., None]
    logits = model.predict(x, batch_size=64, verbose=0).astype(np.float64)
    return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))


def network(card: Card, frames: int) -> keras.Model:
    """The card's network, untrained, for crops of `frames`."""
    if card.architecture is None:
        raise ValueError(f"the card of {card.name} has no architecture")
    arguments = {**card.architecture.arguments, "width": frames}
    return build(card.architecture.model_copy(update={"arguments": arguments}))


def audio_contract(card: Card) -> LogMelContract:
    """The spectrogram that a speech card describes."""
    if not isinstance(card.preprocess, LogMelContract):
        raise ValueError(f"the card of {card.name} describes no spectrogram")
    return card.preprocess


def limit_threads() -> None:
    """Leave one pool of threads to tensorflow; a second only fights it for the cores."""
    # Once tensorflow has run anything its pools are there to stay.
    with suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
