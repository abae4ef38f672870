"""`python -m preprocess_service.decode_worker FD`: the processes in which files are decoded.

The first one loads the decoders and forks workers on demand, which share its memory; it decodes
nothing itself. A worker reads one file after the other, and may die of any of them. Neither knows
of gRPC, whose threads and locks a fork would tear apart.
"""

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from pellucid import contracts
from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.errors import PellucidError, UnreadableMedia
from preprocess_service import encoding, frames, pipeline, warm_up
from preprocess_service.confinement import MemoryGauge, confine
from preprocess_service.errors import too_costly
from preprocess_service.frames import Kind
from preprocess_service.settings import PreprocessSettings

Respond = Callable[[bytes | bytearray, PreprocessSettings], tuple[Kind, bytes]]


def respond(request: bytes | bytearray, settings: PreprocessSettings) -> tuple[Kind, bytes]:
    """Read the file of an encoded `PreprocessRequest`; never raises."""
    memory = MemoryGauge()
    maximum = settings.decode_memory_bytes
    error: PellucidError = too_costly("bytes of memory", maximum, "decode_memory_bytes")
    try:
        return Kind.RESPONSE, _preprocess(request, settings)
    except MemoryError:
        pass
    except PellucidError as refused:
        # A decoder in C that gets no memory gives up as it does on a damaged file.
        is_starved = (
            isinstance(refused, UnreadableMedia) and memory.taken_bytes() > maximum * 3 // 4
        )
        error = error if is_starved else refused
    except Exception as bug:
        # Without its text, which may quote the file.
        where = "".join(traceback.format_tb(bug.__traceback__))
        return Kind.BUG, f"{type(bug).__name__} in a worker:\n{where}".encode()
    return Kind.ERROR, frames.encode_error(error)


def _preprocess(encoded: bytes | bytearray, settings: PreprocessSettings) -> bytes:
    request = preprocess_pb2.PreprocessRequest.FromString(bytes(encoded))
    contract = contracts.decode(request.contract)
    result = pipeline.preprocess(
        request.content, contract, settings, with_preview=not request.without_display
    )
    return encoding.encode_result(result).SerializeToString()


def serve(channel: socket.socket, parent: int, respond: Respond) -> None:
    """Respond to requests until the service hangs up."""
    _, text = frames.receive(channel)
    settings = PreprocessSettings.model_validate_json(text)
    confine(settings.decode_memory_bytes, parent)
    frames.send(channel, Kind.READY, str(os.getpid()).encode())
    while True:  # and keep nothing of a file
        frames.send(channel, *respond(frames.receive(channel)[1], settings))


def fork_workers(control: socket.socket, respond: Respond = respond) -> None:
    """Fork a worker for every channel that arrives, until the service is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects them
    for number in (signal.SIGINT, signal.SIGTERM):  # which the service may get with its group
        signal.signal(number, signal.SIG_IGN)
    warm_up.warm_up()
    gc.freeze()  # or the first collection in a worker would copy what it shares
    parent = os.getpid()
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            try:
                serve(socket.socket(fileno=descriptors[0]), parent, respond)
            except (EOFError, ConnectionError):
                os._exit(0)
            finally:
                os._exit(1)
        os.close(descriptors[0])


if __name__ == "__main__":
    fork_workers(socket.socket(fileno=int(sys.argv[1])))
