"""Fake-or-Real (doi:10.1109/SPED.2019.8906599): `for-2sec` and the like, with its own splits."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pellucid.contracts import SpectrogramContract
from training.datasets.clips import ALONE, Clips, read_sounds
from training.datasets.pictures import BadData

_SPLITS = {"train": "training", "val": "validation", "test": "testing"}


class FakeOrReal(BaseModel):
    """`FOLDER/{training,validation,testing}/{real,fake}/*.wav`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fake_or_real"]
    folder: Path = Path("for-2sec")
    """Beside the other data sets."""

    def load(self, root: Path, split: str, contract: SpectrogramContract) -> Clips:
        """Read one split; clips are resampled, and cut or padded to one window.

        Raises:
            BadData: a folder is missing or empty.
        """
        folder = root / self.folder / _SPLITS[split]
        paths, labels = [], []
        for label, name in enumerate(("real", "fake")):
            found = sorted((folder / name).glob("*.wav"))
            if not found:
                raise BadData(f"{folder / name} has no .wav file")
            paths += found
            labels += [label] * len(found)
        samples, kept = read_sounds(paths, contract)
        chosen = [labels[row] for row in kept]
        return Clips(
            samples,
            np.array(chosen, np.int64),
            (self.kind,) * len(kept),
            tuple(("real", "fake")[label] for label in chosen),
            # Nothing says who speaks: the file stands for its owner.
            tuple(f"{_SPLITS[split]}/{paths[row].name}" for row in kept),
            np.full(len(kept), ALONE),
            left_out=len(paths) - len(kept),
        )
