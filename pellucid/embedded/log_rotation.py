"""Logs rotated by copy and truncation while they are written."""

import asyncio
import os
import shutil
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

_LIMIT_BYTES = 20_000_000
_PERIOD_S = 10.0


async def rotate_long_logs(
    folder: Path, limit_bytes: int = _LIMIT_BYTES, period_s: float = _PERIOD_S
) -> None:
    """Rotate the logs of a folder whenever they are found too long; never returns."""
    while True:
        for log in folder.glob("*.log"):
            # On this thread, which also writes the supervisor's log: no event is lost.
            rotate(log, limit_bytes)
        await asyncio.sleep(period_s)


def rotate(log: Path, limit_bytes: int) -> None:
    """Move a log's text to `<name>.log.1` if it is longer than the limit.

    It is copied and truncated, not renamed: processes hold the file, in append mode, and go on with
    it. What they write between the two is lost.
    """
    # A full disk must not keep the log from being truncated.
    with suppress(OSError):
        if log.stat().st_size <= limit_bytes:
            return
        with suppress(OSError):
            shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def rewind_if_truncated(file: TextIOWrapper) -> None:
    """Go back to the beginning of a log that was rotated after it was read to its end."""
    # What `tell` of a text file returns is no number of bytes.
    if os.fstat(file.fileno()).st_size < os.lseek(file.fileno(), 0, os.SEEK_CUR):
        file.seek(0)
