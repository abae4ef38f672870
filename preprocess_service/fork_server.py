"""The service's side of its worker processes: how they are started, used and killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from resource import getpagesize
from typing import Final, Self

from preprocess_service import frames
from preprocess_service.frames import Kind, Payload
from preprocess_service.settings import PreprocessSettings

_START_S: Final = 60.0
"""For a worker to be ready; the first one waits until the decoders are loaded and warm."""
_FRAMING_BYTES: Final = 1 << 16
"""Of a response, beside the message."""
_GROWTH_BYTES: Final = 96 << 20
"""A worker that holds so much more than when it was new is replaced."""


class ForkServer:
    """Forks workers from a process that has loaded the decoders once; a context manager."""

    def __init__(self, module: str = "preprocess_service.decode_worker") -> None:
        """Start loading; `module` is run with the file descriptor of its control socket."""
        self._module = module
        self._process, self._control = self._start()

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and with it every worker."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id; it may change when a worker is forked."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def fork(self) -> socket.socket:
        """Fork a worker; it answers on the socket once it is there.

        Raises:
            OSError: it cannot be started.
        """
        if not self.is_alive():
            self.__exit__()
            self._process, self._control = self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
        return ours

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        return process, ours


class Worker:
    """A process that decodes one file at a time."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        """Use `start`."""
        self._channel = channel
        self._pid = pid
        self._handle = os.pidfd_open(pid)  # a bare number may be another process by then
        self._size_when_new = self._resident_bytes()

    @classmethod
    async def start(cls, fork_server: ForkServer, settings: PreprocessSettings) -> Self:
        """Start one.

        Raises:
            OSError, EOFError, TimeoutError: it cannot be started.
        """
        channel = fork_server.fork()
        try:
            channel.setblocking(False)
            async with asyncio.timeout(_START_S):
                text = settings.model_dump_json().encode()
                await frames.send_async(channel, Kind.SETTINGS, text)
                _, pid = await frames.receive_async(channel, _FRAMING_BYTES)
            return cls(channel, int(pid))
        except BaseException:
            channel.close()
            raise

    async def ask(self, request: Payload, max_bytes: int) -> tuple[Kind, bytearray]:
        """Send a request and wait for what comes of it, of so many bytes at most; one at a time.

        Raises:
            EOFError, OSError: the worker is gone.
        """
        await frames.send_async(self._channel, Kind.REQUEST, request)
        return await frames.receive_async(self._channel, max_bytes + _FRAMING_BYTES)

    def is_alive(self) -> bool:
        """Whether it waits for a request; it may have died since it answered the last."""
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # it hung up, or speaks unasked

    def has_grown(self) -> bool:
        """Whether files have left much memory behind."""
        return self._resident_bytes() > self._size_when_new + _GROWTH_BYTES

    def kill(self) -> None:
        """End it at once, whatever it does; again, nothing happens."""
        if self._channel.fileno() < 0:
            return
        self._channel.close()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        os.close(self._handle)

    def _resident_bytes(self) -> int:
        try:
            with open(f"/proc/{self._pid}/statm", encoding="ascii") as statm:
                return int(statm.read().split()[1]) * getpagesize()
        except OSError:  # it has died
            return 0
