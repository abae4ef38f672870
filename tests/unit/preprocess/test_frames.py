import socket

import pytest

from pellucid.errors import MediaLimitExceeded
from preprocess_service import frames
from preprocess_service.errors import too_costly
from preprocess_service.frames import Kind


def test_an_error_comes_back_as_it_was_raised():
    error = too_costly("bytes of memory", 1 << 30, "decode_memory_bytes")
    found = frames.decode_error(frames.encode_error(error))
    assert type(found) is MediaLimitExceeded
    assert vars(found) == vars(error)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_frame_arrives_whole(size: int):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send(ours, Kind.REQUEST, bytes(size))
        assert frames.receive(theirs) == (Kind.REQUEST, bytes(size))


async def test_a_frame_that_is_longer_than_allowed_is_not_received():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send(ours, Kind.RESPONSE, bytes(101))
        theirs.setblocking(False)
        with pytest.raises(EOFError):
            await frames.receive_async(theirs, 100)


def test_half_a_frame_is_none():
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(b"\2\0")
        with pytest.raises(EOFError):
            frames.receive(theirs)
