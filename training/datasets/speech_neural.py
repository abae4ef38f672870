"""Two-second clips of neural synthesis and of the recordings shown beside it."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pellucid.contracts import SpectrogramContract
from training.datasets.clips import ALONE, Clips, read_clips
from training.datasets.manifests import read_manifest

_COLUMNS = ("path", "label", "engine", "speaker_or_corpus", "source", "split", "kind")


class SpeechNeural(BaseModel):
    """A folder with `manifest.csv`: path, label, engine, speaker, source (a repository), split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["speech_neural"]
    folder: Path = Path("speech_neural")
    """Beside the other data sets."""

    def load(self, root: Path, split: str, contract: SpectrogramContract) -> Clips:
        """Read one split: whole engines and whole repositories."""
        folder = root / self.folder
        rows = read_manifest(folder / "manifest.csv", *_COLUMNS)
        chosen = [row for row in rows if row["split"] == split]
        samples, rows = read_clips(folder, chosen, contract)
        fake = [row["label"] == "fake" for row in rows]
        return Clips(
            samples,
            np.array(fake, np.int64),
            (self.kind,) * len(rows),
            tuple(row["engine" if f else "source"] for row, f in zip(rows, fake, strict=True)),
            # One corpus is in several repositories: its speakers are told apart by them.
            tuple(f"{row['source']} {row['engine']} {row['speaker_or_corpus']}" for row in rows),
            np.full(len(rows), ALONE),
            left_out=len(chosen) - len(rows),
            families=tuple(
                row["kind"] if f else "human" for row, f in zip(rows, fake, strict=True)
            ),
        )
