"""What Keras networks learn from: batches of varied clips or pictures."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from pellucid.contracts import ImageContract, SpectrogramContract
from training import sounds
from training.class_weights import weights_of
from training.datasets.clips import Clips
from training.datasets.pictures import Pictures
from training.drawing import PairDraw, draw_rows, in_order
from training.keras_loop import LOGITS, ORIGIN, EpochBatches, Questions, Shares, train
from training.pictures import arranged, normalise, vary
from training.places import Places
from training.recipe import Recipe, Stage
from training.variation import PictureVariation

Floats = NDArray[np.float32]


class VariedClips(EpochBatches):
    """Clips in pairs of real and fake, with their origins: people, or one of the engines."""

    def __init__(self, recipe: Recipe, clips: Clips) -> None:
        """Draw from `clips`."""
        targets = np.eye(2, dtype=np.float32)[clips.labels]
        super().__init__(recipe, len(clips), weights_of(recipe, targets))
        contract = recipe.card.preprocess
        assert isinstance(contract, SpectrogramContract)
        self._clips, self._contract = clips, contract
        self._pairs = {
            share: PairDraw(clips, copies=2 * share)
            for share in {stage.variation for stage in recipe.stages}
        }
        engines = ["people", *sorted({clips.groups[row] for row in np.flatnonzero(clips.labels)})]
        if recipe.origin_weight:
            self.origins = len(engines)
        self._origin = np.array(
            [
                engines.index(group) if fake else 0
                for group, fake in zip(clips.groups, clips.labels, strict=True)
            ]
        )

    def draw(self, stage: Stage, seed: list[int]) -> tuple[Floats, Shares]:
        """Inputs `(N, bands, frames, C)` and shares of the labels `(N, 2)`, and of the origins."""
        rng = np.random.default_rng(seed)
        rows = self._pairs[stage.variation].rows(self._recipe.batch, rng)
        changes = self._recipe.sound_changes
        devices = changes.devices * stage.variation
        x = sounds.varied(self._clips.samples[rows], self._contract, devices, rng)
        if changes.bars and rng.random() < stage.variation:
            x = sounds.mask_bars(x, rng)
        if stage.hidden:
            x = sounds.hide(x, stage.hidden, self._contract, rng)
        y = self._shares(self._clips.labels[rows], 2)
        if not self.origins:
            return x, y
        return x, {LOGITS: y, ORIGIN: self._shares(self._origin[rows], self.origins)}

    def _shares(self, classes: NDArray[np.int64], count: int) -> Floats:
        smoothing = self._recipe.optimiser.smoothing
        return np.eye(count, dtype=np.float32)[classes] * (1 - smoothing) + smoothing / count


class VariedPictures(EpochBatches):
    """Pictures, their labels drawn equally often where the recipe says so."""

    def __init__(self, recipe: Recipe, pictures: Pictures, variation: PictureVariation) -> None:
        """Draw from `pictures` and vary them."""
        super().__init__(recipe, len(pictures), weights_of(recipe, pictures.targets.numpy()))
        self._pictures, self._variation = pictures, variation
        self._layout = recipe.card.preprocess.layout

    def draw(self, stage: Stage, seed: list[int]) -> tuple[Floats, Floats]:
        """Inputs `(N, *shape)` and shares of the labels `(N, K)`."""
        generator = Generator().manual_seed(int(np.random.default_rng(seed).integers(2**31)))
        rows = draw_rows(
            self._pictures.targets, self._recipe.batch, generator, balanced=self._recipe.balanced
        )
        x, y = self._variation(
            self._pictures.images[rows], self._pictures.targets[rows], stage, generator
        )
        return arranged(x.numpy(), self._layout), y.numpy()


def train_on_clips(recipe: Recipe, training: Clips, validation: Clips, places: Places) -> Path:
    """Train on clips; as `keras_loop.train`."""
    contract = recipe.card.preprocess
    assert isinstance(contract, SpectrogramContract)
    changed = sounds.varied(
        validation.samples, contract, recipe.sound_changes.devices, np.random.default_rng(1)
    )
    questions = Questions(
        {
            "": sounds.inputs(validation.samples, contract),
            "changed_": changed,
        },
        validation.labels,
        np.array(validation.sets),
    )
    return train(recipe, VariedClips(recipe, training), questions, places)


def train_on_pictures(
    recipe: Recipe, training: Pictures, validation: Pictures, places: Places
) -> Path:
    """Train on pictures of two classes; as `keras_loop.train`."""
    contract = recipe.card.preprocess
    assert isinstance(contract, ImageContract)
    torch.set_num_threads(recipe.threads)
    plain = torch.cat([normalise(x, contract.height, contract) for x, _ in in_order(validation)])
    generator = Generator().manual_seed(1)
    changed = [
        vary(x, contract, recipe.picture_changes, generator)
        for x in torch.split(plain, recipe.batch)
    ]
    questions = Questions(
        {
            "": arranged(plain.numpy(), contract.layout),
            "changed_": arranged(torch.cat(changed).numpy(), contract.layout),
        },
        validation.targets[:, -1].long().numpy(),
        np.full(len(validation), "pictures"),
    )
    batches = VariedPictures(recipe, training, PictureVariation(recipe, places))
    return train(recipe, batches, questions, places)
