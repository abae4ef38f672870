"""Kermany's chest X-rays of children (doi:10.17632/rscbjbr9sj.2), with a manifest."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.manifests import Row, read_manifest
from training.datasets.pictures import BadData, Pictures, read_pictures, targets_of
from training.datasets.splits import split_of

_NAME = re.compile(
    r"(?P<person>person\d+)_(?P<found>bacteria|virus)_\d+"
    r"|(?P<kind>NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-\d+"
    r"|(?P<healthy>.*IM-\d+)-\d+.*"
)
"""`person1_bacteria_2` and `NORMAL2-IM-0035-0001` of one copy, `VIRUS-1980593-0001` of another."""


class Kermany(BaseModel):
    """Pictures as they are published, in `train/NORMAL/` and the like, or with a manifest.

    `manifest.csv` has the columns path, label (normal, else what was found), split and patient.
    Without it the patient and the kind of pneumonia are in the files' names, and some patients of
    `train` validate: the `val` of some copies has 16 pictures, too few to choose by, and is
    ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["kermany"]
    folder: Path = Path("kermany")
    """Beside the other data sets."""

    val: float = Field(default=0.1, gt=0, lt=1)
    """Share of the patients of `train`, where there is no manifest."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split; the second label is anything but `normal`."""
        folder = root / self.folder
        if (folder / "manifest.csv").exists() or not (folder / "train").is_dir():
            rows = read_manifest(folder / "manifest.csv", "path", "label", "split", "patient")
            rows, size = [row for row in rows if row["split"] == split], None
        else:
            contract = card.preprocess
            assert isinstance(contract, ImageContract)
            rows, size = self._published(folder, split), contract.plane
        files = [folder / row["path"] for row in rows]
        images, kept = read_pictures(files, 1, size)
        rows = [rows[number] for number in kept]
        return Pictures(
            images,
            targets_of(np.array([int(row["label"] != "normal") for row in rows]), card),
            tuple(row["patient"] for row in rows),
            tuple(row["label"] for row in rows),
            left_out=len(files) - len(kept),
        )

    def _published(self, folder: Path, split: str) -> list[Row]:
        rows = []
        for path in sorted((folder / ("test" if split == "test" else "train")).glob("*/*.jpeg")):
            name = _NAME.fullmatch(path.stem)
            if name is None or path.parent.name not in ("NORMAL", "PNEUMONIA"):
                raise BadData(f"{path} is not named as Kermany's pictures are; add a manifest.csv")
            patient = name["person"] or name["healthy"] or f"{name['kind']}-{name['number']}"
            found = (name["found"] or name["kind"] or "").lower()
            label = "normal" if path.parent.name == "NORMAL" else found
            rows.append({"path": str(path.relative_to(folder)), "label": label, "patient": patient})
        return [row for row in rows if split in ("test", split_of(row["patient"], self.val, 0))]
