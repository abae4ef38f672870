"""How the input is cut into what the perturbation methods keep or hide."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from skimage.segmentation import quickshift, slic

from explain_service.parameters import Parameters, parameter
from explain_service.randomness import random_state
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.contracts import LogMelContract
from pellucid.errors import InvalidArgument
from pellucid.tensors import FloatArray

SegmentMap = npt.NDArray[np.uint16]
"""`(H, W)`: number of the segment that a cell belongs to, from 0 without gaps."""
MAX_SEGMENTS: Final = 4_096
"""More cannot be told apart with any number of samples that is allowed."""


class Slic(Parameters):
    """Superpixels by k-means in place and colour."""

    name = "slic"
    segments: int = parameter(
        50, "Aimed at; what comes out may differ a little.", ge=2, le=400, unit="segments"
    )
    compactness: float | None = parameter(
        None,
        "Weight of place against colour; by default 0.1 for grey, 10 for RGB.",
        ge=0.001,
        le=100.0,
    )


class Quickshift(Parameters):
    """Superpixels by mode seeking."""

    name = "quickshift"
    kernel_size: float = parameter(
        4.0, "Width of the density estimate.", ge=1.0, le=20.0, unit="pixels"
    )
    max_distance: float = parameter(20.0, "Longest link.", ge=1.0, le=200.0, unit="pixels")
    ratio: float = parameter(0.5, "Weight of colour against place.", ge=0.0, le=1.0)


class Grid(Parameters):
    """Rectangles of equal size: for sound, mel bands by time."""

    name = "grid"
    rows: int = parameter(8, "Rectangles from top to bottom.", ge=1, le=64, unit="rows")
    columns: int = parameter(8, "Rectangles from left to right.", ge=1, le=64, unit="columns")


SEGMENTATIONS: Final[dict[str, type[Parameters]]] = {
    kind.name: kind for kind in (Slic, Quickshift, Grid)
}


def decode_segmentation(card: Card, message: methods_pb2.Segmentation, field: str) -> Parameters:
    """What was asked for, or the default of the model's kind of input, with all values known.

    Raises:
        InvalidArgument: a value is out of range.
    """
    sound = isinstance(card.preprocess, LogMelContract)
    name = message.WhichOneof("segmentation") or ("grid" if sound else "slic")
    chosen = SEGMENTATIONS[name].decode(getattr(message, name), f"{field}.{name}")
    if isinstance(chosen, Slic) and chosen.compactness is None:
        default = 10.0 if card.preprocess.planes == 3 else 0.1
        return chosen.model_copy(update={"compactness": default})
    return chosen


def encode_segmentation(parameters: Parameters) -> methods_pb2.Segmentation:
    """A segmentation with every value, for the receipt."""
    message = methods_pb2.Segmentation()
    parameters.encode(getattr(message, parameters.name))
    return message


def expected_segments(parameters: Parameters) -> int:
    """About how many segments will come out, before the input is known."""
    match parameters:
        case Slic():
            return parameters.segments
        case Grid():
            return parameters.rows * parameters.columns
        case _:
            return 100


def segment(card: Card, parameters: Parameters, image: FloatArray, seed: int) -> SegmentMap:
    """Cut one input.

    Args:
        card: the model's.
        parameters: from `decode_segmentation`.
        image: the input, `card.preprocess.shape`.
        seed: decides ties of quickshift.

    Raises:
        InvalidArgument: far too many segments came out.
    """
    picture = card.preprocess.displayed(image)
    found: Any
    match parameters:
        case Slic():
            grey = picture.shape[2] == 1
            found = slic(
                picture[..., 0] if grey else picture,
                n_segments=parameters.segments,
                compactness=parameters.compactness,
                channel_axis=None if grey else -1,
                start_label=0,
            )
        case Quickshift():
            found = quickshift(  # type: ignore[no-untyped-call]
                np.repeat(picture, 3 // picture.shape[2], axis=2),
                kernel_size=parameters.kernel_size,
                max_dist=parameters.max_distance,
                ratio=parameters.ratio,
                rng=int(random_state(seed).randint(1 << 31)),  # it takes no generator
            )
        case _:
            assert isinstance(parameters, Grid)
            found = _grid(parameters, picture.shape[0], picture.shape[1])
    return _numbered(found, parameters)


def _grid(parameters: Grid, height: int, width: int) -> npt.NDArray[np.int64]:
    rows = np.arange(height) * parameters.rows // height
    columns = np.arange(width) * parameters.columns // width
    return rows[:, np.newaxis] * parameters.columns + columns


def _numbered(found: npt.NDArray[Any], parameters: Parameters) -> SegmentMap:
    labels, numbers = np.unique(found, return_inverse=True)
    if len(labels) > MAX_SEGMENTS:
        raise InvalidArgument(
            f"{parameters.name} cut the input into {len(labels)} segments",
            field=f"options.segmentation.{parameters.name}",
            remedy=f"choose parameters that give {MAX_SEGMENTS} at most",
            segments=str(len(labels)),
        )
    return numbers.reshape(found.shape).astype(np.uint16)
