"""What a method will cost: model calls, bytes to Triton, seconds from the speed measured so far."""

import threading
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from explain_service.methods.base import Method, Workload

_MEMORY: Final = 0.7
"""Weight of what is known when a new speed is measured."""


@dataclass(frozen=True)
class Cost:
    """Of one method for one input."""

    calls: int
    """Inputs that the model evaluates."""
    sent_bytes: int
    """Sent to Triton."""
    seconds: float | None
    """None before anything was measured."""
    relative: float
    """Compared with other methods of which some were not measured."""


class Planner:
    """Counts without paying, and learns how long calls take; shared by all threads."""

    def __init__(self, masks_per_call: int) -> None:
        """Know nothing yet; `masks_per_call` go to Triton at once."""
        self._masks_per_call = masks_per_call
        self._lock = threading.Lock()
        self._seconds: dict[tuple[str, str], float] = {}

    def cost(self, method: Method[Any], parameters: Message, workload: Workload) -> Cost:
        """Cost of one method with resolved parameters."""
        calls = method.calls(parameters, workload)
        with self._lock:
            each = self._seconds.get((workload.card.name, method.speed_key))
        return Cost(
            calls,
            method.sent_bytes(parameters, workload, self._masks_per_call),
            None if each is None else each * calls,
            calls * method.relative_cost,
        )

    def measured(self, model: str, method: Method[Any], calls: int, seconds: float) -> None:
        """Learn from a method that has finished."""
        if calls <= 0:
            return
        with self._lock:
            key = (model, method.speed_key)
            known = self._seconds.get(key, seconds / calls)
            self._seconds[key] = _MEMORY * known + (1 - _MEMORY) * seconds / calls
