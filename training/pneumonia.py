"""Train `pneumonia_densenet121`.

The network starts from random weights and sees the images at 64, then 128, then 224 pixels: most
of what it has to learn is visible when small, where a step costs a tenth. An exponential moving
average of the weights is what is evaluated and kept, and the epoch is chosen by the area under the
ROC curve of the validation split alone.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from pellucid.architectures import build
from pellucid.architectures.weights import load_torch
from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.evaluation import best_threshold, evaluate
from training.pneumonia_data import Radiographs, augment, load_radiographs, normalise


@dataclass(frozen=True)
class Stage:
    """A run of epochs at one image size."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """What a training does; the card of a model says how far its weights went with it."""

    stages: tuple[Stage, ...] = (Stage(64, 14), Stage(128, 4), Stage(224, 1))
    images_per_epoch: int = 2816
    """Drawn with both classes equally likely, so an epoch is less than one pass over the data."""
    batch: int = 32
    learning_rate: float = 2e-3
    cycle_epochs: int = 24
    """Length of the one cycle that the first stage follows; the later stages leave it for a
    straight line to zero."""
    refinement: Stage = Stage(224, 3)
    """Comes last, with a rate and an average of its own."""
    refinement_rate: float = 4e-4
    """Where the refinement's learning rate starts, on a straight line to zero."""
    refinement_ema_decay: float = 0.97
    weight_decay: float = 0.02
    smoothing: float = 0.05
    ema_decay: float = 0.99
    clip_norm: float = 1.0

    @property
    def sizes(self) -> list[int]:
        """Image size of each epoch."""
        stages = (*self.stages, self.refinement)
        return [stage.size for stage in stages for _ in range(stage.epochs)]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.images_per_epoch / self.batch)

    @property
    def refinement_starts(self) -> int:
        """First epoch of the refinement, counted from 0."""
        return len(self.sizes) - self.refinement.epochs


class Run:
    """One training: the network, its moving average, the optimizer, and where they are kept."""

    def __init__(
        self, network: Callable[[], nn.Module], recipe: Recipe, folder: Path, seed: int
    ) -> None:
        """Start from random weights, or go on from the checkpoint in `folder`.

        Args:
            network: builds it, with random weights.
            recipe: how it is trained.
            folder: keeps `checkpoint.pt`, `curves.jsonl` and `best.safetensors`.
            seed: of the initial weights.

        Raises:
            ValueError: the checkpoint is of another recipe or seed.
        """
        torch.manual_seed(seed)
        self._recipe, self._folder = recipe, folder
        self._made_by = repr((recipe, seed))
        self.epoch, self.best = 0, -1.0
        model: Any = network()
        # torch's types leave this way to call it out.
        self._model: nn.Module = model.to(memory_format=torch.channels_last)
        self._average = _average(self._model, recipe.ema_decay)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._cycle = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            recipe.learning_rate,
            total_steps=recipe.steps * recipe.cycle_epochs + 1,
            pct_start=0.15,
            final_div_factor=100,
        )
        self._parts = {
            "model": self._model,
            "average": self._average,
            "optimizer": self._optimizer,
            "schedule": self._cycle,
        }
        self._checkpoint = folder / "checkpoint.pt"
        if self._checkpoint.exists():
            state = torch.load(self._checkpoint, weights_only=True)
            if state.get("made_by") != self._made_by:
                raise ValueError(f"{self._checkpoint} is of another recipe or seed: remove it")
            self.epoch, self.best = state["epoch"] + 1, state["best"]
            if self.epoch > recipe.refinement_starts:
                self._average = _average(self._model, recipe.refinement_ema_decay)
                self._parts["average"] = self._average
            for name, part in self._parts.items():
                part.load_state_dict(state[name])

    @property
    def averaged(self) -> nn.Module:
        """The network with the averaged weights."""
        module: nn.Module = self._average.module
        return module

    @property
    def best_weights(self) -> Path:
        """The averaged weights of the best epoch, as float32."""
        return self._folder / "best.safetensors"

    def start_epoch(self) -> None:
        """Let the average forget the earlier stages when the refinement starts."""
        if self.epoch == self._recipe.refinement_starts:
            self._average = _average(self._model, self._recipe.refinement_ema_decay)
            self._parts["average"] = self._average

    def step(self, x: Tensor, labels: Tensor, number: int) -> float:
        """Take step `number` of the epoch on inputs `(N, 1, H, W)`; give its loss."""
        recipe = self._recipe
        self._model.train()
        self._optimizer.zero_grad()
        logits = self._model(x.contiguous(memory_format=torch.channels_last))[:, 0]
        target = labels * (1 - recipe.smoothing) + recipe.smoothing / 2
        loss = binary_cross_entropy_with_logits(logits, target)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), recipe.clip_norm)
        self._optimizer.step()
        self._schedule(self.epoch * recipe.steps + number + 1)
        self._average.update_parameters(self._model)
        return loss.item()

    def _schedule(self, done: int) -> None:
        recipe = self._recipe
        cycle, refine = recipe.stages[0].epochs, recipe.refinement_starts
        epochs = done / recipe.steps
        if epochs <= cycle:
            self._cycle.step()
            return
        if epochs <= refine:
            rate = self._cycle.get_last_lr()[0] * (refine - epochs) / (refine - cycle)
        else:
            left = (len(recipe.sizes) - epochs) / recipe.refinement.epochs
            rate = recipe.refinement_rate * left
        for group in self._optimizer.param_groups:
            group["lr"], group["betas"] = rate, (0.9, 0.999)

    def finish_epoch(self, loss: float, auc: float) -> None:
        """Write the checkpoint, a line of the curves and, where they are best, the weights.

        Only epochs at full size can be best: the earlier ones saw another kind of input.
        """
        size = self._recipe.sizes[self.epoch]
        if size == self._recipe.sizes[-1] and auc > self.best:
            self.best = auc
            weights = self.averaged.state_dict().items()
            kept = {key: value.contiguous() for key, value in weights if value.is_floating_point()}
            save_file(kept, self.best_weights)
        line = {"epoch": self.epoch + 1, "size": size, "loss": loss, "val_auc": auc}
        with open(self._folder / "curves.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        new = self._checkpoint.with_suffix(".new")
        states = {name: part.state_dict() for name, part in self._parts.items()}
        progress = {"epoch": self.epoch, "best": self.best, "made_by": self._made_by}
        torch.save({**states, **progress}, new)
        new.replace(self._checkpoint)
        self.epoch += 1


def _average(model: nn.Module, decay: float) -> AveragedModel:
    function = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=function, use_buffers=True)


