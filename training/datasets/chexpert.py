"""CheXpert (arXiv:1901.07031): `train.csv` and `valid.csv`, with blank and uncertain findings."""

import math
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.manifests import Row, read_manifest
from training.datasets.pictures import BadData, Pictures, read_pictures
from training.datasets.splits import split_of

_FINDINGS = {"1", "1.0", "0", "0.0", "-1", "-1.0"}
_UNCERTAIN = {"positive": 1.0, "negative": 0.0, "ignored": math.nan}


class CheXpert(BaseModel):
    """A folder with `train.csv` and `valid.csv`; its validation split is our test split.

    Columns are `Path`, `Frontal/Lateral` and one for each finding: 1 present, 0 absent, -1
    uncertain, empty where the report says nothing, which counts as absent. The names of the card's
    labels are those of the columns in lower case, with `_` for spaces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["chexpert"]
    folder: Path = Path("CheXpert-v1.0-small")
    """Beside the other data sets; the paths in the file begin with its name."""
    uncertain: Literal["positive", "negative", "ignored"] = "positive"
    """What a finding of -1 counts as; ignored ones take no part in the loss."""
    frontal_only: bool = True
    val: float = Field(default=0.1, gt=0, lt=1)
    """Share of the patients of `train.csv`."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split, by patient.

        Raises:
            BadData: the file has no column for a label, or the split no picture.
        """
        folder = root / self.folder
        path = folder / ("valid.csv" if split == "test" else "train.csv")
        rows = read_manifest(path, "Path", "Frontal/Lateral")
        columns = {name.lower().replace(" ", "_"): name for name in rows[0]}
        if missing := sorted(set(card.labels) - set(columns)):
            raise BadData(
                f"{path} has no column for {', '.join(missing)}; it has {sorted(columns)}"
            )
        rows = [row for row in rows if self._wanted(row, split)]
        if not rows:
            raise BadData(f"{path} has no picture for the {split} split")
        contract = card.preprocess
        assert isinstance(contract, ImageContract)
        files = [folder.joinpath(*Path(row["Path"]).parts[1:]) for row in rows]
        images, kept = read_pictures(files, contract.channels, contract.plane)
        rows = [rows[number] for number in kept]
        findings = [[self._target(row[columns[label]]) for label in card.labels] for row in rows]
        return Pictures(
            images,
            torch.tensor(findings),
            tuple(_patient(row) for row in rows),
            tuple(row["Frontal/Lateral"].lower() for row in rows),
            left_out=len(files) - len(kept),
        )

    def _wanted(self, row: Row, split: str) -> bool:
        if self.frontal_only and row["Frontal/Lateral"] != "Frontal":
            return False
        return split == "test" or split_of(_patient(row), self.val, 0) == split

    def _target(self, value: str) -> float:
        if value.strip() == "":
            return 0.0
        if value.strip() not in _FINDINGS:
            raise BadData(f"a finding in {self.folder} is {value!r}; it is 1, 0, -1 or empty")
        finding = float(value)
        return _UNCERTAIN[self.uncertain] if finding < 0 else finding


def _patient(row: Row) -> str:
    # CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg
    parts = Path(row["Path"]).parts
    if len(parts) != 5:
        raise BadData(f"{row['Path']!r} is not SET/SPLIT/PATIENT/STUDY/FILE")
    return parts[2]
