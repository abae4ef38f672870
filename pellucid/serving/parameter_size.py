"""How much of a message is parameters, found before it is decoded.

Decoded, a message of many small parts takes about twenty times its size, and seconds of the event
loop; a file's bytes take their size.
"""

from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pellucid.errors import InvalidArgument

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT: Final = 10


def check_parameters(message: bytes, descriptor: Descriptor, maximum: int) -> None:
    """Refuse a message that has too many bytes beside its content.

    Args:
        message: serialised; https://protobuf.dev/programming-guides/encoding/.
        descriptor: of the message. Its content is the values of fields of bytes, and of messages
            that hold such a field themselves, like a tensor.
        maximum: bytes of all the rest together.

    Raises:
        InvalidArgument: it has more.
    """
    if len(message) <= maximum:
        return
    content = {field.number for field in descriptor.fields if _is_content(field)}
    parameters = len(message)
    for number, size, read in _fields(message):
        if number in content:
            parameters -= size
        elif read - (len(message) - parameters) > maximum:
            break
    if parameters > maximum:
        raise InvalidArgument(
            f"the message has more than {maximum} bytes beside its content",
            remedy="send fewer or shorter parameters",
            limit="max_parameter_bytes",
            maximum=str(maximum),
        )


def _is_content(field: FieldDescriptor) -> bool:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return True
    parts = field.message_type.fields if field.message_type else ()
    return any(part.type == FieldDescriptor.TYPE_BYTES for part in parts)


def _fields(message: bytes) -> Iterator[tuple[int, int, int]]:
    """Number and bytes of the value of each field, and the bytes read so far.

    It ends early where the message cannot be read, which the decoder will say.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, size = tag & 7, 0
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _DELIMITED:
            size, at = _varint(message, at)
            at += size
        else:
            # Groups begin and end with a tag alone.
            at += _FIXED.get(kind, 0)
        if at > len(message):
            return
        yield tag >> 3, size, at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(message):
            break
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return 0, len(message) + 1
