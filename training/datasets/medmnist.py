"""A MedMNIST `.npz` file (arXiv:2110.14795): pictures and labels of each split."""

import logging
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from pellucid.cards import Activation, Card
from training.datasets.pictures import BadData, Pictures, targets_of

log = logging.getLogger(__name__)

_HELD_OUT = ("val_images", "test_images")


class MedMnist(BaseModel):
    """A file with `SPLIT_images` uint8 `(N, H, W)` or `(N, H, W, 3)` and `SPLIT_labels`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["medmnist"]
    file: Path
    """Beside the other data sets, e.g. `medmnist/pneumoniamnist.npz`."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split: `train`, `val` or `test`.

        Labels are `(N, 1)` class numbers, or `(N, K)` zeros and ones where several may be present.
        """
        path = root / self.file
        try:
            file = np.load(path, allow_pickle=False)
        except (OSError, ValueError, BadZipFile) as error:
            raise BadData(f"{path} is no .npz file that can be read: {error}") from error
        with file as arrays:
            if missing := {f"{split}_images", f"{split}_labels"} - set(arrays):
                raise BadData(f"{path} has no {sorted(missing)}; it has {sorted(arrays)}")
            images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64)
            others = [arrays[name] for name in _HELD_OUT if split == "train" and name in arrays]
        # Published files have a few pictures in two splits: what is measured on is not learnt from.
        held_out = {image.tobytes() for part in others for image in part}
        kept = [row for row, image in enumerate(images) if image.tobytes() not in held_out]
        if len(kept) < len(images):
            log.warning(
                "left out %d pictures of %s that are in val or test, too",
                len(images) - len(kept),
                path,
            )
        several = card.output.activation is Activation.SIGMOID
        wanted = len(card.labels) if several else 1
        if labels.ndim != 2 or labels.shape[1] != wanted:
            raise BadData(f"{path} has labels {labels.shape}, the card wants (N, {wanted})")
        if labels.max(initial=0) >= (2 if several else len(card.labels)):
            raise BadData(f"{path} has a label {labels.max()}, the card only {card.labels}")
        left_out = len(images) - len(kept)
        images, labels = images[kept], labels[kept]
        planes = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2)
        # The file does not say whose a picture is.
        owners = tuple(f"{split} {number}" for number in kept)
        targets = torch.from_numpy(labels).float() if several else targets_of(labels[:, 0], card)
        groups = tuple(str(row) for row in labels.tolist())
        return Pictures(planes.contiguous(), targets, owners, groups, left_out)
