"""The use case: files wait for a worker, are read there, and are dropped when cancelled."""

import asyncio

from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.errors import DeadlineTooShort, PellucidError, QueueFull
from pellucid.serving.deadline import Deadline
from preprocess_service import metrics
from preprocess_service.decoding_pool import Decoded, DecodingPool
from preprocess_service.errors import check_limit
from preprocess_service.settings import PreprocessSettings


class Preprocessor:
    """Reads files in the processes of a pool; holds a bounded number of them."""

    def __init__(self, settings: PreprocessSettings, pool: DecodingPool) -> None:
        self._settings = settings
        self._pool = pool

    async def preprocess(
        self, request: preprocess_pb2.PreprocessRequest, deadline: Deadline
    ) -> preprocess_pb2.PreprocessResponse:
        """Read one file.

        Raises:
            InvalidArgument: the contract is out of range.
            UnreadableMedia: the file is damaged.
            UnsupportedMedia: it is of a kind that is not read, or not by this contract.
            MediaLimitExceeded: it is too large, or takes too much to decode.
            QueueFull: too many files are waiting.
            DeadlineTooShort: the time is up.
        """
        settings, size = self._settings, len(request.content)
        try:
            check_limit("bytes", size, settings.max_content_bytes, "max_content_bytes")
            response, seconds = await self._in_turn(request, deadline)
        except PellucidError as error:
            metrics.REJECTED.labels(error.reason).inc()
            raise
        decoded = preprocess_pb2.PreprocessResponse.FromString(bytes(response))
        metrics.SECONDS.labels(decoded.facts.media_type).observe(seconds)
        return decoded

    async def _in_turn(
        self, request: preprocess_pb2.PreprocessRequest, deadline: Deadline
    ) -> Decoded:
        if self._pool.load >= self._settings.workers + self._settings.max_waiting:
            raise QueueFull(
                f"{self._settings.max_waiting} files are waiting already",
                remedy="try again shortly",
                retry_after_s=1.0,
                limit="max_waiting",
                maximum=str(self._settings.max_waiting),
            )
        timeout = deadline.timeout()  # before there is work that would be cancelled at once
        try:
            return await asyncio.wait_for(self._pool.decode(request.SerializeToString()), timeout)
        except TimeoutError as error:
            raise DeadlineTooShort(
                "the file was not read in time", remedy="allow more time"
            ) from error
