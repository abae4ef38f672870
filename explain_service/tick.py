"""What a running explanation tells and hears: progress, time that is up, nobody who waits."""

import threading
from collections.abc import Callable
from time import monotonic

from pellucid.serving.deadline import Deadline


class Cancelled(Exception):
    """Nobody waits for the explanation any more; it is never shown to a caller."""


class Tick:
    """Progress of one method. An explainer calls `step` after each batch of model calls.

    Attributes:
        total: model calls in all; an explainer may correct it.
        done: model calls done.
    """

    def __init__(
        self,
        *,
        total: int,
        stop: threading.Event | None = None,
        deadline: Deadline | None = None,
        on_step: Callable[["Tick"], None] = lambda tick: None,
    ) -> None:
        """Begin now.

        Args:
            total: model calls in all.
            stop: set when the client went.
            deadline: when to stop sampling and finish with what is there; None for never.
            on_step: called in the worker thread after each step.
        """
        self.total = total
        self.done = 0
        self._stop = stop or threading.Event()
        self._deadline = deadline
        self._on_step = on_step
        self._begin = monotonic()

    def check(self) -> None:
        """Raise `Cancelled` if nobody waits any more."""
        if self._stop.is_set():
            raise Cancelled

    def step(self, calls: int) -> None:
        """Count model calls that are done; raises `Cancelled` if nobody waits any more."""
        self.check()
        self.done += calls
        self._on_step(self)

    @property
    def out_of_time(self) -> bool:
        """Whether to stop sampling now and finish with what is there."""
        return self._deadline is not None and self._deadline.left() <= 0

    @property
    def elapsed(self) -> float:
        """Seconds since the method began."""
        return monotonic() - self._begin

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end; None before the first step."""
        if not self.done:
            return None
        return self.elapsed / self.done * max(self.total - self.done, 0)
