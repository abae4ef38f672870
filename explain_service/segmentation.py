"""How the input is cut into what the perturbation methods keep or hide."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message
from skimage.segmentation import quickshift, slic

from explain_service.randomness import random_state
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts import InputSpec
from pellucid.errors import InvalidArgument
from pellucid.parameters import resolve
from pellucid.tensors import FloatArray

SegmentMap = npt.NDArray[np.uint16]
"""`(H, W)`: number of the segment that a cell belongs to, from 0 without gaps."""
MAX_SEGMENTS: Final = 4_096
"""More cannot be told apart with any number of samples that is allowed."""

Picture = npt.NDArray[np.float64]
"""`(H, W, C)`, from 0 (black, silence) to 1."""
P = TypeVar("P", bound=Message)


class Segmenter(ABC, Generic[P]):
    """One way to cut the plane; `message` describes its parameters."""

    name: ClassVar[str]
    """Field of `Segmentation`."""
    title: ClassVar[str]
    description: ClassVar[str]
    paper: ClassVar[str] = ""
    message: ClassVar[type[Message]]
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions that take part, for the receipts."""

    def resolve(self, parameters: P, spec: InputSpec) -> P:
        """Fill in what the kind of input decides; all else is resolved."""
        return parameters

    @abstractmethod
    def expected(self, parameters: P) -> int:
        """About how many segments will come out, before the input is known."""

    @abstractmethod
    def cut(self, picture: Picture, parameters: P, seed: int) -> npt.NDArray[Any]:
        """Labels `(H, W)`, in any numbering; `seed` decides ties."""


class SlicSegmenter(Segmenter[methods_pb2.Slic]):
    """Superpixels by k-means."""

    name = "slic"
    title = "SLIC superpixels"
    description = "Superpixels by k-means in place and colour."
    paper = "doi:10.1109/TPAMI.2012.120"
    message = methods_pb2.Slic
    libraries = ("scikit-image",)

    def resolve(self, parameters: methods_pb2.Slic, spec: InputSpec) -> methods_pb2.Slic:
        """Grey values differ less than colours do."""
        if not parameters.HasField("compactness"):
            parameters.compactness = 10.0 if spec.planes == 3 else 0.1
        return parameters

    def expected(self, parameters: methods_pb2.Slic) -> int:
        """As aimed at."""
        return parameters.segments

    def cut(self, picture: Picture, parameters: methods_pb2.Slic, seed: int) -> npt.NDArray[Any]:
        """By scikit-image."""
        grey = picture.shape[2] == 1
        found: npt.NDArray[Any] = slic(
            picture[..., 0] if grey else picture,
            n_segments=parameters.segments,
            compactness=parameters.compactness,
            channel_axis=None if grey else -1,
            start_label=0,
        )
        return found


class QuickshiftSegmenter(Segmenter[methods_pb2.Quickshift]):
    """Superpixels by mode seeking."""

    name = "quickshift"
    title = "Quickshift superpixels"
    description = "Superpixels by mode seeking in place and colour."
    paper = "doi:10.1007/978-3-540-88693-8_52"
    message = methods_pb2.Quickshift
    libraries = ("scikit-image",)

    def expected(self, parameters: methods_pb2.Quickshift) -> int:
        """It depends on the picture."""
        return 100

    def cut(
        self, picture: Picture, parameters: methods_pb2.Quickshift, seed: int
    ) -> npt.NDArray[Any]:
        """By scikit-image, which takes a seed and no generator."""
        found: npt.NDArray[Any] = quickshift(  # type: ignore[no-untyped-call]
            np.repeat(picture, 3 // picture.shape[2], axis=2),
            kernel_size=parameters.kernel_size,
            max_dist=parameters.max_distance,
            ratio=parameters.ratio,
            rng=int(random_state(seed).randint(1 << 31)),
        )
        return found


class GridSegmenter(Segmenter[methods_pb2.Grid]):
    """Rectangles."""

    name = "grid"
    title = "Grid"
    description = "Rectangles of equal size: for sound, mel bands by time."
    message = methods_pb2.Grid

    def expected(self, parameters: methods_pb2.Grid) -> int:
        """Exactly, unless the plane is smaller."""
        return parameters.rows * parameters.columns

    def cut(self, picture: Picture, parameters: methods_pb2.Grid, seed: int) -> npt.NDArray[Any]:
        """By whole cells."""
        height, width = picture.shape[:2]
        rows = np.arange(height) * parameters.rows // height
        columns = np.arange(width) * parameters.columns // width
        return np.asarray(rows[:, np.newaxis] * parameters.columns + columns)


SEGMENTERS: Final[dict[str, Segmenter[Any]]] = {
    segmenter.name: segmenter
    for segmenter in (SlicSegmenter(), QuickshiftSegmenter(), GridSegmenter())
}
"""By the field of `Segmentation`."""


def resolve_segmentation(
    spec: InputSpec, message: methods_pb2.Segmentation, field: str
) -> methods_pb2.Segmentation:
    """What was asked for, or the default of the kind of input, with all values known.

    Raises:
        InvalidArgument: a value is out of range; `field` is the path of the segmentation.
    """
    chosen = message if message.WhichOneof("segmentation") else spec.default_segmentation()
    segmenter, parameters = _chosen(chosen)
    checked = resolve(parameters, f"{field}.{segmenter.name}")
    return methods_pb2.Segmentation(**{segmenter.name: segmenter.resolve(checked, spec)})


def expected_segments(segmentation: methods_pb2.Segmentation) -> int:
    """About how many segments a resolved segmentation gives, before the input is known."""
    segmenter, parameters = _chosen(segmentation)
    return segmenter.expected(parameters)


def segmentation_libraries(segmentation: methods_pb2.Segmentation) -> tuple[str, ...]:
    """Distributions that take part in a resolved segmentation."""
    return _chosen(segmentation)[0].libraries


def segment(
    spec: InputSpec, segmentation: methods_pb2.Segmentation, tensor: FloatArray, seed: int
) -> SegmentMap:
    """Cut one input.

    Args:
        spec: the model's.
        segmentation: from `resolve_segmentation`.
        tensor: the input, `spec.shape`.
        seed: decides ties.

    Raises:
        InvalidArgument: far too many segments came out.
    """
    segmenter, parameters = _chosen(segmentation)
    found = segmenter.cut(spec.displayed(tensor), parameters, seed)
    labels, numbers = np.unique(found, return_inverse=True)
    if len(labels) > MAX_SEGMENTS:
        raise InvalidArgument(
            f"{segmenter.name} cut the input into {len(labels)} segments",
            field=f"options.segmentation.{segmenter.name}",
            remedy=f"choose parameters that give {MAX_SEGMENTS} at most",
            segments=str(len(labels)),
        )
    return numbers.reshape(found.shape).astype(np.uint16)


def _chosen(segmentation: methods_pb2.Segmentation) -> tuple[Segmenter[Any], Any]:
    name = segmentation.WhichOneof("segmentation")
    assert name is not None
    return SEGMENTERS[name], getattr(segmentation, name)
