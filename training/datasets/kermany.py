"""Kermany's chest X-rays of children (doi:10.17632/rscbjbr9sj.2), with a manifest."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pellucid.cards import Card
from training.datasets.manifests import read_manifest
from training.datasets.pictures import Pictures, read_pictures, targets_of


class Kermany(BaseModel):
    """A folder with `manifest.csv`: path, label (normal, else what was found), split, patient."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["kermany"]
    folder: Path = Path("kermany")
    """Beside the other data sets."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split; the second label is anything but `normal`."""
        folder = root / self.folder
        rows = read_manifest(folder / "manifest.csv", "path", "label", "split", "patient")
        rows = [row for row in rows if row["split"] == split]
        images, kept = read_pictures([folder / row["path"] for row in rows], channels=1)
        rows = [rows[number] for number in kept]
        return Pictures(
            images,
            targets_of(np.array([int(row["label"] != "normal") for row in rows]), card),
            tuple(row["patient"] for row in rows),
            tuple(row["label"] for row in rows),
        )
