"""Any folder of pictures with a folder for each label."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.pictures import BadData, Pictures, read_pictures, targets_of
from training.datasets.splits import split_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


class PictureFolders(BaseModel):
    """`FOLDER/LABEL/*`, or `FOLDER/SPLIT/LABEL/*` where the folder has its own splits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["picture_folders"]
    folder: Path
    """Beside the other data sets, or anywhere else."""
    val: float = Field(default=0.15, gt=0, lt=1)
    """Share of the pictures, where the folder has no splits of its own."""
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of the pictures, where the folder has no splits of its own."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split; the folders are named as the card's labels.

        Raises:
            BadData: a label has no folder, or the split has no picture.
        """
        contract = card.preprocess
        assert isinstance(contract, ImageContract)
        folder = root / self.folder
        own = folder / split
        found = [
            (path, number)
            for number, label in enumerate(card.labels)
            for path in _files((own if (folder / "train").is_dir() else folder) / label)
        ]
        if not (folder / "train").is_dir():
            # Nothing says whose a picture is: the file stands for its owner.
            chosen = (split_of(f"{p.parent.name}/{p.name}", self.val, self.test) for p, _ in found)
            found = [each for each, its in zip(found, chosen, strict=True) if its == split]
        if not found:
            raise BadData(f"{folder} has no picture for the {split} split")
        paths, classes = [path for path, _ in found], [number for _, number in found]
        images, kept = read_pictures(paths, contract.channels, contract.plane)
        return Pictures(
            images,
            targets_of(np.array([classes[row] for row in kept]), card),
            tuple(str(paths[row].relative_to(folder)) for row in kept),
            tuple(card.labels[classes[row]] for row in kept),
        )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadData(f"there is no folder {folder}: name one after each label of the card")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
