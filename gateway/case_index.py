"""Indices of cases: what a model makes of a folder of files, searched for what is like a new one.

An index is a folder. `index.json` says what it is of, `cases.jsonl` has a line for each window of
each file, `features.npy` the features of each, `thumbnails.bin` small pictures of them, one behind
the other. None of it can run code.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

import faiss
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.tensors import FloatArray

ABOUT: Final = "index.json"
_CASES: Final = "cases.jsonl"
_FEATURES: Final = "features.npy"
_THUMBNAILS: Final = "thumbnails.bin"
_NEIGHBOURS: Final = 32
"""Windows among which a case's nearest other one is looked for."""


class BadIndex(Exception):
    """A folder holds no index that can be read; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class About(_Part):
    """What an index is of."""

    format: Literal[1] = 1
    model: str
    weights_digest: str
    """Of the model that made the features; another one's cannot be compared with them."""
    files: int = Field(ge=1)
    most_windows: int = Field(ge=1)
    """Of one file."""
    typical_distance: float = Field(ge=0)
    """Median distance of its windows from the nearest one of another file; 0 for a single file."""
    thumbnails: bool

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it of the index in a folder.

        Raises:
            BadIndex: it is not there, damaged, or of another format.
        """
        try:
            return cls.model_validate_json((folder / ABOUT).read_bytes())
        except (OSError, ValidationError) as error:
            raise BadIndex(f"{folder.name} cannot be read: {error}") from error


class Case(_Part):
    """One window of one file; a picture is one."""

    id: str
    labels: tuple[str, ...] = ()
    start_seconds: float = 0
    end_seconds: float = 0
    thumbnail: tuple[int, int] | None = None
    """Where its picture begins in the file of them, and its bytes."""


class CaseIndex:
    """An index in memory; its thumbnails stay in their file, which is kept open."""

    def __init__(
        self, about: About, cases: Sequence[Case], features: FloatArray, thumbnails: int | None
    ) -> None:
        """Take what was read.

        Args:
            about: what it is of.
            cases: as many as there are features.
            features: `(N, D)`, float32.
            thumbnails: descriptor of their file, which is closed with the index.
        """
        self.about = about
        self._cases = cases
        self._features = features
        self._thumbnails = thumbnails
        self._search = faiss.IndexFlatL2(features.shape[1])
        self._search.add(features)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read an index.

        Raises:
            BadIndex: it is not there, damaged, or of another format.
        """
        about = About.read(folder)
        try:
            with open(folder / _CASES, encoding="utf-8") as lines:
                cases = [Case.model_validate_json(line) for line in lines]
            features = np.load(folder / _FEATURES, allow_pickle=False)
        except (OSError, ValueError, ValidationError) as error:
            raise BadIndex(f"{folder.name} cannot be read: {error}") from error
        if features.dtype != np.float32 or features.ndim != 2 or len(features) != len(cases):
            raise BadIndex(f"{folder.name} has {len(cases)} cases and features {features.shape}")
        if not len(cases) or not np.isfinite(features).all():
            raise BadIndex(f"{folder.name} has features that are no numbers, or none")
        thumbnails = None
        if about.thumbnails:
            try:
                thumbnails = os.open(folder / _THUMBNAILS, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise BadIndex(f"{folder.name} has lost its thumbnails") from error
        return cls(about, cases, features, thumbnails)

    def __del__(self) -> None:
        """Close the file."""
        if self._thumbnails is not None:
            os.close(self._thumbnails)

    def nearest(self, features: FloatArray, count: int) -> list[tuple[Case, float]]:
        """The files most like an input, each by its nearest window, with their distances.

        Args:
            features: of the input, `(D,)`.
            count: at most so many.

        Raises:
            ValueError: the features are of another width.
        """
        if features.shape != self._features.shape[1:]:
            raise ValueError(f"features {features.shape} in an index of {self._features.shape}")
        # So many windows hold that many files, whatever file each is of.
        wanted = min(count * self.about.most_windows, len(self._cases))
        _, rows = self._search.search(features[np.newaxis], wanted)
        found: dict[str, tuple[Case, float]] = {}
        for row in rows[0].tolist():
            case = self._cases[row]
            # The search subtracts large numbers from each other; these are exact.
            apart = self._features[row].astype(np.float64) - features
            distance = float(np.sqrt((apart**2).sum()))
            if case.id not in found or distance < found[case.id][1]:
                found[case.id] = case, distance
        return sorted(found.values(), key=lambda one: one[1])[:count]

    def thumbnail(self, case: Case) -> bytes:
        """PNG of what the model saw; empty where the index keeps none."""
        if case.thumbnail is None or self._thumbnails is None:
            return b""
        offset, size = case.thumbnail
        return os.pread(self._thumbnails, size, offset)


def write(
    folder: Path,
    model: str,
    weights_digest: str,
    cases: Sequence[Case],
    features: FloatArray,
    thumbnails: Sequence[bytes] = (),
) -> About:
    """Write an index where none is, or in the place of one, which serves until then.

    Args:
        folder: of the index.
        model: by name.
        weights_digest: of the model.
        cases: windows of files.
        features: of the cases, `(N, D)`.
        thumbnails: PNG of each case; none are kept where there are none.
    """
    offsets = np.cumsum([0, *(len(one) for one in thumbnails)]).tolist()
    located = [
        case.model_copy(update={"thumbnail": (offsets[row], len(thumbnails[row]))})
        if thumbnails
        else case
        for row, case in enumerate(cases)
    ]
    windows: dict[str, int] = {}
    for case in cases:
        windows[case.id] = windows.get(case.id, 0) + 1
    about = About(
        model=model,
        weights_digest=weights_digest,
        files=len(windows),
        most_windows=max(windows.values()),
        typical_distance=_typical_distance([case.id for case in cases], features),
        thumbnails=bool(thumbnails),
    )
    new, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o700)
    np.save(new / _FEATURES, features.astype(np.float32), allow_pickle=False)
    if thumbnails:
        (new / _THUMBNAILS).write_bytes(b"".join(thumbnails))
    lines = (case.model_dump_json(exclude_defaults=True) + "\n" for case in located)
    (new / _CASES).write_text("".join(lines), encoding="utf-8")
    text = json.dumps(about.model_dump(), indent=1) + "\n"
    (new / ABOUT).write_text(text, encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return about


def _typical_distance(ids: Sequence[str], features: FloatArray) -> float:
    rows = features.astype(np.float32)
    search: Any = faiss.IndexFlatL2(rows.shape[1])
    search.add(rows)
    squares, found = search.search(rows, min(_NEIGHBOURS, len(rows)))
    nearest = []
    for row, (distances, others) in enumerate(zip(squares, found, strict=True)):
        elsewhere = [d for d, n in zip(distances, others, strict=True) if ids[n] != ids[row]]
        nearest += elsewhere[:1]
    return float(np.median(np.sqrt(np.maximum(nearest, 0)))) if nearest else 0.0
