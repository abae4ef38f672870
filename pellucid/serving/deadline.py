"""The caller's time budget, carried down the chain: Python's gRPC does not pass it on by itself."""

import math
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Self

import grpc

from pellucid.errors import DeadlineTooShort
from pellucid.serving.settings import ServiceSettings

CLOCK_SLACK_S: Final = 0.02
"""Timers end a little early, and the caller's word that its time is up may come as early."""


class Shutdown:
    """The end of a service, once it is known: no deadline in it is later.

    So what is running then ends as it does when its caller's time runs short: with what there is.
    """

    def __init__(self) -> None:
        """Not in sight."""
        self._began = math.inf
        self._seconds = 0.0

    def begin(self, seconds: float) -> None:
        """The service ends so many seconds from now."""
        self._began, self._seconds = monotonic(), seconds

    @property
    def has_begun(self) -> bool:
        """Whether the end is known."""
        return self._began < math.inf

    def moment(self, share: float) -> float:
        """When this share of the time until the end will be over, on the monotonic clock."""
        return self._began + share * self._seconds


@dataclass(frozen=True, slots=True)
class Deadline:
    """Moment, on the monotonic clock in seconds, by which the caller needs the answer."""

    at: float
    shutdown: Shutdown | None = None
    """Of the service, which may come earlier."""
    reserve_s: float = 0.0
    """Kept back of what is left, whichever comes first."""
    share: float = 1.0
    """Of the time that a service that is stopped has left."""

    @classmethod
    def of(
        cls,
        context: grpc.aio.ServicerContext[Any, Any],
        settings: ServiceSettings,
        shutdown: Shutdown | None = None,
    ) -> Self:
        """What the caller gave, or the default; never more than the longest allowed."""
        left = context.time_remaining()
        budget = settings.default_deadline_s if left is None else left
        return cls(monotonic() + min(budget, settings.max_deadline_s), shutdown)

    @classmethod
    def after(cls, seconds: float) -> Self:
        """So many seconds from now."""
        return cls(monotonic() + seconds)

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.left() <= CLOCK_SLACK_S

    def left(self) -> float:
        """Seconds left, never below 0."""
        end = math.inf if self.shutdown is None else self.shutdown.moment(self.share)
        at = min(self.at, end)
        return max(at - self.reserve_s - monotonic(), 0.0)

    def part(self, share: float) -> "Deadline":
        """When a share of what is left will be over, or of what a stopped service has left."""
        at = monotonic() + self.left() * share
        if self.shutdown is None or self.shutdown.has_begun:
            return Deadline(at)
        return Deadline(at, self.shutdown, share=self.share * share)

    def keeping(self, seconds: float) -> "Deadline":
        """The same with so many seconds kept back."""
        return replace(self, reserve_s=self.reserve_s + seconds)

    def timeout(self, reserve_s: float = 0.0) -> float:
        """Seconds left, for a call to the next service.

        Args:
            reserve_s: kept back to do something with its answer.

        Raises:
            DeadlineTooShort: there are none.
        """
        left = self.left() - reserve_s
        if left <= 0:
            raise DeadlineTooShort("the deadline has passed", remedy="allow more time")
        return left
