"""NIH ChestX-ray14 (arXiv:1705.02315): a CSV file with findings or a column for each."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from pellucid.cards import Card
from pellucid.contracts import ImageContract
from training.datasets.manifests import Row, read_manifest
from training.datasets.pictures import BadData, Pictures, read_pictures


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
        contract = card.preprocess
        assert isinstance(contract, ImageContract)
        files = [folder / next(filter(None, (row[name] for name in self.paths))) for row in rows]
        images, kept = read_pictures(files, contract.channels, contract.plane)
        rows = [rows[number] for number in kept]
        targets = torch.tensor([_targets(row, card.labels) for row in rows])
        if not targets.any():
            raise BadData(f"the findings in {folder} name none of {', '.join(card.labels)}")
        return Pictures(
            images,
            targets,
            tuple(row["patient"] for row in rows),
            tuple(row.get("source", "") for row in rows),
        )


def _targets(row: Row, labels: tuple[str, ...]) -> list[float]:
    found = {name.strip().lower() for name in row["findings"].split("|")}
    return [float(label.lower() in found) for label in labels]
