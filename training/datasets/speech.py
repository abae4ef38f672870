"""Two-second clips of human speech and of classical and neural synthesis, with two protocols."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pellucid.contracts import SpectrogramContract
from training.datasets.clips import ALONE, Clips, read_clips
from training.datasets.manifests import read_manifest

_COLUMNS = ("path", "label", "speaker_or_engine", "source", "voice", "paired_real", "family")


class Speech(BaseModel):
    """A folder with `manifest.csv`: path, label, engine, source, voice, human original."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["speech"]
    folder: Path = Path("speech")
    """Beside the other data sets."""
    protocol: Literal["split", "split_b"] = "split_b"
    """Column that splits the clips; `split` trains on no engine of its test set."""

    def load(self, root: Path, split: str, contract: SpectrogramContract) -> Clips:
        """Read one split."""
        folder = root / self.folder
        rows = read_manifest(folder / "manifest.csv", *_COLUMNS, self.protocol)
        chosen = [row for row in rows if row[self.protocol] == split]
        samples, rows = read_clips(folder, chosen, contract)
        fake = [row["label"] == "fake" for row in rows]
        at = {row["path"]: number for number, row in enumerate(rows)}
        return Clips(
            samples,
            np.array(fake, np.int64),
            (self.kind,) * len(rows),
            tuple(
                row["speaker_or_engine" if f else "source"]
                for row, f in zip(rows, fake, strict=True)
            ),
            tuple(f"{row['speaker_or_engine']} {row['voice']}" for row in rows),
            np.array([at.get(row["paired_real"], ALONE) for row in rows]),
            left_out=len(chosen) - len(rows),
            families=tuple(
                row["family"] if f else "human" for row, f in zip(rows, fake, strict=True)
            ),
        )
