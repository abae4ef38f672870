"""The use case: explain one tensor, while others wait their turn."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from contextvars import copy_context
from time import monotonic
from typing import Final

from explain_service import metrics
from explain_service.events import Event, RequestAccepted
from explain_service.explanation_run import ExplanationRun
from explain_service.request import CheckedRequest
from explain_service.resolution import Dependencies
from explain_service.run_control import Cancellation, Cancelled
from explain_service.settings import ExplainSettings
from explain_service.triton_calls import Caller
from pellucid.errors import QueueFull
from pellucid.serving import tracing
from pellucid.serving.deadline import Deadline
from pellucid.tensors import FloatArray, digest

PROGRESS_EVERY_S: Final = 0.5
"""Between two messages about progress."""
_RETRY_S: Final = 5.0
"""When to come back to a full queue, before any explanation was timed."""


class ExplainEngine:
    """Runs explanations, each on a thread of its own; it shares nothing between them."""

    def __init__(self, dependencies: Dependencies, settings: ExplainSettings) -> None:
        """Start no thread before the first explanation."""
        self._dependencies = dependencies
        self._places = settings.workers + settings.queue_length
        self._workers = settings.workers
        self._threads = ThreadPoolExecutor(settings.workers, "explain")
        self._taken = 0
        self._typical_s = _RETRY_S
        metrics.WORKERS.set(settings.workers)

    async def close(self) -> None:
        """Let running explanations end, start none that waits."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def explain(
        self, request: CheckedRequest, tensor: FloatArray, deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        """All events of one explanation, to the last.

        Closing the iterator, or cancelling who waits for it, stops the work: calls to Triton that
        are on their way are cancelled, and no other is sent.

        Args:
            request: methods and options.
            tensor: the input, of the shape that the card says, finite.
            deadline: by when the last event has to be sent.

        Raises:
            QueueFull: too many wait already.
            PellucidError: it cannot be answered.
        """
        position = self._enter()
        loop = asyncio.get_running_loop()
        emitted: asyncio.Queue[Event | None] = asyncio.Queue()

        def emit(event: Event | None) -> None:
            loop.call_soon_threadsafe(emitted.put_nowait, event)

        def done(work: "Future[None]") -> None:
            # The loop may be closed, when the service ends.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._leave, work.cancelled())
                emit(None)

        caller = Caller(Cancellation(), deadline)
        run = ExplanationRun(self._dependencies, request, tensor, caller, emit)
        # The worker's log lines and spans are the request's.
        work = self._threads.submit(copy_context().run, self._work, run, monotonic())
        work.add_done_callback(done)
        try:
            yield RequestAccepted(digest(tensor), position)
            async with aclosing(_listen(emitted, run)) as events:
                async for event in events:
                    yield event
            work.result()
        finally:
            caller.cancellation.cancel()
            work.cancel()

    def _work(self, run: ExplanationRun, came: float) -> None:
        metrics.QUEUE_DEPTH.dec()
        begin = monotonic()
        metrics.QUEUE_WAIT.observe(begin - came)
        waited_ms = round(1_000 * (begin - came))
        with metrics.RUNNING.track_inprogress(), tracing.step("explanation", waited_ms=waited_ms):
            try:
                run.run()
            except Cancelled:
                metrics.CANCELLED.inc()
        self._typical_s = (self._typical_s + monotonic() - begin) / 2

    def _enter(self) -> int:
        """Take a place; how many are taken by others."""
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
        return self._taken - 1

    def _leave(self, before_it_began: bool) -> None:
        self._taken -= 1
        if before_it_began:
            metrics.QUEUE_DEPTH.dec()


async def _listen(
    emitted: "asyncio.Queue[Event | None]", run: ExplanationRun
) -> AsyncGenerator[Event, None]:
    """What the worker emits, and how far it is where it is silent for a while; None ends it."""
    while True:
        try:
            event = await asyncio.wait_for(emitted.get(), PROGRESS_EVERY_S)
        except TimeoutError:
            if (progress := run.progress()) is not None:
                yield progress
            continue
        if event is None:
            return
        yield event
