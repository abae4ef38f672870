"""How many calls a server takes at once.

Not gRPC's own limit: it counts health checks among the calls, so that a full server fails its
probes and is killed for being busy; it decides about a call when the one before it arrives, and so
refuses the first one after a rush; and what it answers has no reason.
"""

import asyncio

from pellucid.errors import QueueFull

_RETRY_S = 1.0


class Admission:
    """The places of one server; for one event loop."""

    def __init__(self, places: int) -> None:
        """All of them are free."""
        self._places = places
        self._taken = 0

    def enter(self) -> bool:
        """Take a place for the task that runs, until it ends; False where none is free."""
        if self._taken >= self._places:
            return False
        task = asyncio.current_task()
        assert task is not None
        self._taken += 1
        task.add_done_callback(self._leave)
        return True

    def refusal(self) -> QueueFull:
        """What to raise where none is free."""
        return QueueFull(
            f"{self._places} calls are running already",
            remedy="try again shortly",
            retry_after_s=_RETRY_S,
            limit="max_concurrent_rpcs",
            maximum=str(self._places),
        )

    def _leave(self, _: "asyncio.Task[object]") -> None:
        self._taken -= 1
