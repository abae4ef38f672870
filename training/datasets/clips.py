"""Labelled sound clips in memory, and the checks that every set of them passes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pellucid.contracts import SpectrogramContract
from training.datasets.manifests import Row
from training.datasets.pictures import BadData, check_contents, check_owners

log = logging.getLogger(__name__)

ALONE = -1
"""In `twins`: resynthesised from no clip of the set."""


@dataclass(frozen=True)
class Clips:
    """Clips of one split: one window each, real or fake."""

    samples: NDArray[np.int16]
    """`(N, n)`."""
    labels: NDArray[np.int64]
    """`(N,)`, 0 real, 1 fake."""
    sets: tuple[str, ...]
    """The data set of each clip: recordings and processing that have nothing to do with others'."""
    groups: tuple[str, ...]
    """Where each clip comes from: the synthesis engine, or the source of the human speech."""
    owners: tuple[str, ...]
    """Whose each clip is: a person, or an engine with a voice."""
    twins: NDArray[np.int64]
    """Row of the human clip that a clip was resynthesised from, or `ALONE`, `(N,)`."""
    left_out: int = 0
    """Files that could not be read."""
    families: tuple[str, ...] = ()
    """The kind of synthesis of each clip, e.g. vocoder; empty where a set does not say."""

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put sets behind each other; twins stay together."""
        offsets = np.cumsum([0, *(len(part) for part in parts[:-1])])
        shifted = [
            np.where(part.twins == ALONE, ALONE, part.twins + offset)
            for part, offset in zip(parts, offsets, strict=True)
        ]
        return cls(
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.labels for part in parts]),
            tuple(name for part in parts for name in part.sets),
            tuple(name for part in parts for name in part.groups),
            tuple(name for part in parts for name in part.owners),
            np.concatenate(shifted),
            sum(part.left_out for part in parts),
            tuple(name for part in parts for name in part.families or ("",) * len(part)),
        )


def read_clips(
    folder: Path, rows: Sequence[Row], contract: SpectrogramContract
) -> tuple[NDArray[np.int16], list[Row]]:
    """Decode clips of exactly one window; a file that cannot be read is named in the log.

    Args:
        folder: of the data set.
        rows: of its manifest, each with a `path`.
        contract: whose rate and window they have.

    Returns:
        int16 `(N, n)`, and the rows that could be read.

    Raises:
        BadData: a clip has another rate or length, or no clip can be read.
    """
    sounds, kept = [], []
    for row in rows:
        path = folder / row["path"]
        try:
            samples, rate = soundfile.read(path, dtype="int16")
        except (OSError, soundfile.LibsndfileError) as error:
            log.warning("left out %s: %s", path, error)
            continue
        if rate != contract.sample_rate_hz or samples.shape != (contract.window_samples,):
            raise BadData(f"{path}: {rate} Hz, shape {samples.shape}, not what the card says")
        sounds.append(samples)
        kept.append(row)
    if not kept:
        raise BadData(f"none of {len(rows)} clips in {folder} can be read")
    if len(kept) < len(rows):
        log.warning("left out %d of %d clips", len(rows) - len(kept), len(rows))
    return np.stack(sounds), kept


def read_sounds(
    paths: Sequence[Path], contract: SpectrogramContract
) -> tuple[NDArray[np.int16], list[int]]:
    """Decode sounds of any rate and length to one window each; as `read_clips` otherwise.

    Args:
        paths: files that libsndfile knows; of several channels the mean is taken.
        contract: whose rate and window they get: the first window, or silence behind.

    Returns:
        int16 `(N, n)`, and which of the paths they are of.

    Raises:
        BadData: no file can be read.
    """
    sounds, kept = [], []
    for number, path in enumerate(paths):
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            log.warning("left out %s: %s", path, error)
            continue
        mono = soxr.resample(samples.mean(axis=1), rate, contract.sample_rate_hz)
        window = np.zeros(contract.window_samples, np.float32)
        window[: len(mono)] = mono[: len(window)]
        sounds.append(np.clip(window * 32_768, -32_768, 32_767).astype(np.int16))
        kept.append(number)
    if not kept:
        raise BadData(f"none of {len(paths)} sounds can be read")
    return np.stack(sounds), kept


def check_clips(splits: Mapping[str, Clips]) -> None:
    """Refuse what would make the figures of a training worthless.

    Args:
        splits: clips by the split's name.

    Raises:
        BadData: a split has clips of one label only; or a person's recordings, or the same clip,
            are in two splits.
    """
    for name, clips in splits.items():
        if set(clips.labels.tolist()) != {0, 1}:
            raise BadData(
                f"the {name} split has no clip that is {'fake' if 0 in clips.labels else 'real'}"
            )
    # An engine may speak in several: whether it was heard is what protocols differ in.
    people = {
        name: {o for o, label in zip(clips.owners, clips.labels, strict=True) if label == 0}
        for name, clips in splits.items()
    }
    check_owners(people)
    check_contents(
        {
            name: (clips.owners, (samples.tobytes() for samples in clips.samples))
            for name, clips in splits.items()
        }
    )