def train(
    card: Card, data: Path, folder: Path, *, recipe: Recipe | None = None, seed: int = 0
) -> Path:
    """Train, or go on from the last checkpoint in `folder`.

    Args:
        card: the model's; names its network and how images are normalised.
        data: folder of the Kermany set.
        folder: keeps `checkpoint.pt`, `curves.jsonl` and `best.safetensors`.
        recipe: how it is trained.
        seed: of everything random.

    Returns:
        The best epoch's weights, float32.

    Raises:
        ValueError: the card has no architecture, or the checkpoint is of another recipe or seed.
    """
    if card.architecture is None:
        raise ValueError(f"the card of {card.name} has no architecture")
    recipe = recipe or Recipe()
    folder.mkdir(parents=True, exist_ok=True)
    contract = image_contract(card)
    training, validation = load_radiographs(data, "train"), load_radiographs(data, "val")
    run = Run(partial(build, card.architecture), recipe, folder, seed)
    while run.epoch < len(recipe.sizes):
        generator = Generator().manual_seed(seed * 1_000 + run.epoch)
        run.start_epoch()
        loss = _one_epoch(run, training, contract, recipe, generator)
        scores = predict(run.averaged, validation, contract, recipe.sizes[run.epoch])
        run.finish_epoch(loss, float(roc_auc_score(validation.labels.numpy(), scores)))
    return run.best_weights


def _one_epoch(
    run: Run, data: Radiographs, contract: ImageContract, recipe: Recipe, generator: Generator
) -> float:
    size, count = recipe.sizes[run.epoch], recipe.steps * recipe.batch
    positives = data.labels.sum()
    odds = torch.where(data.labels == 1, 1 / positives, 1 / (len(data.labels) - positives))
    order = torch.multinomial(odds, count, replacement=True, generator=generator)
    title = f"epoch {run.epoch + 1}/{len(recipe.sizes)} at {size} px"
    losses = []
    for number, rows in enumerate(
        tqdm(torch.split(order, recipe.batch), desc=title, mininterval=20)
    ):
        x = augment(normalise(data.images[rows], size, contract), contract, generator)
        losses.append(run.step(x, data.labels[rows], number))
    return float(np.mean(losses))


@torch.inference_mode()
def predict(
    model: nn.Module, data: Radiographs, contract: ImageContract, size: int
) -> NDArray[np.float32]:
    """Probability of pneumonia, `(N,)`, from 0 to 1, with the images at `size` pixels."""
    model.eval()
    batches = [normalise(images, size, contract) for images in torch.split(data.images, 32)]
    logits = [model(x.contiguous(memory_format=torch.channels_last))[:, 0] for x in batches]
    scores: NDArray[np.float32] = torch.sigmoid(torch.cat(logits)).numpy()
    return scores


def image_contract(card: Card) -> ImageContract:
    """How the card's model wants its pictures."""
    if not isinstance(card.preprocess, ImageContract):
        raise ValueError(f"the card of {card.name} describes no picture")
    return card.preprocess


def measure(card: Card, data: Path, weights: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Thresholds, chosen on the validation split, and quality on the official test split.

    Args:
        card: the model's.
        data: folder of the Kermany set.
        weights: float16 safetensors, as they are shipped.
    """
    if card.architecture is None:
        raise ValueError(f"the card of {card.name} has no architecture")
    contract = image_contract(card)
    model = build(card.architecture)
    load_torch(model, weights)
    answers = {}
    for name, split in (("validation", "val"), ("test", "test")):
        images = load_radiographs(data, split)
        scores = predict(model, images, contract, contract.height).astype(np.float64)
        answers[name] = (images.labels.numpy().astype(np.int64), scores, images.patients)
    labels, scores, _ = answers["validation"]
    threshold = best_threshold(labels, scores)
    quality = {
        "protocol": "threshold of the best balanced accuracy on validation; test is the official "
        "split; 95 % intervals by a bootstrap over patients",
        **{
            name: evaluate(labels, scores, threshold, patients)
            for name, (labels, scores, patients) in answers.items()
        },
    }
    return {"pneumonia": threshold}, quality
