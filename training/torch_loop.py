"""Trainings of torch networks: Lightning has the loop, this module what a step is."""

import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pellucid.architectures.weights import save_torch
from pellucid.cards import Activation
from pellucid.contracts import ImageContract
from pellucid.repository.folder import WEIGHTS
from training.class_weights import Floats, weights_of
from training.datasets.pictures import Pictures
from training.drawing import Batch, RandomRows, in_order
from training.evaluation import mean_auc
from training.fitting import BEST, LAST, fit
from training.freezing import head_of, train_only
from training.pictures import normalise, vary
from training.places import Places
from training.recipe import Recipe
from training.variation import PictureVariation
from training.weights import build_torch, channels_last, start_torch

_PLAIN, _CHANGED = 0, 1
"""The two validation loaders: pictures as they are, and as training changes them."""


class Classifier(lightning.LightningModule):
    """A network, what it learns from and how it is judged."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        variation: PictureVariation,
        weights: Floats | None = None,
    ) -> None:
        """Train `network` as `recipe` says.

        Args:
            recipe: of the training.
            network: from inputs `(N, C, H, W)` to logits `(N, K)`.
            variation: of the pictures.
            weights: of the labels in the loss, as `class_weights` makes them.
        """
        super().__init__()
        assert isinstance(recipe.card.preprocess, ImageContract)
        self.recipe, self.contract = recipe, recipe.card.preprocess
        self.network = network
        self._variation = variation
        self._weights = None if weights is None else torch.from_numpy(weights)
        self._generator = Generator()
        self._answers: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, K)`."""
        logits: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def on_train_epoch_start(self) -> None:
        """Train the layers that the stage names."""
        train_only(self.network, self.recipe.stage(self.current_epoch).trained)

    def on_train_batch_start(self, batch: Batch, number: int) -> None:
        """Make a step the same whether or not the run was interrupted before it."""
        seed = self.recipe.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed)
        self._generator = Generator(self.device).manual_seed(seed)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Loss of one batch."""
        stage = self.recipe.stage(self.current_epoch)
        x, targets = self._variation(*batch, stage, self._generator)
        loss = self.loss(self(x), targets, self._weights)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(x), prog_bar=True)
        return loss

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Cross-entropy over what is known, its labels weighted `(2, K)`."""
        absent, present = logits.new_ones(2, 1) if weights is None else weights.to(logits)
        if self.recipe.card.output.activation is Activation.SOFTMAX:
            return cross_entropy(logits, targets * present)
        known = ~targets.isnan()
        found, wanted = logits[known], targets[known]
        absent, present = (each.expand_as(targets)[known] for each in (absent, present))
        weight = wanted * present + (1 - wanted) * absent
        return binary_cross_entropy_with_logits(found, wanted, weight)

    def on_validation_epoch_start(self) -> None:
        """Forget the last answers; the changes are the same in each epoch."""
        self._answers = {_PLAIN: [], _CHANGED: []}
        self._validation_generator = Generator(self.device).manual_seed(1)

    def validation_step(self, batch: Batch, number: int, dataloader_idx: int = 0) -> None:
        """Keep the logits of one batch."""
        images, targets = batch
        size = self.recipe.stage(self.current_epoch).size or self.contract.height
        x = normalise(images, size, self.contract)
        if dataloader_idx == _CHANGED:
            x = vary(x, self.contract, self.recipe.picture_changes, self._validation_generator)
        self._answers[dataloader_idx].append((self(x), targets))

    def on_validation_epoch_end(self) -> None:
        """Log how well the averaged weights do, and what the best epoch is chosen by."""
        figures: dict[str, float] = {}
        for which, prefix in ((_PLAIN, ""), (_CHANGED, "changed_")):
            logits, targets = (torch.cat(each) for each in zip(*self._answers[which], strict=True))
            figures[f"{prefix}auc"] = mean_auc(targets.cpu().numpy(), logits.cpu().numpy())
            figures[f"{prefix}loss"] = float(balanced_loss(self.loss, logits, targets))
        chosen = figures[self.recipe.choose]
        worst = -math.inf if self.recipe.choose.endswith("auc") else math.inf
        last = self.recipe.stage(self.current_epoch) == self.recipe.stages[-1]
        self.log("chosen", chosen if last else worst)
        self.log_dict({f"val_{key}": value for key, value in figures.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW with its cosine; no decay where there is nothing to decay."""
        settings, head = self.recipe.optimiser, list(head_of(self.network).parameters())
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.network.parameters():
            key = (any(parameter is each for each in head), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
        optimiser = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": settings.learning_rate * (1 if is_head else settings.body_share),
                    "weight_decay": settings.weight_decay if decays else 0,
                }
                for (is_head, decays), parameters in groups.items()
            ]
        )
        steps = int(self.trainer.estimated_stepping_batches)
        shares = [self.recipe.stage(epoch).rate_share for epoch in range(self.recipe.epochs)]

        def factor(step: int) -> float:
            epoch = min(step * len(shares) // steps, len(shares) - 1)
            return rate(step, steps, settings.warm_up) * shares[epoch]

        cosine = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": cosine, "interval": "step"},
        }


def rate(step: int, steps: int, warm_up: float) -> float:
    """Share of the learning rate at a step: up in a line, down in half a cosine."""
    rising = max(1, round(steps * warm_up))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * min(1, (step - rising) / max(1, steps - rising)))


def balanced_loss(loss: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of the losses of the classes where they exclude each other, else the loss."""
    if targets.shape[1] > 1:
        return torch.as_tensor(loss(logits, targets))
    parts = [loss(logits[rows], targets[rows]) for rows in (targets[:, 0] == 0, targets[:, 0] == 1)]
    return torch.stack(parts).mean()


def train(recipe: Recipe, training: Pictures, validation: Pictures, places: Places) -> Path:
    """Train a torch network, or go on from the last checkpoint of its run.

    Args:
        recipe: of the training.
        training: what it learns from.
        validation: what the kept epoch is chosen on.
        places: where to read and write.

    Returns:
        `weights.safetensors` of the run: the averaged weights of the best epoch, float16.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    folder = places.run(recipe.card.name)
    network = build_torch(recipe.card)
    if recipe.start is not None:
        start_torch(network, recipe.start, places)
    variation = PictureVariation(recipe, places)
    weights = weights_of(recipe, training.targets.numpy())
    module = Classifier(recipe, channels_last(network), variation, weights)
    rows = RandomRows(
        training.targets,
        recipe.examples_per_epoch or len(training),
        recipe.batch,
        balanced=recipe.balanced,
        seed=recipe.seed,
    )
    fit(
        module,
        training,
        rows,
        [in_order(validation), in_order(validation)],
        folder,
        epochs=recipe.epochs,
        mode="max" if recipe.choose.endswith("auc") else "min",
        precision="bf16-mixed" if recipe.precision == "bfloat16" else "32-true",
        clip_norm=recipe.optimiser.clip_norm,
        callbacks=(EMAWeightAveraging(decay=recipe.optimiser.average),),
        tensorboard=places.tensorboard,
    )
    kept = folder / WEIGHTS
    _keep(network, folder / BEST, kept)
    return kept


def keep_last(recipe: Recipe, places: Places, out: Path) -> bool:
    """Write the averaged weights of a run's last epoch; False if it has ended none."""
    checkpoint = places.run(recipe.card.name) / LAST
    if checkpoint.exists():
        _keep(build_torch(recipe.card), checkpoint, out)
    return checkpoint.exists()


def _keep(network: nn.Module, checkpoint: Path, out: Path) -> None:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({k.removeprefix("network."): v for k, v in state.items()})
    save_torch(network, out)
