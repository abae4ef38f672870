"""What a network is shown of a batch of pictures, and what it is to answer."""

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate

from pellucid.cards import Activation
from pellucid.contracts import ImageContract
from training.pictures import hide, levels, normalise, vary
from training.places import Places
from training.recipe import Recipe, Stage
from training.weights import trained_torch


class PictureVariation:
    """Varies pictures as a recipe says, and mixes the teacher's scores into the targets."""

    def __init__(self, recipe: Recipe, places: Places) -> None:
        """Load the teacher, if there is one.

        Args:
            recipe: of the training.
            places: where the teacher is.
        """
        contract = recipe.card.preprocess
        assert isinstance(contract, ImageContract)
        self._recipe, self._contract = recipe, contract
        self._teacher: nn.Module | None = None
        if recipe.teacher is not None:
            card, self._teacher = trained_torch(recipe.teacher, places)
            if card.labels != recipe.card.labels or card.logits != recipe.card.logits:
                raise ValueError(f"{card.name} has other labels than {recipe.card.name}")
            assert isinstance(card.preprocess, ImageContract)
            self._taught_with = card.preprocess

    def __call__(
        self, images: Tensor, targets: Tensor, stage: Stage, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs `(N, C, H, W)` and shares of the labels `(N, K)` of one batch.

        Args:
            images: uint8 `(N, C, H, W)`.
            targets: float32 `(N, K)`.
            stage: of the training; it says the size and what is hidden.
            generator: the only source of chance.
        """
        contract, settings = self._contract, self._recipe.optimiser
        x = normalise(images, stage.size or contract.height, contract)
        x = vary(x, contract, self._recipe.picture_changes, generator)
        if stage.hidden:
            x = hide(x, stage.hidden, contract, generator)
        targets = targets * (1 - settings.smoothing) + settings.smoothing / max(2, targets.shape[1])
        if stage.taught:
            # The losses are linear in the targets: mixing these mixes those.
            targets = torch.lerp(targets, self._taught(x), stage.taught)
        return x, targets

    @torch.no_grad()
    def _taught(self, x: Tensor) -> Tensor:
        assert self._teacher is not None
        ours, theirs = self._contract, self._taught_with
        mean, std = levels(ours, x)
        unit = x * std + mean
        if x.shape[-1] != theirs.height:
            unit = interpolate(unit, size=theirs.height, mode="bilinear")
        mean, std = levels(theirs, x)
        x = ((unit - mean) / std).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._teacher.to(x.device)(x).float()
        softmax = self._recipe.card.output.activation is Activation.SOFTMAX
        return logits.softmax(1) if softmax else logits.sigmoid()
