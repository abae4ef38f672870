"""What a worker may not do: outlive the service, fill the memory, write a file, speak."""

import ctypes
import os
import resource
import signal
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_NO_CORE: Final = 1
"""Of one byte no core is written. 0 would not do: where cores are piped to a program, as many
distributions do, Linux takes it for no limit, and this for none at all."""


def confine(memory_bytes: int, parent: int) -> None:
    """Confine this process for good.

    Args:
        memory_bytes: what it may take from now on, beside what it holds already.
        parent: its parent's process id; when that dies, this process is killed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could take this process along
        os._exit(1)
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_bytes)
    _limit(resource.RLIMIT_CORE, _NO_CORE)
    # Files, that is: sockets and pipes have no size. Python turns the signal into an error.
    _limit(resource.RLIMIT_FSIZE, 0)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # decoders in C write about the file to standard error
        os.dup2(silence, stream)
    os.close(silence)


def _limit(kind: int, maximum: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        maximum = min(maximum, hard)
    resource.setrlimit(kind, (maximum, maximum))


def _data_bytes() -> int:
    """Private memory that this process could write to: what RLIMIT_DATA counts."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[5]) * resource.getpagesize()


class MemoryGauge:
    """The most memory that this process has held since the gauge was made."""

    def __init__(self) -> None:
        """Start from what it holds now."""
        with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as control:
            control.write("5")  # forgets the peak
        self._start = self._peak()

    def taken_bytes(self) -> int:
        """Bytes of the peak above the start."""
        return self._peak() - self._start

    def _peak(self) -> int:
        with open("/proc/self/status", encoding="ascii") as status:
            (line,) = (line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
