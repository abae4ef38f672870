"""A fixed number of worker processes, each of which decodes one file at a time and may die of it.

Not `concurrent.futures`, whose pool breaks as a whole when one process dies; and not pebble, which
unpickles what a worker sends: whoever takes over a decoder by a file would own the service too.
"""

import asyncio
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Final, NamedTuple, Self

import structlog

from pellucid.errors import PellucidError
from preprocess_service import frames, metrics
from preprocess_service.errors import fatal, too_costly
from preprocess_service.fork_server import ForkServer, Worker
from preprocess_service.frames import Kind, Payload
from preprocess_service.metrics import Cause
from preprocess_service.settings import PreprocessSettings

log = structlog.get_logger(__name__)

_GRACE_S: Final = 0.2
"""For a cancelled file to end by itself: most take less, and a new worker costs a fork."""
_RETRY_S: Final = 1.0
"""Between attempts to replace a worker."""


class Decoded(NamedTuple):
    """What a worker made of a file."""

    response: Payload
    """An encoded `PreprocessResponse`."""
    seconds: float


@dataclass
class _Job:
    request: Payload
    decoded: asyncio.Future[Decoded]
    """Cancelled by whoever waits for it."""
    is_begun: bool = False


class DecodingPool:
    """Decodes files in killable processes, as an async context manager of one event loop."""

    def __init__(self, settings: PreprocessSettings, fork_server: ForkServer) -> None:
        """Prepare a pool of `settings.workers` processes, forked by a server that is entered."""
        self._settings = settings
        self._fork_server = fork_server
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._load = 0

    async def __aenter__(self) -> Self:
        """Nothing is started yet: files that come before `start` wait for it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the workers, whatever they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            worker.kill()

    @property
    def load(self) -> int:
        """Files that occupy a worker or wait for one."""
        return self._load

    async def start(self) -> None:
        """Start the workers, and wait until they are warm.

        Raises:
            OSError, EOFError, TimeoutError: they cannot be started.
        """
        for slot in range(self._settings.workers):
            self._workers.append(await Worker.start(self._fork_server, self._settings))
            self._tasks.append(asyncio.create_task(self._work(slot)))
        metrics.WORKERS.set(self._settings.workers)
        metrics.LOAD.set_function(lambda: self._load)

    async def decode(self, request: Payload) -> Decoded:
        """Decode the file of an encoded `PreprocessRequest`; cancelled, it frees its worker.

        Raises:
            PellucidError: the file or the contract is refused.
            RuntimeError: there is a bug in the worker.
        """
        job = _Job(request, asyncio.get_running_loop().create_future())
        self._load += 1
        self._jobs.put_nowait(job)
        try:
            return await job.decoded
        finally:
            if not job.is_begun:
                self._load -= 1

    async def _work(self, slot: int) -> None:
        """Give the worker of a slot, or what replaces it, one file after the other."""
        while True:
            await self._serve(slot, await self._jobs.get())  # and keep nothing of the file

    async def _serve(self, slot: int, job: _Job) -> None:
        if job.decoded.done():  # cancelled while it waited
            return
        job.is_begun = True
        try:
            if not self._workers[slot].is_alive():
                await self._replace(slot, Cause.CRASHED)
            cause = await self._exchange(job, self._workers[slot])
            if cause is not None:
                await self._replace(slot, cause)
        finally:
            self._load -= 1

    async def _exchange(self, job: _Job, worker: Worker) -> Cause | None:
        """Settle a job; says why its worker is not fit for another, if it is not."""
        settings, start = self._settings, perf_counter()
        asking = asyncio.ensure_future(worker.ask(job.request, settings.max_message_bytes))
        try:
            await asyncio.wait(
                (asking, job.decoded),
                timeout=settings.decode_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if job.decoded.done():
                await asyncio.wait((asking,), timeout=_GRACE_S)
        finally:
            is_late = asking.cancel()
            await asyncio.wait((asking,))  # it lets go of the channel, which may be closed then
        if is_late:
            limit = settings.decode_timeout_s
            _refuse(job, too_costly("seconds", limit, "decode_timeout_s"))
            return Cause.CANCELLED if job.decoded.cancelled() else Cause.TOO_SLOW
        try:
            cause = _settle(job, *asking.result(), perf_counter() - start)
        except Exception:  # it hung up, or what it says makes no sense
            _refuse(job, fatal())
            return Cause.CRASHED
        return cause or (Cause.TOO_LARGE if worker.has_grown() else None)

    async def _replace(self, slot: int, cause: Cause) -> None:
        self._workers[slot].kill()
        metrics.REPLACED.labels(cause).inc()
        log.warning("replacing a worker", cause=cause)
        while True:
            try:
                self._workers[slot] = await Worker.start(self._fork_server, self._settings)
                return
            except (OSError, EOFError, TimeoutError) as error:
                log.error("cannot start a worker", error=repr(error))
                await asyncio.sleep(_RETRY_S)


def _settle(job: _Job, kind: Kind, payload: bytearray, seconds: float) -> Cause | None:
    if kind is Kind.RESPONSE:
        if not job.decoded.done():
            job.decoded.set_result(Decoded(payload, seconds))
        return None
    if kind is Kind.BUG:
        _refuse(job, RuntimeError(payload.decode()))
        return None
    error = frames.decode_error(payload)
    _refuse(job, error)
    # Where an allocation failed, a library may have left its state half made.
    return Cause.TOO_LARGE if error.metadata.get("limit") == "decode_memory_bytes" else None


def _refuse(job: _Job, error: PellucidError | RuntimeError) -> None:
    if not job.decoded.done():
        job.decoded.set_exception(error)
