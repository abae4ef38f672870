"""`python -m training.vae RECIPE`: train a generator of pictures, a conditional autoencoder.

Interrupted, it goes on from its last checkpoint. `training.generated` mixes what it makes into the
training set of a classifier.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Annotated, Any, Final, Self

import lightning
import numpy as np
import torch
from PIL import Image
from pydantic import Field, model_validator
from torch import Generator, Tensor

from pellucid.architectures.weights import load_torch, save_torch
from pellucid.cards import Activation
from pellucid.contracts import ImageContract
from pellucid.repository.folder import WEIGHTS
from training.autoencoder import HALVINGS, ConditionalVae, loss_of
from training.curves import draw_curves
from training.datasets.pictures import Pictures, check_splits
from training.drawing import Batch, RandomRows, classes_of, in_order
from training.fitting import BEST, fit
from training.pictures import normalise
from training.places import FINISHED, RECIPE, Places
from training.recipe import Document, PictureSource
from training.run_recipe import check_recipe, claim

_SAMPLES: Final = 8
"""Of each label, in the picture of them."""


class VaeRecipe(Document):
    """One generator: what its pictures are of, its data and how it is trained.

    Of the card it takes the labels, the pictures' size, licence and attribution.
    """

    data: tuple[Annotated[PictureSource, Field(discriminator="kind")], ...] = Field(min_length=1)
    latents: int = Field(default=64, gt=0)
    width: int = Field(default=16, gt=0)
    """Planes of the first convolution."""
    epochs: int = Field(gt=0)
    batch: int = Field(default=64, gt=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    threads: int = Field(default=1, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        contract = self.card.preprocess
        if not isinstance(contract, ImageContract) or contract.height != contract.width:
            raise ValueError("the card's preprocess has to describe square pictures")
        if contract.height % 2**HALVINGS:
            raise ValueError(f"the pictures' side has to be a multiple of {2**HALVINGS}")
        if self.card.output.activation is Activation.SIGMOID:
            raise ValueError("labels that do not exclude each other are no classes to draw from")
        return self

    @property
    def contract(self) -> ImageContract:
        """Of the pictures."""
        assert isinstance(self.card.preprocess, ImageContract)  # checked above
        return self.card.preprocess

    def build(self) -> ConditionalVae:
        """The network, untrained."""
        return ConditionalVae(
            side=self.contract.height,
            channels=self.contract.channels,
            classes=len(self.card.labels),
            latents=self.latents,
            width=self.width,
        )

    def run(self, places: Places) -> Path:
        """The run's folder, apart from those of classifiers."""
        return places.runs / "generators" / self.card.name


class _Autoencoding(lightning.LightningModule):
    """How the autoencoder learns and is judged."""

    def __init__(self, recipe: VaeRecipe, network: ConditionalVae) -> None:
        super().__init__()
        self._recipe, self.network = recipe, network

    def on_train_batch_start(self, batch: Batch, number: int) -> None:
        """Make a step the same whether or not the run was interrupted before it."""
        torch.manual_seed(self._recipe.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        x, classes = _inputs(batch, self._recipe)
        mean, log_variance = self.network.encode(x, classes)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        loss, _ = loss_of(x, self.network.decode(latents, classes), mean, log_variance)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(x), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, number: int) -> None:
        x, classes = _inputs(batch, self._recipe)
        mean, log_variance = self.network.encode(x, classes)
        back = self.network.decode(mean, classes)
        loss, divergence = loss_of(x, back, mean, log_variance)
        error = (x - back).square().mean().sqrt()
        for name, value in (
            ("chosen", loss),
            ("val_loss", loss),
            ("val_divergence", divergence),
            ("val_error", error),
        ):
            self.log(name, value, batch_size=len(x))

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.parameters(), self._recipe.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def _inputs(batch: Batch, recipe: VaeRecipe) -> tuple[Tensor, Tensor]:
    images, targets = batch
    contract = recipe.contract.model_copy(
        update={"mean": (0.0,) * recipe.contract.channels, "std": (1.0,) * recipe.contract.channels}
    )
    return normalise(images, contract.height, contract), classes_of(targets)


