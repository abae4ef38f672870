"""What goes between a running method and its request: progress, maps, time, cancellation."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline

if TYPE_CHECKING:
    from explain_service.attribution import Attribution

PARTIAL_EVERY_S: Final = 2.0
"""Between two partial maps of one method, at least."""
_CHECK_EVERY_S: Final = 0.05
"""Between two checks whether a request was cancelled, while it waits."""

T = TypeVar("T")


class Cancelled(Exception):
    """The request was cancelled; it is never shown to a caller."""


def out_of_time() -> DeadlineTooShort:
    """What to raise where the time was up and there is nothing to make a map of."""
    return DeadlineTooShort(
        "the time was up before there was a map", remedy="allow more time, or ask for fewer samples"
    )


class Cancellation:
    """Whether a request was cancelled; for any thread."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], object]] = []

    def cancel(self) -> None:
        """Cancel the request, and the calls that are on their way for it."""
        with self._lock:
            self._cancelled.set()
            calls = tuple(self._calls)
        for cancel in calls:
            cancel()

    def check(self) -> None:
        """Raise `Cancelled` if the request was."""
        if self._cancelled.is_set():
            raise Cancelled

    @contextmanager
    def cancelling(self, call: Callable[[], object]) -> Iterator[None]:
        """Run `call` if the request is cancelled in this context; at once if it was before."""
        with self._lock:
            self._calls.append(call)
            late = self._cancelled.is_set()
        try:
            if late:
                call()
            yield
        finally:
            with self._lock:
                self._calls.remove(call)


@dataclass
class Progress:
    """How far one method is."""

    total: int
    """Model calls in all; a method may correct it."""
    done: int = 0
    """Model calls done."""
    began: float = field(default_factory=monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the method began."""
        return monotonic() - self.began

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end; None before the first call came back."""
        if not self.done:
            return None
        return self.elapsed / self.done * max(self.total - self.done, 0)


@dataclass(frozen=True)
class TimeBudget:
    """When a method should end, and when it must."""

    share: Deadline | None = None
    """When to leave the time to others, as soon as there is something to finish with."""
    deadline: Deadline | None = None
    """When to stop even with nothing to show."""

    def allows(self, seconds: float, *, started: bool) -> bool:
        """Whether something that takes so long still fits; the share counts once it `started`."""
        if started and self.share is not None and self.share.left() <= seconds:
            return False
        return self.deadline is None or self.deadline.left() > seconds

    @property
    def too_late(self) -> bool:
        """Whether to stop now even if there is nothing to finish with."""
        return self.deadline is not None and self.deadline.left() <= 0


class RunControl:
    """One run of one method: a method calls `advance` after each batch of model calls."""

    def __init__(
        self,
        *,
        total: int,
        cancellation: Cancellation | None = None,
        budget: TimeBudget | None = None,
        on_partial: Callable[[list["Attribution"]], None] | None = None,
        partial_every_s: float = PARTIAL_EVERY_S,
    ) -> None:
        """Begin now.

        Args:
            total: model calls in all.
            cancellation: of the request.
            budget: of time; without end where absent.
            on_partial: called in the worker thread with usable maps of a method that still runs.
            partial_every_s: seconds between two of its calls, at least.
        """
        self.progress = Progress(total)
        self._cancellation = cancellation or Cancellation()
        self._budget = budget or TimeBudget()
        self._on_partial = on_partial
        self._partial_every_s = partial_every_s
        self._last_partial = self.progress.began

    def check(self) -> None:
        """Raise `Cancelled` if the request was."""
        self._cancellation.check()

    def advance(self, calls: int) -> None:
        """Count model calls that are done; raises `Cancelled` if the request was."""
        self.check()
        self.progress.done += calls

    def offer_partial(self, make: Callable[[], list["Attribution"]]) -> None:
        """Show what there is so far, if the last time was long enough ago."""
        due = monotonic() - self._last_partial >= self._partial_every_s
        if self._on_partial is None or not due or self.progress.done >= self.progress.total:
            return
        self._on_partial(make())
        self._last_partial = monotonic()

    def wait(self, work: "Future[T]") -> T:
        """Result of what runs elsewhere.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: it would come too late to be made anything of.
        """
        while not work.done() and not self.out_of_time:
            self.check()
            with suppress(TimeoutError):
                return work.result(_CHECK_EVERY_S)
        if not work.done():
            raise out_of_time()
        return work.result()

    def has_time_for(self, seconds: float) -> bool:
        """Whether something that takes so long still fits."""
        return self._budget.allows(seconds, started=self.progress.done > 0)

    @property
    def out_of_time(self) -> bool:
        """Whether to stop now and finish with what is there."""
        return not self.has_time_for(0)

    @property
    def too_late(self) -> bool:
        """Whether to stop now even if there is nothing to finish with."""
        return self._budget.too_late
