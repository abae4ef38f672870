"""Parameters of methods and segmentations, as their messages describe them.

Description, default, range and unit stand as options at the field (`parameter.proto`), and nowhere
else. From there come the checks of the server, the capabilities, the client and the documents.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from pellucid.api.common.v1 import parameter_pb2
from pellucid.errors import InvalidArgument

MAX_METHODS: Final = 16
"""In one request."""

Value = bool | int | float | str
M = TypeVar("M", bound=Message)

_TYPES: Final = {
    FieldDescriptor.CPPTYPE_UINT32: "integer",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_STRING: "string",
}


@dataclass(frozen=True)
class Parameter:
    """One field of a method or of a segmentation."""

    name: str
    type: str
    """`integer`, `number`, `boolean` or `string`."""
    default: Value | None
    """None where the model's card decides."""
    minimum: float | None
    maximum: float | None
    unit: str
    """E.g. `samples`; empty where the number has none."""
    description: str

    @property
    def range(self) -> str:
        """In words, e.g. `10 to 10000 samples`."""
        if self.minimum is None or self.maximum is None:
            return "a value of the right type"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.minimum:g} to {self.maximum:g}{unit}"

    def accepts(self, value: Any) -> bool:
        """Whether a value of the right type is in range; what is not a number never is."""
        if self.minimum is None or self.maximum is None:
            return True
        return bool(self.minimum <= value <= self.maximum)


@cache
def parameters_of(descriptor: Descriptor) -> tuple[Parameter, ...]:
    """The parameters of a message, in the order of their numbers.

    Raises:
        TypeError: a field lacks the option, or is of a type that parameters do not have.
    """
    fields = sorted(descriptor.fields, key=lambda field: field.number)
    return tuple(_parameter(field) for field in fields)


def resolve(message: M, field: str) -> M:
    """A copy of a message that came from outside, checked; what it does not set has its default.

    Args:
        message: of parameters.
        field: its path in the request, for the error.

    Raises:
        InvalidArgument: a value is out of range, or not a number.
    """
    resolved = type(message)()
    resolved.CopyFrom(message)
    for parameter in parameters_of(message.DESCRIPTOR):
        if not message.HasField(parameter.name):
            if parameter.default is not None:
                setattr(resolved, parameter.name, parameter.default)
            continue
        value = getattr(message, parameter.name)
        if not parameter.accepts(value):
            raise InvalidArgument(
                f"{parameter.name} is {value}",
                field=f"{field}.{parameter.name}",
                remedy=f"choose {parameter.range}",
                parameter=parameter.name,
                value=str(value),
            )
    return resolved


def check_method_count(count: int, field: str) -> None:
    """Refuse more methods than one request may name; `field` is their path in it.

    Raises:
        InvalidArgument: there are more than `MAX_METHODS`.
    """
    if count > MAX_METHODS:
        raise InvalidArgument(
            f"{count} methods were asked for",
            field=field,
            remedy=f"ask for at most {MAX_METHODS}",
        )


def _parameter(field: FieldDescriptor) -> Parameter:
    options = field.GetOptions()
    if field.cpp_type not in _TYPES or not options.HasExtension(parameter_pb2.parameter):
        raise TypeError(f"{field.full_name} is not described as a parameter")
    said = options.Extensions[parameter_pb2.parameter]
    return Parameter(
        name=field.name,
        type=_TYPES[field.cpp_type],
        default=json.loads(said.default) if said.default else None,
        minimum=said.minimum if said.HasField("minimum") else None,
        maximum=said.maximum if said.HasField("maximum") else None,
        unit=said.unit,
        description=said.description,
    )