def train(recipe: VaeRecipe, places: Places) -> Path:
    """Train a generator, or go on from the last checkpoint of its run.

    Returns:
        The run's folder: `weights.safetensors` of the best epoch, float16; `finished.json`, figures
        of the validation split; `samples.png`, some pictures of each label, a row each.

    Raises:
        OtherRun: the folder has a run of another recipe.
        BadData: a data set is not as its loader wants it.
    """
    folder = recipe.run(places)
    if (folder / FINISHED).exists():
        check_recipe(folder, recipe)
        return folder
    claim(folder, recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    training, validation = (
        Pictures.joined([source.load(places.data, split, recipe.card) for source in recipe.data])
        for split in ("train", "val")
    )
    check_splits({"train": training, "val": validation})
    network = recipe.build()
    rows = RandomRows(
        training.targets, len(training), recipe.batch, balanced=False, seed=recipe.seed
    )
    module = _Autoencoding(recipe, network)
    loaders = [in_order(validation)]
    fit(
        module,
        training,
        rows,
        loaders,
        folder,
        epochs=recipe.epochs,
        mode="min",
        tensorboard=places.tensorboard,
    )
    state = torch.load(folder / BEST, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("network."): v for key, v in state.items()})
    network.eval().requires_grad_(False)
    seen = _describe(network, training, recipe)
    save_torch(network, folder / WEIGHTS)
    draw_curves(folder)
    _draw_samples(network, recipe, folder / "samples.png")
    figures = _measure(network, seen, validation, recipe)
    (folder / FINISHED).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    logging.info("%s: %s", recipe.card.name, figures)
    return folder


def _describe(network: ConditionalVae, training: Pictures, recipe: VaeRecipe) -> Tensor:
    """Fit the Gaussians; what is returned are the training pictures, from 0 to 1."""
    batches = [_inputs(batch, recipe) for batch in in_order(training)]
    codes = [network.encode(*batch) for batch in batches]
    mean, log_variance = (torch.cat(parts) for parts in zip(*codes, strict=True))
    network.describe(mean, log_variance, torch.cat([classes for _, classes in batches]))
    return torch.cat([x for x, _ in batches])


def _measure(
    network: ConditionalVae, seen: Tensor, validation: Pictures, recipe: VaeRecipe
) -> dict[str, float]:
    """How near what comes back is to what went in, and what is made to what was learnt from.

    A generator that kept patients would make pictures that are nearer to a training picture than
    another patient's is.
    """
    batches = [_inputs(batch, recipe) for batch in in_order(validation)]
    x, classes = (torch.cat(parts) for parts in zip(*batches, strict=True))
    back = network.decode(network.encode(x, classes)[0], classes)
    made = network.draw(classes, Generator().manual_seed(recipe.seed))
    nearest = {"validation": nearest_distance(x, seen), "generated": nearest_distance(made, seen)}
    figures = {"root_mean_square_error": float((x - back).square().mean().sqrt())}
    for name, distance in nearest.items():
        figures[f"nearest_training_picture_to_{name}_median"] = float(distance.median())
        figures[f"nearest_training_picture_to_{name}_least"] = float(distance.min())
    return {name: round(value, 4) for name, value in figures.items()}


def nearest_distance(pictures: Tensor, others: Tensor) -> Tensor:
    """1 minus the correlation of each picture with the other that is most like it, `(N,)`."""
    ours, theirs = (
        (each.flatten(1) - each.flatten(1).mean(1, keepdim=True)) for each in (pictures, others)
    )
    unit = torch.nn.functional.normalize
    return 1 - (unit(ours) @ unit(theirs).T).amax(1)


def _draw_samples(network: ConditionalVae, recipe: VaeRecipe, path: Path) -> None:
    classes = torch.arange(len(recipe.card.labels)).repeat_interleave(_SAMPLES)
    made = network.draw(classes, Generator().manual_seed(recipe.seed))
    rows = [torch.cat(list(row), 2) for row in torch.split(made, _SAMPLES)]
    plane = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(np.squeeze(plane)).save(path)


def load_generator(name: str, places: Places) -> tuple[VaeRecipe, ConditionalVae]:
    """Recipe and network of a finished generator.

    Raises:
        FileNotFoundError: its run is not there, or not finished.
    """
    folder = places.runs / "generators" / name
    if not (folder / FINISHED).exists():
        raise FileNotFoundError(
            f"{folder} has no finished generator: run python -m training.vae with its recipe first"
        )
    recipe = VaeRecipe.read(folder / RECIPE)
    network = recipe.build()
    load_torch(network, folder / WEIGHTS)
    return recipe, network.eval().requires_grad_(False)


def main() -> None:
    """Train one generator, unless its run is finished."""
    parser = argparse.ArgumentParser(prog="python -m training.vae", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    Places.add_options(parser, "data", "runs", "tensorboard")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    train(VaeRecipe.read(options.recipe, options.changes), Places.of(options))


if __name__ == "__main__":
    main()
