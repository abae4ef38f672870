"""What a running explanation tells and hears: progress, time that is up, nobody who waits."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline

if TYPE_CHECKING:
    from explain_service.attribution import Attribution

PARTIAL_EVERY_S: Final = 2.0
"""Between two partial maps of one method."""
_LOOK_S: Final = 0.05
"""Between two looks at whether anybody still waits, in seconds."""

T = TypeVar("T")


class Cancelled(Exception):
    """Nobody waits for the explanation any more; it is never shown to a caller."""


def out_of_time() -> DeadlineTooShort:
    """What to raise where the time was up and there is nothing to make a map of."""
    return DeadlineTooShort(
        "the time was up before there was a map", remedy="allow more time, or ask for fewer samples"
    )


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
        share: Deadline | None = None,
        deadline: Deadline | None = None,
        on_partial: Callable[[list["Attribution"]], None] | None = None,
    ) -> None:
        """Begin now.

        Args:
            total: model calls in all.
            stop: set when the client went.
            share: when to leave the time to others, as soon as there is something to finish with;
                None for never.
            deadline: when to stop even with nothing to show; None for never.
            on_partial: called in the worker thread with usable maps of a method that still runs.
        """
        self.total = total
        self.done = 0
        self._stop = stop or threading.Event()
        self._share = share
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

    def wait(self, work: "Future[T]") -> T:
        """Result of what runs elsewhere.

        Raises:
            Cancelled: nobody waits any more.
            DeadlineTooShort: it would come too late to be made anything of.
        """
        while not work.done() and not self.out_of_time:
            self.check()
            with suppress(TimeoutError):
                return work.result(_LOOK_S)
        if not work.done():
            raise out_of_time()
        return work.result()

    def has_time_for(self, seconds: float) -> bool:
        """Whether something that takes so long still fits."""
        if self.done and self._share is not None and self._share.left() <= seconds:
            return False
        return self._deadline is None or self._deadline.left() > seconds

    @property
    def out_of_time(self) -> bool:
        """Whether to stop now and finish with what is there."""
        return not self.has_time_for(0)

    @property
    def too_late(self) -> bool:
        """Whether to stop now even if there is nothing to finish with."""
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
