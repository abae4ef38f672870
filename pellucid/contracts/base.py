"""What every kind of preprocess contract says of the tensor that it leads to."""

from abc import abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.errors import InvalidArgument
from pellucid.tensors import FloatArray

Doubles: TypeAlias = npt.NDArray[np.float64]
Baseline: TypeAlias = "methods_pb2.Baseline.ValueType"
Rule: TypeAlias = tuple[str, bool, str]
"""Field, whether its value fits the other fields, and what it should be."""


def baseline_name(baseline: Baseline) -> str:
    """E.g. `mean`."""
    return methods_pb2.Baseline.Name(baseline).removeprefix("BASELINE_").lower()


class Layout(StrEnum):
    """Order of a tensor's axes, without the batch."""

    CHW = "CHW"
    HWC = "HWC"


LAYOUTS: Final = {Layout.CHW: contract_pb2.LAYOUT_CHW, Layout.HWC: contract_pb2.LAYOUT_HWC}


class InputSpec(BaseModel):
    """How a file becomes one tensor, and all that the rest of Pellucid asks of that tensor.

    A kind of contract is a subclass: it names its decoder by `kind`, and says what a tensor's
    values mean. Shapes: `(H, W)` is the plane in which maps are drawn, `C` the channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    media: ClassVar[Literal["image", "audio"]]
    """The files that it reads."""
    floor_baseline: ClassVar[Baseline]
    """The baseline at the lowest value of the contract's range: black, or silence."""
    default_baseline: ClassVar[Baseline]

    layout: Layout

    @property
    @abstractmethod
    def plane(self) -> tuple[int, int]:
        """Height and width of the tensor, and of every map."""

    @property
    @abstractmethod
    def planes(self) -> int:
        """Channels of the tensor, `C`."""

    @property
    @abstractmethod
    def value_range(self) -> tuple[Doubles, Doubles]:
        """Values of the darkest and the brightest, or of silence and full scale; each `(C,)`."""

    @abstractmethod
    def default_segmentation(self) -> methods_pb2.Segmentation:
        """How the plane is cut where a request does not say; parameters left open are defaults."""

    @abstractmethod
    def to_message(self) -> contract_pb2.PreprocessContract:
        """The contract as it goes over the wire."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one tensor, without the batch axis."""
        height, width = self.plane
        if self.layout is Layout.CHW:
            return (self.planes, height, width)
        return (height, width, self.planes)

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in a tensor without the batch axis."""
        return 0 if self.layout is Layout.CHW else 2

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """What may stand where a part is hidden, the default first."""
        every = (self.floor_baseline, methods_pb2.BASELINE_MEAN, methods_pb2.BASELINE_BLUR)
        return tuple(sorted(every, key=lambda one: one != self.default_baseline))

    def displayed(self, tensor: FloatArray) -> Doubles:
        """A tensor as people see it: `(H, W, C)`, from 0 (darkest, silence) to 1."""
        low, high = self.value_range
        values = np.moveaxis(tensor, self.channel_axis, -1).astype(np.float64)
        return np.ascontiguousarray(((values - low) / (high - low)).clip(0, 1))

    def undisplayed(self, values: Doubles) -> FloatArray:
        """The tensor of values `(..., H, W, C)` from 0 to 1: `displayed`, backwards."""
        low, high = self.value_range
        return self.arranged((low + values * (high - low)).astype(np.float32))

    def arranged(self, values: FloatArray) -> FloatArray:
        """Values `(..., H, W, C)` with their axes in the tensor's order."""
        return np.ascontiguousarray(np.moveaxis(values, -1, self.channel_axis - 3))

    def _check(self, *rules: Rule) -> Self:
        """Raise for every rule that does not hold, as if its field alone were wrong."""
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError("contradiction", "Input should be {rule}", {"rule": rule}),
                loc=(name,),
                input=getattr(self, name),
            )
            for name, holds, rule in rules
            if not holds
        ]
        if wrong:
            raise ValidationError.from_exception_data(type(self).__name__, wrong)
        return self


def choose(table: Mapping[Any, int], value: int, default: str | None, field: str) -> Any:
    """The key of an enum's number; `default` where the message leaves it unspecified.

    Raises:
        InvalidArgument: there is no such number, or it is missing and there is no default.
    """
    for name, number in table.items():
        if number == value:
            return name
    if value == 0 and default is not None:
        return default
    known = ", ".join(f"{number} ({name})" for name, number in table.items())
    raise InvalidArgument(
        f"{field} is {value or 'missing'}", field=field, remedy=f"choose one of: {known}"
    )


def read_fields(spec: type[InputSpec], message: Any, field: str, /, **fields: Any) -> Any:
    """A contract of a message that came from outside, every field checked.

    Args:
        spec: the kind of contract.
        message: its fields of the same name are taken.
        field: path of the message in the request, for the error.
        **fields: what is not taken as it stands in the message.

    Raises:
        InvalidArgument: a field is missing or out of range; the error names it.
    """
    layout = choose(LAYOUTS, message.layout, None, f"{field}.layout")
    taken = {
        name: getattr(message, name)
        for name in spec.model_fields
        if name not in fields and name != "layout"
    }
    try:
        return spec(layout=layout, **taken, **fields)
    except ValidationError as error:
        first = error.errors()[0]
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        name = "".join(parts)
        rule = first["msg"].removeprefix("Input should be ")
        raise InvalidArgument(
            f"{field}{name} is out of range", field=f"{field}{name}", remedy=f"it should be {rule}"
        ) from error
