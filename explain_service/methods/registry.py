"""Which methods there are, and how a request names them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from explain_service.methods.base import Method
from pellucid.api.explain.v1 import methods_pb2
from pellucid.errors import InvalidArgument
from pellucid.parameters import check_method_count, parameters_of, resolve

_ONEOF = methods_pb2.Method.DESCRIPTOR.oneofs_by_name["method"]
_EXTENSION = "extension"


class MethodRegistry:
    """Methods by name, in the order in which they are offered."""

    def __init__(self, methods: Iterable[Method[Any]]) -> None:
        """List these methods.

        Raises:
            ValueError: two have the same name or the same message of parameters.
            TypeError: a field of a method's message is not described as a parameter.
        """
        listed = tuple(methods)
        self._by_name = {method.name: method for method in listed}
        self._by_message = {method.message.DESCRIPTOR.full_name: method for method in listed}
        if not len(listed) == len(self._by_name) == len(self._by_message):
            raise ValueError("two methods have the same name or the same message of parameters")
        for method in listed:
            parameters_of(method.message.DESCRIPTOR)

    def __iter__(self) -> Iterator[Method[Any]]:
        """All methods."""
        return iter(self._by_name.values())

    def decode(
        self, messages: Sequence[methods_pb2.Method], field: str
    ) -> list[tuple[Method[Any], Message, str]]:
        """The methods of a request, their parameters in range and with defaults, and their paths.

        Raises:
            InvalidArgument: there are too many, one is empty, unknown or asked for twice, or a
                value is out of range.
        """
        check_method_count(len(messages), field)
        found = [self._decode(message, f"{field}[{n}]") for n, message in enumerate(messages)]
        seen: set[str] = set()
        for place, (method, _, _) in enumerate(found):
            if method.name in seen:
                # Progress and maps are told apart by the name of their method.
                raise InvalidArgument(
                    f"{method.name} is asked for twice",
                    field=f"{field}[{place}]",
                    remedy="send one request for each set of parameters",
                    method=method.name,
                )
            seen.add(method.name)
        return found

    def _decode(self, message: methods_pb2.Method, field: str) -> tuple[Method[Any], Message, str]:
        name = message.WhichOneof("method")
        if name is None:
            raise InvalidArgument(
                "the method is empty", field=field, remedy=f"set one of: {', '.join(self._by_name)}"
            )
        path = f"{field}.{name}"
        packed: Message = getattr(message, name)
        if isinstance(packed, AnyMessage):
            method = self._of(packed.type_url.rpartition("/")[2], path)
            parameters = method.message()
            try:
                packed.Unpack(parameters)
            except DecodeError as error:
                raise InvalidArgument(
                    f"the parameters of {method.name} cannot be read",
                    field=path,
                    remedy=f"send a {method.message.DESCRIPTOR.full_name}",
                ) from error
        else:
            method, parameters = self._of(packed.DESCRIPTOR.full_name, path), packed
        return method, resolve(parameters, path), path

    def _of(self, message: str, path: str) -> Method[Any]:
        if message not in self._by_message:
            raise InvalidArgument(
                f"this server has no method with parameters {message!r}",
                field=path,
                remedy=f"choose one of: {', '.join(self._by_name)}",
            )
        return self._by_message[message]


def encode_method(method: Method[Any], parameters: Message) -> methods_pb2.Method:
    """A method with its parameters, for the receipt."""
    if method.name in (field.name for field in _ONEOF.fields if field.name != _EXTENSION):
        known = methods_pb2.Method()
        getattr(known, method.name).CopyFrom(parameters)
        return known
    packed = AnyMessage()
    packed.Pack(parameters)
    return methods_pb2.Method(extension=packed)
