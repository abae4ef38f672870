"""The use case: files wait for a thread, are read there, and are dropped when nobody waits."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Self

from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import DeadlineTooShort, PellucidError, QueueFull
from pellucid.serving.deadline import Deadline
from preprocess_service import metrics, pipeline
from preprocess_service.media import Preprocessed
from preprocess_service.settings import PreprocessSettings

_Read = Callable[[Callable[[], None]], Preprocessed]
"""Reads one file, given what to call between the stages."""


class _Abandoned(Exception):
    """Nobody waits for the file any more; raised on its thread and seen by no one."""


class Preprocessor:
    """Reads files on a bounded number of threads, as an async context manager.

    One event loop uses it.
    """

    def __init__(self, settings: PreprocessSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="preprocess")
        self._admitted = 0

    async def __aenter__(self) -> Self:
        """Nothing is opened yet; threads start with the first file."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the files that are being read; those that wait are dropped."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def preprocess(
        self,
        content: bytes,
        contract: ImageContract | LogMelContract,
        deadline: Deadline,
        *,
        displayed: bool,
    ) -> Preprocessed:
        """Read one file, and draw what the model sees where it is `displayed`.

        Raises:
            UnreadableMedia: it is damaged.
            UnsupportedMedia: it is of a kind that is not read, or not by this contract.
            MediaLimitExceeded: it is too large.
            QueueFull: too many files are waiting.
            DeadlineTooShort: the time is up.
        """
        read = partial(pipeline.preprocess, content, contract, self._settings, displayed=displayed)
        try:
            return await self._in_turn(read, deadline)
        except PellucidError as error:
            metrics.REJECTED.labels(error.reason).inc()
            raise

    async def _in_turn(self, read: _Read, deadline: Deadline) -> Preprocessed:
        if self._admitted >= self._settings.workers + self._settings.max_waiting:
            raise QueueFull(
                f"{self._settings.max_waiting} files are waiting already",
                remedy="try again shortly",
                retry_after_s=1.0,
                limit="max_waiting",
                maximum=str(self._settings.max_waiting),
            )
        timeout = deadline.timeout()  # before there is work that nobody would wait for
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        self._admitted += 1
        work = loop.run_in_executor(self._threads, self._run, read, abandoned)
        # Counted down when the thread is free again, which an abandoned caller does not wait for.
        work.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.shield(work), timeout)
        except TimeoutError as error:
            raise DeadlineTooShort(
                "the file was not read in time", remedy="allow more time"
            ) from error
        finally:
            abandoned.set()

    def _leave(self, work: asyncio.Future[Preprocessed]) -> None:
        self._admitted -= 1
        if not work.cancelled():
            work.exception()  # looked at, so that asyncio does not report an abandoned one

    def _run(self, read: _Read, abandoned: threading.Event) -> Preprocessed:
        def checkpoint() -> None:
            if abandoned.is_set():
                raise _Abandoned

        checkpoint()
        start = perf_counter()
        result = read(checkpoint)
        metrics.SECONDS.labels(result.media_type).observe(perf_counter() - start)
        return result
