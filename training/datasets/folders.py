"""Any folder of pictures or sounds with a folder for each label."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pellucid.cards import Card
from pellucid.contracts import ImageContract, SpectrogramContract
from training.datasets.clips import ALONE, Clips, read_sounds
from training.datasets.pictures import BadData, Pictures, read_pictures, targets_of
from training.datasets.splits import split_of

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
SOUNDS = frozenset({".wav", ".flac", ".ogg", ".mp3"})


@dataclass(frozen=True)
class _Found:
    path: Path
    label: int
    owner: str


class _LabelFolders(BaseModel):
    """`FOLDER/LABEL/*`, or `FOLDER/SPLIT/LABEL/*` where the folder has its own splits.

    Own splits are called `train`, `val` and `test`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    folder: Path
    """Beside the other data sets, or anywhere else."""
    val: float = Field(default=0.15, gt=0, lt=1)
    """Share of the owners, where the folder has no splits of its own."""
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of the owners, where the folder has no splits of its own."""
    seed: int = 0
    """Of the division, where the folder has no splits of its own."""
    owner: re.Pattern[str] | None = None
    """Finds, as its first group, whose a file is in its path from the folder: a patient or a
    speaker. Absent: nothing says so, and each file stands for its owner."""

    def _find(
        self, root: Path, split: str, labels: Sequence[str], suffixes: Collection[str]
    ) -> list[_Found]:
        folder = root / self.folder
        own = (folder / "train").is_dir()
        parent = folder / split if own else folder
        found = []
        for number, label in enumerate(labels):
            some = [
                _Found(p, number, self._owner(p, folder)) for p in _files(parent / label, suffixes)
            ]
            if not own:
                some = [
                    f for f in some if split_of(f.owner, self.val, self.test, self.seed) == split
                ]
            if not some:
                raise BadData(
                    f"{parent / label} has nothing for the {split} split: it needs files that end "
                    f"in {', '.join(sorted(suffixes))}"
                )
            found += some
        return found

    def _owner(self, path: Path, folder: Path) -> str:
        name = path.relative_to(folder).as_posix()
        if self.owner is None:
            return name
        match = self.owner.search(name)
        if match is None or not match.groups():
            raise BadData(f"owner: {self.owner.pattern!r} finds no group in {name}")
        return match[1]


class PictureFolders(_LabelFolders):
    """Pictures; the folders are named as the card's labels."""

    kind: Literal["picture_folders"]

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split.

        Raises:
            BadData: a label has no folder, or no picture for the split.
        """
        contract = card.preprocess
        assert isinstance(contract, ImageContract)
        found = self._find(root, split, card.labels, PICTURES)
        images, kept = read_pictures([f.path for f in found], contract.channels, contract.plane)
        chosen = [found[row] for row in kept]
        return Pictures(
            images,
            targets_of(np.array([f.label for f in chosen]), card),
            tuple(f.owner for f in chosen),
            tuple(card.labels[f.label] for f in chosen),
            left_out=len(found) - len(kept),
        )


class ClipFolders(_LabelFolders):
    """Sounds of any rate and length, each cut or padded to one window."""

    kind: Literal["clip_folders"]
    labels: tuple[str, str] = ("real", "fake")
    """Names of the folders, in the order of the card's labels."""

    def load(self, root: Path, split: str, contract: SpectrogramContract) -> Clips:
        """Read one split.

        Raises:
            BadData: a label has no folder, or no sound for the split.
        """
        found = self._find(root, split, self.labels, SOUNDS)
        samples, kept = read_sounds([f.path for f in found], contract)
        chosen = [found[row] for row in kept]
        return Clips(
            samples,
            np.array([f.label for f in chosen], np.int64),
            (str(self.folder),) * len(kept),
            tuple(self.labels[f.label] for f in chosen),
            tuple(f.owner for f in chosen),
            np.full(len(kept), ALONE),
            left_out=len(found) - len(kept),
        )


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    if not folder.is_dir():
        raise BadData(f"there is no folder {folder}: name one after each label")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
