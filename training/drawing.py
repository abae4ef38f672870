"""Which examples an epoch sees, and in which order."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from training.datasets.clips import ALONE, Clips
from training.datasets.pictures import Pictures

Batch = tuple[Tensor, Tensor]
"""uint8 `(N, C, H, W)` and targets `(N, K)`."""
_BATCH: Final = 64
"""Pictures at a time where nothing is learned from them."""


class PictureBatches(Dataset[Batch]):
    """Whole batches of pictures, by their rows."""

    def __init__(self, pictures: Pictures) -> None:
        """Take pictures from here."""
        self._pictures = pictures

    def __getitem__(self, rows: Any) -> Batch:
        """The pictures and targets of these rows."""
        return self._pictures.images[rows], self._pictures.targets[rows]


class RandomRows(Sampler[Tensor]):
    """Rows of random batches; an epoch's are the same whether or not a run was interrupted."""

    def __init__(
        self, targets: Tensor, count: int, batch: int, *, balanced: bool, seed: int
    ) -> None:
        """Draw `count` rows in batches of `batch`.

        Args:
            targets: of all examples, `(N, K)`.
            count: rows of an epoch, rounded up to whole batches.
            batch: rows of a batch.
            balanced: draw each label equally often; otherwise each row is drawn once before any
                is drawn again.
            seed: of the order.
        """
        self._steps = -(-count // batch)
        self._batch, self._seed, self._epoch = batch, seed, 0
        self._targets, self._balanced = targets, balanced

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._steps

    def __iter__(self) -> Iterator[Tensor]:
        """The rows of each batch."""
        generator = Generator().manual_seed(self._seed * 10_007 + self._epoch)
        count = self._steps * self._batch
        rows = draw_rows(self._targets, count, generator, balanced=self._balanced)
        yield from torch.split(rows, self._batch)


def draw_rows(targets: Tensor, count: int, generator: Generator, *, balanced: bool) -> Tensor:
    """Draw rows at random.

    Args:
        targets: of all examples, `(N, K)`.
        count: of the rows.
        generator: the only source of chance.
        balanced: draw each label equally often; otherwise each row is drawn once before any is
            drawn again.
    """
    if balanced:
        odds = label_odds(targets)
        return torch.multinomial(odds, count, replacement=True, generator=generator)
    passes = -(-count // len(targets))
    orders = [torch.randperm(len(targets), generator=generator) for _ in range(passes)]
    return torch.cat(orders)[:count]


def label_odds(targets: Tensor) -> Tensor:
    """Chance of each row such that labels that exclude each other are equally frequent.

    Args:
        targets: `(N, 1)` zeros and ones, or `(N, K)` with a single one in each row.
    """
    classes = classes_of(targets)
    return 1 / classes.bincount().clamp_min(1)[classes].float()


def classes_of(targets: Tensor) -> Tensor:
    """Number of each row's class, `(N,)`; arguments as for `label_odds`."""
    return targets[:, 0].long() if targets.shape[1] == 1 else targets.argmax(1)


def in_order(pictures: Pictures) -> DataLoader[Batch]:
    """All pictures, batch by batch."""
    rows = torch.split(torch.arange(len(pictures)), _BATCH)
    return DataLoader(PictureBatches(pictures), sampler=rows, batch_size=None)


class PairDraw:
    """Draws clips: half of them fake and, for each, a real one that differs in little else.

    A fake's partner is the clip it was resynthesised from, or another of the same data set, so that
    no data set, room or channel says anything about the class. Engines are drawn by the square root
    of their size: neural ones are rare in the data and common in the world. What was resynthesised
    is by far the hardest to hear.
    """

    def __init__(self, clips: Clips, copies: float = 2) -> None:
        """Draw from these, all data sets equally often.

        Args:
            clips: of a training set.
            copies: how much more often than other fakes those are drawn that were resynthesised
                from a clip of the set.
        """
        self._twins = clips.twins
        sizes = Counter(zip(clips.sets, clips.labels.tolist(), clips.groups, strict=True))
        keys = zip(clips.sets, clips.labels.tolist(), clips.groups, strict=True)
        weights = np.array([sizes[key] ** -0.5 for key in keys])
        weights *= np.where(clips.twins != ALONE, copies, 1)
        sets = np.array(clips.sets)
        self._fake = np.zeros(len(clips))
        self._real: dict[str, NDArray[np.float64]] = {}
        self._sets = sets
        for name in sorted(set(clips.sets)):
            fake, real = (
                np.where((sets == name) & (clips.labels == label), weights, 0) for label in (1, 0)
            )
            self._fake += fake / fake.sum()
            self._real[name] = real / real.sum()
        self._fake /= self._fake.sum()

    def rows(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of a batch: fakes, then their partners in the same order."""
        fake = rng.choice(len(self._fake), size // 2, p=self._fake)
        partners = [
            self._twins[row]
            if self._twins[row] != ALONE
            else rng.choice(len(self._fake), p=self._real[self._sets[row]])
            for row in fake
        ]
        return np.concatenate([fake, np.array(partners, np.int64)])
