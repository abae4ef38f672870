"""Labelled inputs of one data set to ask a model about, as they are and changed.

Pictures and clips differ here alone; what is asked of a model afterwards is the same.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from pellucid.cards import Activation, Card
from pellucid.contracts import ImageContract, SpectrogramContract
from pellucid.spectrogram import spectrogram
from training import sounds
from training.datasets.clips import Clips
from training.datasets.pictures import Pictures
from training.pictures import normalise, vary
from training.recipe import PictureChanges

BATCH = 64
_STILL = {"pose": 0, "mirror": False, "sharpness": 0, "exposure": 0, "noise": 0}
_JPEG_QUALITY = 20


@dataclass(frozen=True)
class Examples:
    """Inputs of one split of one data set, and the truth about them."""

    labels: tuple[str, ...]
    """What is known of each input, `L` names."""
    truths: NDArray[np.float64]
    """`(N, L)`: 0 absent, 1 present, NaN unknown."""
    owners: NDArray[np.str_]
    """Patient, speaker or voice of each, `(N,)`."""
    groupings: Mapping[str, NDArray[np.str_]]
    """Subgroup of each by which quality is reported, `(N,)`, for each way to divide them."""
    inputs: Tensor
    """`(N, C, H, W)`, as the model gets them; a spectrogram has one channel."""
    shifts: Mapping[str, Callable[[], Tensor]]
    """The same inputs as another device would have taken them."""


def picture_examples(card: Card, pictures: Pictures) -> Examples:
    """Pictures, and how other exposure, sharpness, noise and compression change them.

    Args:
        card: the model's; of labels that exclude each other, two are one question.
        pictures: of the split.
    """
    contract = card.preprocess
    assert isinstance(contract, ImageContract)
    truths, labels = pictures.targets.double().numpy(), card.labels
    if len(labels) == 2 and card.output.activation is not Activation.SIGMOID:
        positive = positive_label(card)
        at = 0 if truths.shape[1] == 1 else labels.index(positive)
        truths, labels = truths[:, at : at + 1], (positive,)
    plain = _normalised(pictures.images, contract)

    def varied(**changes: Any) -> Callable[[], Tensor]:
        chosen = PictureChanges(**{**_STILL, **changes})

        def shift() -> Tensor:
            generator = Generator().manual_seed(0)
            batches = torch.split(plain, BATCH)
            return torch.cat([vary(x, contract, chosen, generator) for x in batches])

        return shift

    return Examples(
        labels,
        truths,
        np.array(pictures.owners),
        {"group": np.array(pictures.groups)},
        plain,
        {
            "exposure": varied(exposure=1),
            "strong exposure": varied(exposure=2),
            "sharpness": varied(sharpness=1),
            "noise": varied(noise=1),
            "strong noise": varied(noise=2),
            f"JPEG quality {_JPEG_QUALITY}": lambda: _normalised(
                _compressed(pictures.images), contract
            ),
        },
    )


def clip_examples(card: Card, clips: Clips) -> Examples:
    """Clips, and how rooms, microphones, noise, band limits and codecs change them.

    Args:
        card: the model's, of two labels.
        clips: of the split, of one data set.
    """
    contract = card.preprocess
    assert isinstance(contract, SpectrogramContract)
    groupings = {"source": np.array(clips.groups)}
    if any(clips.families):
        groupings["family"] = np.array(clips.families)

    def through(device: str) -> Callable[[], Tensor]:
        def shift() -> Tensor:
            rng = np.random.default_rng(0)
            heard = (each.astype(np.float32) / 32_768 for each in clips.samples)
            changed = (sounds.through(x, device, contract.sample_rate_hz, rng) for x in heard)
            return _planes(np.stack([spectrogram(x, contract) for x in changed]))

        return shift

    return Examples(
        (positive_label(card),),
        clips.labels[:, None].astype(np.float64),
        np.array(clips.owners),
        groupings,
        _planes(sounds.inputs(clips.samples, contract)),
        {device.replace("_", " "): through(device) for device in sounds.DEVICES},
    )


def _planes(cells: NDArray[np.float32]) -> Tensor:
    """`(N, C, H, W)` of `(N, H, W, C)`."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(cells, -1, 1)))


def positive_label(card: Card) -> str:
    """The label that a model of labels that exclude each other is measured on."""
    return card.output.positive_label or card.labels[-1]


def _normalised(images: Tensor, contract: ImageContract) -> Tensor:
    batches = torch.split(images, BATCH)
    return torch.cat([normalise(each, contract.height, contract) for each in batches])


def _compressed(images: Tensor) -> Tensor:
    """There and back through JPEG files."""
    planes = []
    for image in images.permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
        picture.save(file, "JPEG", quality=_JPEG_QUALITY)
        planes.append(np.asarray(Image.open(file)).reshape(image.shape))
    return torch.from_numpy(np.stack(planes)).permute(0, 3, 1, 2)
