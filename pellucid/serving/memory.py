"""Gives memory back to the system after large requests.

gRPC receives a message in thousands of small pieces; once freed, glibc keeps their pages for the
process. A service that was sent a few files of 100 MB would hold hundreds of megabytes for ever.
"""

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

LARGE_BYTES: Final = 4 << 20
"""Requests from this size on are worth the milliseconds that it takes."""
_DELAY_S: Final = 0.5
Trim: TypeAlias = Callable[[int], object]
"""Gives back what is free, but for so many bytes."""


class Trimmer:
    """Trims the heap a moment after a large request; one for one event loop."""

    def __init__(self, trim: Trim | None = None, delay_s: float = _DELAY_S) -> None:
        """Trim nothing yet.

        Args:
            trim: gives memory back; by default the C library does, where it can.
            delay_s: until the call has ended and its message is freed.
        """
        # Through ctypes it runs without Python's lock.
        self._trim = trim or getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._delay_s = delay_s
        self._planned: asyncio.TimerHandle | None = None

    @contextmanager
    def around(self, request_bytes: int) -> Iterator[None]:
        """Trim a moment after the block, if the request is large."""
        is_large = request_bytes >= LARGE_BYTES
        try:
            yield
        finally:
            # Requests in quick succession share one.
            if is_large and self._trim is not None and self._planned is None:
                self._planned = asyncio.get_running_loop().call_later(self._delay_s, self._start)

    def _start(self) -> None:
        self._planned = None
        assert self._trim is not None
        asyncio.get_running_loop().run_in_executor(None, self._trim, 0)
