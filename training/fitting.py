"""Lightning's loop for every torch training here: checkpoints, resuming, curves."""

import warnings
from pathlib import Path
from typing import Literal

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from training.datasets.pictures import Pictures
from training.drawing import Batch, PictureBatches, RandomRows

BEST, LAST = "best.ckpt", "last.ckpt"
_EXPECTED = (
    # Resuming needs what is there; batches come from memory; Lightning's own use of torch.
    "Checkpoint directory",
    "does not have many workers",
    "isinstance.treespec, LeafSpec",
)
"""Beginnings or parts of the warnings of which a training needs none."""


def fit(
    module: lightning.LightningModule,
    training: Pictures,
    rows: RandomRows,
    validation: list[DataLoader[Batch]],
    folder: Path,
    *,
    epochs: int,
    mode: Literal["min", "max"],
    precision: Literal["bf16-mixed", "32-true"] = "32-true",
    clip_norm: float = 1,
    callbacks: tuple[Callback, ...] = (),
    tensorboard: bool = False,
) -> None:
    """Train, or go on from the last checkpoint of a run.

    Args:
        module: logs `chosen`, what the best epoch is chosen by.
        training: what it learns from.
        rows: which of it each epoch sees.
        validation: loaders.
        folder: of the run; gets `BEST`, `LAST` and the curves.
        epochs: of the whole training.
        mode: whether `chosen` is best low or high.
        precision: of the arithmetic.
        clip_norm: largest norm of a gradient.
        callbacks: besides those of every training.
        tensorboard: whether the curves are also written for it.
    """
    best = ModelCheckpoint(
        folder,
        filename=BEST.removesuffix(".ckpt"),
        monitor="chosen",
        mode=mode,
        enable_version_counter=False,
    )
    # Every epoch's, to go on from; `save_last` writes it only where the best has changed.
    latest = ModelCheckpoint(
        folder, filename=LAST.removesuffix(".ckpt"), enable_version_counter=False
    )
    loggers: list[Logger] = [CSVLogger(folder, name="curves")]
    if tensorboard:
        loggers.append(TensorBoardLogger(folder, name="tensorboard"))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        precision=precision,
        gradient_clip_val=clip_norm,
        logger=loggers,
        callbacks=[
            *callbacks,
            LearningRateMonitor("epoch"),
            TQDMProgressBar(refresh_rate=20),
            best,
            latest,
        ],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    last = folder / LAST
    if last.exists():
        # Lightning draws the first rows before it says which epoch it goes on with.
        rows.set_epoch(torch.load(last, weights_only=True, mmap=True)["epoch"] + 1)
    with warnings.catch_warnings():
        for text in _EXPECTED:
            warnings.filterwarnings("ignore", f".*{text}")
        trainer.fit(
            module,
            DataLoader(PictureBatches(training), sampler=rows, batch_size=None),
            validation,
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
