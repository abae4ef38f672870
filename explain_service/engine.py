"""The use case: explain one tensor, while others wait their turn."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from time import monotonic
from typing import Final

from explain_service import metrics
from explain_service.events import Event
from explain_service.query import Query
from explain_service.runner import Runner, Tools
from explain_service.settings import ExplainSettings
from explain_service.tick import Cancelled
from explain_service.triton_calls import Caller
from pellucid.errors import QueueFull
from pellucid.serving import request_id
from pellucid.serving.deadline import Deadline
from pellucid.tensors import FloatArray

PROGRESS_EVERY_S: Final = 0.5
"""Between two messages about progress."""
_RETRY_S: Final = 5.0
"""When to come back to a full queue, before any explanation was timed."""


class ExplainEngine:
    """Runs explanations, each on a thread of its own; it shares nothing between them."""

    def __init__(self, tools: Tools, settings: ExplainSettings) -> None:
        """Start no thread before the first explanation."""
        self._tools = tools
        self._places = settings.workers + settings.queue_length
        self._workers = settings.workers
        self._threads = ThreadPoolExecutor(settings.workers, "explain")
        self._taken = 0
        self._typical_s = _RETRY_S

    async def close(self) -> None:
        """Let running explanations end, start none that waits."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def explain(
        self, query: Query, image: FloatArray, deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        """All events of one explanation, to the last.

        Closing the iterator, or cancelling who waits for it, stops the work: the next batch is not
        sent to Triton.

        Args:
            query: what is asked.
            image: the input, of the shape that the card says, finite.
            deadline: by when the last event has to be told.

        Raises:
            QueueFull: too many wait already.
            PellucidError: it cannot be answered.
        """
        self._enter()
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Event | None] = asyncio.Queue()

        def tell(event: Event | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, event)

        def done(work: "Future[None]") -> None:
            # A loop that was closed has nobody left who listens.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._leave, work.cancelled())
                tell(None)

        caller = Caller(threading.Event(), deadline, request_id.current())
        runner = Runner(self._tools, query, image, caller, tell)
        work = self._threads.submit(self._work, runner)
        work.add_done_callback(done)
        try:
            async with aclosing(_listen(told, runner)) as events:
                async for event in events:
                    yield event
            work.result()
        finally:
            caller.stop.set()
            work.cancel()

    def _work(self, runner: Runner) -> None:
        metrics.QUEUE_DEPTH.dec()
        begin = monotonic()
        with metrics.RUNNING.track_inprogress():
            try:
                runner.run()
            except Cancelled:
                metrics.CANCELLED.inc()
        self._typical_s = (self._typical_s + monotonic() - begin) / 2

    def _enter(self) -> None:
        if self._taken >= self._places:
            seconds = round(self._typical_s * self._places / self._workers, 1)
            raise QueueFull(
                f"{self._taken} explanations are running or waiting",
                remedy=f"try again in about {seconds} s",
                retry_after_s=seconds,
                limit=str(self._places),
            )
        self._taken += 1
        metrics.QUEUE_DEPTH.inc()

    def _leave(self, before_it_began: bool) -> None:
        self._taken -= 1
        if before_it_began:
            metrics.QUEUE_DEPTH.dec()


async def _listen(
    told: "asyncio.Queue[Event | None]", runner: Runner
) -> AsyncGenerator[Event, None]:
    """What the worker tells, and how far it is where it is silent for a while; None ends it."""
    while True:
        try:
            event = await asyncio.wait_for(told.get(), PROGRESS_EVERY_S)
        except TimeoutError:
            if (progress := runner.progress()) is not None:
                yield progress
            continue
        if event is None:
            return
        yield event
