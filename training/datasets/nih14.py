"""NIH ChestX-ray14 (arXiv:1705.02315) as it is published, or with a manifest of a part of it."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.manifests import Row, read_manifest
from training.datasets.pictures import BadData, Pictures, read_pictures
from training.datasets.splits import split_of


class Nih14(BaseModel):
    """A folder with `manifest.csv`: path, split, patient, findings, and where else they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["nih14"]
    folder: Path = Path("nih14")
    """Beside the other data sets."""
    paths: tuple[str, ...] = ("path256", "path")
    """Columns of the picture's file, the best first; one may be empty."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split; findings that the card has no label for are left out.

        Raises:
            BadData: the findings name none of the card's labels.
        """
        folder = root / self.folder
        rows = read_manifest(folder / "manifest.csv", *self.paths, "split", "patient", "findings")
        rows = [row for row in rows if row["split"] == split]
        names = [next(filter(None, (row[name] for name in self.paths)), None) for row in rows]
        if None in names:
            raise BadData(f"a row of {folder / 'manifest.csv'} has no file in {self.paths}")
        return _read(
            [folder / str(name) for name in names],
            [row["findings"] for row in rows],
            [row["patient"] for row in rows],
            [row.get("source", "") for row in rows],
            card,
        )


class ChestXray14(BaseModel):
    """A folder with `Data_Entry_2017.csv`, its two lists of files, and `images*/`.

    The pictures are in `images/`, or in `images_001/images/` to `images_012/images/` as they are
    unpacked. `test_list.txt` is the test split; some patients of `train_val_list.txt` validate. A
    label of the card is the name of a finding in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["chest_xray14"]
    folder: Path = Path("ChestX-ray14")
    """Beside the other data sets."""
    table: Path = Path("Data_Entry_2017.csv")
    """In the folder."""
    views: tuple[Literal["PA", "AP"], ...] = ("PA", "AP")
    """Of the films that are read."""
    val: float = Field(default=0.1, gt=0, lt=1)
    """Share of the patients of `train_val_list.txt`."""

    def load(self, root: Path, split: str, card: Card) -> Pictures:
        """Read one split, by patient; the group of a picture is its view.

        Raises:
            BadData: a file or a column is missing, or the findings name none of the card's labels.
        """
        folder = root / self.folder
        rows = read_manifest(
            folder / self.table, "Image Index", "Finding Labels", "Patient ID", "View Position"
        )
        rows = self._chosen(rows, folder, split)
        files = {path.name: path for path in folder.glob("images*/**/*.png")}
        return _read(
            [files.get(row["Image Index"], folder / row["Image Index"]) for row in rows],
            [row["Finding Labels"] for row in rows],
            [row["Patient ID"] for row in rows],
            [row["View Position"] for row in rows],
            card,
        )

    def _chosen(self, rows: list[Row], folder: Path, split: str) -> list[Row]:
        path = folder / ("test_list.txt" if split == "test" else "train_val_list.txt")
        try:
            names = set(path.read_text(encoding="utf-8").split())
        except OSError as error:
            raise BadData(f"{path} cannot be read: {error.strerror}") from error
        if unknown := sorted(names - {row["Image Index"] for row in rows}):
            raise BadData(f"{path} names {len(unknown)} files that the table has not: {unknown[0]}")
        return [
            row
            for row in rows
            if row["Image Index"] in names
            and row["View Position"] in self.views
            and split in ("test", split_of(row["Patient ID"], self.val, 0))
        ]


def _read(
    files: list[Path], findings: list[str], owners: list[str], groups: list[str], card: Card
) -> Pictures:
    contract = card.preprocess
    assert isinstance(contract, ImageContract)
    images, kept = read_pictures(files, contract.channels, contract.plane)
    targets = torch.tensor([_targets(findings[number], card.labels) for number in kept])
    if not targets.any():
        raise BadData(f"the findings beside {files[0]} name none of {', '.join(card.labels)}")
    return Pictures(
        images,
        targets,
        tuple(owners[number] for number in kept),
        tuple(groups[number] for number in kept),
        left_out=len(files) - len(kept),
    )


def _targets(findings: str, labels: tuple[str, ...]) -> list[float]:
    found = {name.strip().lower() for name in findings.split("|")}
    return [float(label.lower() in found) for label in labels]
