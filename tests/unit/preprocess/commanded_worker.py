"""A worker that does what a file tells it to, as a decoder might that it takes over or crashes."""

import os
import signal
import socket
import sys

from pellucid.api.preprocess.v1 import preprocess_pb2
from preprocess_service import decode_worker
from preprocess_service.frames import Kind
from preprocess_service.settings import PreprocessSettings

CRASH, HANG, BABBLE, BUG, WRITE = b"crash", b"hang", b"babble", b"bug", b"write to "


def obey(encoded: bytes | bytearray, settings: PreprocessSettings) -> tuple[Kind, bytes]:
    content = preprocess_pb2.PreprocessRequest.FromString(bytes(encoded)).content
    if content.startswith(WRITE):
        with open(content.removeprefix(WRITE), "wb") as file:
            file.write(b"of a client")
    match content:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"hang":
            signal.pause()
        case b"babble":
            return Kind.ERROR, b"\x80\x04cos\nsystem\n."
        case b"bug":
            return Kind.BUG, b"ZeroDivisionError in a worker"
    return decode_worker.respond(encoded, settings)


if __name__ == "__main__":
    decode_worker.fork_workers(socket.socket(fileno=int(sys.argv[1])), obey)
