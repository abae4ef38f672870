"""What a running explanation tells and hears: progress, time that is up, nobody who waits."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from pellucid.serving.deadline import Deadline

if TYPE_CHECKING:
    from explain_service.attribution import Attribution

PARTIAL_EVERY_S: Final = 2.0
"""Between two partial maps of one method."""


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
        on_partial: Callable[[list["Attribution"]], None] | None = None,
    ) -> None:
        """Begin now.

        Args:
            total: model calls in all.
            stop: set when the client went.
            deadline: when to stop sampling and finish with what is there; None for never.
            on_partial: called in the worker thread with usable maps of a method that still runs.
        """
        self.total = total
        self.done = 0
        self._stop = stop or threading.Event()
        self._deadline = deadline
        self._on_partial = on_partial
        self._begin = monotonic()
        self._last_partial = self._begin

    def check(self) -> None:
        """Raise `Cancelled` if nobody waits any more."""
        if self._stop.is_set():
            raise Cancelled

    def step(self, calls: int) -> None:
        """Count model calls that are done; raises `Cancelled` if nobody waits any more."""
        self.check()
        self.done += calls

    def offer(self, make: Callable[[], list["Attribution"]]) -> None:
        """Show what there is so far, if the last time was long enough ago."""
        due = monotonic() - self._last_partial >= PARTIAL_EVERY_S
        if self._on_partial is None or not due or self.done >= self.total:
            return
        self._on_partial(make())
        self._last_partial = monotonic()

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
