"""How many calls a server takes at once.

Not gRPC's own limit: it counts health checks among the calls, so that a full server fails its
probes and is killed for being busy; it decides about a call when the one before it arrives, and so
refuses the first one after a rush; and what it answers has no reason.
"""

import asyncio

from pellucid.errors import QueueFull

_RETRY_S = 1.0


class Admission:
    """The places of one server; for one event loop.

    Nobody keeps one without end: a call is cancelled whose message does not come, or that is not
    over in its time because its client does not read.
    """

    def __init__(self, places: int, receive_s: float, answer_s: float) -> None:
        """All of them are free.

        Args:
            places: calls at once.
            receive_s: longest wait for a call's message.
            answer_s: longest that a call takes once its message is there.
        """
        self._places = places
        self._receive_s = receive_s
        self._answer_s = answer_s
        self._limits: dict[asyncio.Task[object], asyncio.TimerHandle] = {}

    def enter(self) -> bool:
        """Take a place for the task that runs, until it ends; False where none is free."""
        if len(self._limits) >= self._places:
            return False
        task = _current()
        self._limit(task, self._receive_s)
        task.add_done_callback(self._leave)
        return True

    def received(self) -> None:
        """The message of the task that runs is there."""
        task = _current()
        self._limits[task].cancel()
        self._limit(task, self._answer_s)

    def refusal(self) -> QueueFull:
        """What to raise where none is free."""
        return QueueFull(
            f"{self._places} calls are running already",
            remedy="try again shortly",
            retry_after_s=_RETRY_S,
            limit="max_concurrent_rpcs",
            maximum=str(self._places),
        )

    def _limit(self, task: "asyncio.Task[object]", seconds: float) -> None:
        self._limits[task] = asyncio.get_running_loop().call_later(seconds, task.cancel)

    def _leave(self, task: "asyncio.Task[object]") -> None:
        self._limits.pop(task).cancel()


def _current() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task
