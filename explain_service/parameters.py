"""Parameters of a method or a segmentation: one definition for all that is said about them.

A class lists its fields with range, default, unit and description. From that come decoding with
the path of the field at fault, the default values, the text of the capabilities and the receipt.
"""

from typing import Any, ClassVar, Self

from annotated_types import Ge, Le
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.api.explain.v1 import explain_pb2
from pellucid.errors import InvalidArgument

_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def parameter(
    default: Any,
    description: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    unit: str = "",
) -> Any:
    """Declare one parameter; `default=None` leaves the value to the model's card."""
    return Field(
        default=default,
        ge=ge,
        le=le,
        description=description,
        allow_inf_nan=None if ge is None else False,
        json_schema_extra={"unit": unit},
    )


class Parameters(BaseModel):
    """Base of all sets of parameters; immutable, and checked when made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    """Field of the message's oneof, e.g. `lime`."""

    @classmethod
    def decode(cls, message: Message, field: str) -> Self:
        """Read a message that came from outside; what it does not set takes its default.

        Args:
            message: of the type that has these fields.
            field: its path in the request, for the error.

        Raises:
            InvalidArgument: a value is out of range, or not a number.
        """
        given: Any = {
            name: getattr(message, name) for name in cls.model_fields if message.HasField(name)
        }
        try:
            return cls(**given)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise InvalidArgument(
                f"{name} is {given[name]}",
                field=f"{field}.{name}",
                remedy=f"choose {_range(cls, name)}",
                parameter=name,
                value=str(given[name]),
            ) from error

    def encode(self, message: Message) -> None:
        """Write every value that is known into a message of the type that has these fields."""
        message.SetInParent()
        for name, value in self:
            if value is not None:
                setattr(message, name, value)

    @classmethod
    def describe(cls) -> list[explain_pb2.Parameter]:
        """The parameters, as the capabilities list them."""
        described = []
        for name, info in cls.model_fields.items():
            low, high = _limits(cls, name)
            extra: Any = info.json_schema_extra
            described.append(
                explain_pb2.Parameter(
                    name=name,
                    type=_TYPES[_type(info.annotation)],
                    default_value=_text(info.default),
                    minimum=low,
                    maximum=high,
                    unit=extra["unit"],
                    description=info.description or "",
                )
            )
        return described


def _type(annotation: Any) -> Any:
    """The plain type of `int` or `int | None`."""
    options = getattr(annotation, "__args__", (annotation,))
    return next(option for option in options if option is not type(None))


def _limits(kind: type[Parameters], name: str) -> tuple[Any, Any]:
    metadata = kind.model_fields[name].metadata
    low = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    high = next((item.le for item in metadata if isinstance(item, Le)), None)
    return low, high


def _range(kind: type[Parameters], name: str) -> str:
    low, high = _limits(kind, name)
    extra: Any = kind.model_fields[name].json_schema_extra
    unit = f" {extra['unit']}" if extra["unit"] else ""
    return f"{low:g} to {high:g}{unit}" if low is not None else "a value of the right type"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
