"""Labelled pictures in memory, and the checks that every set of them passes."""

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid.cards import Activation, Card

log = logging.getLogger(__name__)


class BadData(Exception):
    """A data set cannot be trained on; the message names what is wrong and what would do."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split, 8 bit until they are used."""

    images: Tensor
    """uint8 `(N, C, H, W)`."""
    targets: Tensor
    """float32 `(N, K)`, one value a logit: 0 absent, 1 present, NaN unknown."""
    owners: tuple[str, ...]
    """Whose each picture is: a patient, or the file where nothing more is known."""
    groups: tuple[str, ...]
    """The subgroup of each picture by which quality is reported, e.g. bacteria or virus."""
    left_out: int = 0
    """Files that could not be read, or that another split has too."""

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.images)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put sets of pictures of one size behind each other."""
        return cls(
            torch.cat([part.images for part in parts]),
            torch.cat([part.targets for part in parts]),
            tuple(owner for part in parts for owner in part.owners),
            tuple(group for part in parts for group in part.groups),
            sum(part.left_out for part in parts),
        )


def targets_of(classes: NDArray[np.int64], card: Card) -> Tensor:
    """What a network is to answer for pictures of labels that exclude each other.

    Args:
        classes: number of each picture's label, `(N,)`.
        card: of the model: one logit a label, or one of the positive label.

    Returns:
        float32 `(N, K)`.

    Raises:
        BadData: the card's labels do not exclude each other.
    """
    if card.output.activation is Activation.SIGMOID:
        raise BadData(f"a picture of this set has one label, {card.name} may find several")
    if card.output.positive_label is not None:
        positive = card.labels.index(card.output.positive_label)
        return torch.from_numpy(classes == positive).float()[:, None]
    return torch.eye(len(card.labels))[torch.from_numpy(classes)]


def read_pictures(
    paths: Sequence[Path], channels: int, size: tuple[int, int] | None = None
) -> tuple[Tensor, list[int]]:
    """Decode pictures; a file that cannot be read is named in the log and left out.

    Args:
        paths: files that pillow knows.
        channels: 1 for grey, 3 for RGB.
        size: height and width to stretch to; absent where all files have one size.

    Returns:
        uint8 `(N, C, H, W)`, and which of the paths they are of.

    Raises:
        BadData: no file can be read, or sizes differ where none was asked for.
    """
    if not paths:
        raise BadData("there is no picture to read: is there one for this split?")
    planes: list[NDArray[np.uint8]] = []
    kept: list[int] = []
    for number, path in enumerate(paths):
        try:
            with Image.open(path) as file:
                image = file.convert("L" if channels == 1 else "RGB")
        except (OSError, ValueError) as error:
            log.warning("left out %s: %s", path, error)
            continue
        if size is not None and (image.height, image.width) != size:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        planes.append(np.asarray(image).reshape(image.height, image.width, channels))
        kept.append(number)
    if not kept:
        raise BadData(f"none of {len(paths)} pictures can be read, the first is {paths[0]}")
    if len(kept) < len(paths):
        log.warning("left out %d of %d pictures", len(paths) - len(kept), len(paths))
    if len({plane.shape for plane in planes}) > 1:
        raise BadData(f"the pictures beside {paths[0]} differ in size; give the loader a size")
    return torch.from_numpy(np.stack(planes)).permute(0, 3, 1, 2).contiguous(), kept


def check_splits(splits: Mapping[str, Pictures]) -> None:
    """Refuse what would make the figures of a training worthless.

    Args:
        splits: pictures by the split's name, the training set first.

    Raises:
        BadData: a label has no example, positive or negative, in the training set; none has both in
            another; or somebody's pictures, or the same picture, are in two splits.
    """
    training, *others = splits
    for column, values in enumerate(splits[training].targets.unbind(1)):
        for value, word in ((1, "present"), (0, "absent")):
            if not (values == value).any():
                raise BadData(f"logit {column} is {word} in no picture of the {training} split")
    for name in others:
        targets = splits[name].targets
        if not ((targets == 0).any(0) & (targets == 1).any(0)).any():
            raise BadData(f"the {name} split has one class only: nothing can be measured on it")
    check_owners({name: pictures.owners for name, pictures in splits.items()})
    check_contents(
        {
            name: (pictures.owners, (image.numpy().tobytes() for image in pictures.images))
            for name, pictures in splits.items()
        }
    )


def check_owners(owners: Mapping[str, Collection[str]]) -> None:
    """Refuse an owner in two splits.

    Args:
        owners: by the split's name.

    Raises:
        BadData: a patient or a speaker is in two splits.
    """
    for (name, ours), (other, theirs) in combinations(owners.items(), 2):
        if both := sorted(set(ours) & set(theirs)):
            raise BadData(
                f"{len(both)} owners are in both {name} and {other}, e.g. {both[0]}: "
                "move each to one split"
            )


def check_contents(splits: Mapping[str, tuple[Sequence[str], Iterable[bytes]]]) -> None:
    """Refuse the same picture or clip in two splits, whatever it is called there.

    Args:
        splits: owner and content of each example by the split's name.

    Raises:
        BadData: two splits share an example.
    """
    first: dict[bytes, tuple[str, str]] = {}
    for name, (owners, contents) in splits.items():
        for owner, content in zip(owners, contents, strict=True):
            split, other = first.setdefault(hashlib.sha256(content).digest(), (name, owner))
            if split != name:
                raise BadData(
                    f"{other} in {split} and {owner} in {name} have the same content: "
                    "leave one of them out"
                )
