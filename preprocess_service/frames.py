"""What the service and its workers say to each other: frames of a kind, a length and so many bytes.

A worker may be in the hands of whoever made the file that it decodes, so nothing that it sends is
ever unpickled: frames carry protobuf messages and JSON.
"""

import asyncio
import json
import socket
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from pellucid.errors import PellucidError, family

_HEADER: Final = Struct("<BQ")
Payload = bytes | bytearray


class Kind(IntEnum):
    """What a frame carries."""

    SETTINGS = 0
    """To a new worker: the service's settings as JSON."""
    READY = 1
    """From it, once it has confined itself: its process id, as decimal digits."""
    REQUEST = 2
    """A file and what to make of it: a `PreprocessRequest`."""
    RESPONSE = 3
    """What was made of it: a `PreprocessResponse`."""
    ERROR = 4
    """Why the file is not read: an error of the family as JSON."""
    BUG = 5
    """Where an unexpected exception was raised, for the log."""


def send(channel: socket.socket, kind: Kind, payload: Payload) -> None:
    """Send a frame; blocks."""
    channel.sendall(_HEADER.pack(kind, len(payload)))
    channel.sendall(payload)


def receive(channel: socket.socket) -> tuple[Kind, bytearray]:
    """Receive a frame; blocks.

    Raises:
        EOFError: the other side is gone.
    """
    kind, length = _HEADER.unpack(_fill(channel, _HEADER.size))
    return Kind(kind), _fill(channel, length)


def _fill(channel: socket.socket, length: int) -> bytearray:
    payload = bytearray(length)
    left = memoryview(payload)
    while left:
        received = channel.recv_into(left)
        if not received:
            raise EOFError
        left = left[received:]
    return payload


async def send_async(channel: socket.socket, kind: Kind, payload: Payload) -> None:
    """Send a frame over a socket that does not block."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(channel, _HEADER.pack(kind, len(payload)))
    await loop.sock_sendall(channel, payload)


async def receive_async(channel: socket.socket, max_bytes: int) -> tuple[Kind, bytearray]:
    """Receive a frame of at most `max_bytes` over a socket that does not block.

    Raises:
        EOFError: the other side is gone, or announces a longer frame.
    """
    kind, length = _HEADER.unpack(await _fill_async(channel, _HEADER.size))
    if length > max_bytes:
        raise EOFError
    return Kind(kind), await _fill_async(channel, length)


async def _fill_async(channel: socket.socket, length: int) -> bytearray:
    loop = asyncio.get_running_loop()
    payload = bytearray(length)
    left = memoryview(payload)
    while left:
        received = await loop.sock_recv_into(channel, left)
        if not received:
            raise EOFError
        left = left[received:]
    return payload


def encode_error(error: PellucidError) -> bytes:
    """Encode an error of the family."""
    fields: dict[str, Any] = {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "remedy": error.remedy,
        "metadata": error.metadata,
    }
    return json.dumps(fields).encode()


def decode_error(payload: Payload) -> PellucidError:
    """Decode what `encode_error` encoded."""
    fields = json.loads(payload)
    kind = family()[fields["reason"]]
    return kind(
        fields["message"], field=fields["field"], remedy=fields["remedy"], **fields["metadata"]
    )
