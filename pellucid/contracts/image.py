"""Pictures: decoded, made grey or RGB, resized, scaled and normalised."""

from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts.base import LAYOUTS, Baseline, Doubles, InputSpec, choose, read_fields

_FITS: Final = {
    "stretch": contract_pb2.FIT_STRETCH,
    "crop": contract_pb2.FIT_CROP,
    "pad": contract_pb2.FIT_PAD,
}


class ImageContract(InputSpec):
    """How a picture becomes a tensor: decode, to grey or RGB, resize, scale, normalise.

    The value of a pixel is `(v - mean) / std` with `v` from 0 (black) to 1 (white).
    """

    media: ClassVar[Literal["image", "audio"]] = "image"
    floor_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_BLACK
    default_baseline: ClassVar[Baseline] = methods_pb2.BASELINE_MEAN

    kind: Literal["image"]
    height: int = Field(gt=0, le=2048)
    width: int = Field(gt=0, le=2048)
    channels: Literal[1, 3]
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    """`stretch` ignores the aspect ratio; `crop` keeps the centre; `pad` adds black."""
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> Self:
        rule = f"one value for each of {self.channels} channels"
        return self._check(
            ("mean", len(self.mean) == self.channels, rule),
            ("std", len(self.std) == self.channels, rule),
        )

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.height, self.width

    @property
    def planes(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.channels

    @property
    def value_range(self) -> tuple[Doubles, Doubles]:
        """Values of black and white, each `(C,)`."""
        mean, std = np.array(self.mean), np.array(self.std)
        return -mean / std, (1 - mean) / std

    def default_segmentation(self) -> methods_pb2.Segmentation:
        """Superpixels by SLIC."""
        return methods_pb2.Segmentation(slic=methods_pb2.Slic())

    def to_message(self) -> contract_pb2.PreprocessContract:
        """The contract as it goes over the wire."""
        image = contract_pb2.ImageContract(
            height=self.height,
            width=self.width,
            channels=self.channels,
            layout=LAYOUTS[self.layout],
            fit=_FITS[self.fit],
            mean=self.mean,
            std=self.std,
        )
        return contract_pb2.PreprocessContract(image=image)

    @classmethod
    def from_message(cls, message: contract_pb2.ImageContract, field: str) -> "ImageContract":
        """Decode what came from outside; `field` is its path in the request.

        Raises:
            InvalidArgument: a field is missing or out of range; the error names it.
        """
        fit = choose(_FITS, message.fit, "stretch", f"{field}.fit")
        lists = {"mean": tuple(message.mean), "std": tuple(message.std)}
        found: ImageContract = read_fields(cls, message, field, kind="image", fit=fit, **lists)
        return found
