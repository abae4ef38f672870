"""The caller's time budget, carried down the chain: Python's gRPC does not pass it on by itself."""

from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

import grpc

from pellucid.errors import DeadlineTooShort
from pellucid.serving.settings import ServiceSettings

CLOCK_SLACK_S: Final = 0.02
"""Timers end a little early, and the caller's word that its time is up may come as early."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Moment, on the monotonic clock in seconds, by which the caller needs the answer."""

    at: float

    @classmethod
    def of(cls, context: grpc.aio.ServicerContext[Any, Any], settings: ServiceSettings) -> Self:
        """What the caller gave, or the default; never more than the longest allowed."""
        left = context.time_remaining()
        budget = settings.default_deadline_s if left is None else left
        return cls(monotonic() + min(budget, settings.max_deadline_s))

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
        return max(self.at - monotonic(), 0.0)

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
