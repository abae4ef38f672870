"""Waiting for what happens in other processes."""

import time
from collections.abc import Callable

WITHIN_S = 60.0


def wait_until(
    condition: Callable[[], bool], *, within_s: float = WITHIN_S, every_s: float = 0.1
) -> None:
    """Ask until a condition holds.

    Raises:
        AssertionError: it did not within this time.
    """
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every_s)
