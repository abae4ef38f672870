"""Channels that go on with new certificates once their files have changed."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import structlog

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0
"""Between two looks whether the files have changed."""


class RenewedChannel:
    """A channel that is opened anew when the files it was opened with have changed.

    Stands for `grpc.Channel` or `grpc.aio.Channel`, as far as generated stubs use them. What runs
    over the channel before goes on: it is closed with the next renewal.
    """

    def __init__(self, open_: Callable[[], Any], files: Sequence[Path]) -> None:
        """Open the first.

        Args:
            open_: opens a channel with what the files hold.
            files: keys, chains and authorities.
        """
        self._open = open_
        self._files = tuple(files)
        self._lock = Lock()
        self._known = self._contents()
        self._look = monotonic() + _LOOK_EVERY_S
        self._former: Any = None
        self._newest = open_()

    def current(self) -> Any:
        """The channel of the certificates that there are now."""
        with self._lock:
            if monotonic() >= self._look:
                self._look = monotonic() + _LOOK_EVERY_S
                self._renew()
            return self._newest

    def _renew(self) -> None:
        try:
            contents = self._contents()
            if contents == self._known:
                return
            opened = self._open()
        except (OSError, ValueError) as error:
            log.warning("certificates not renewed", why=str(error))
            return
        if self._former is not None:
            _close(self._former)
        self._known, self._former, self._newest = contents, self._newest, opened
        log.info("certificates renewed", files=[str(path) for path in self._files])

    def _contents(self) -> list[bytes]:
        return [path.read_bytes() for path in self._files]

    def unary_unary(self, *arguments: Any, **named: Any) -> "_RenewedCall":
        """As of a channel."""
        return _RenewedCall(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> "_RenewedCall":
        """As of a channel."""
        return _RenewedCall(self, "unary_stream", arguments, named)

    def stream_stream(self, *arguments: Any, **named: Any) -> "_RenewedCall":
        """As of a channel."""
        return _RenewedCall(self, "stream_stream", arguments, named)

    def _channels(self) -> list[Any]:
        return [one for one in (self._former, self._newest) if one is not None]

    def close(self) -> Any:
        """Close both; to be awaited where the channels are asyncio's."""
        closing = [one.close() for one in self._channels()]
        return asyncio.gather(*closing) if asyncio.iscoroutine(closing[0]) else None

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    def __enter__(self) -> Self:
        """Use it, from threads."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


class _RenewedCall:
    """One method, over whichever channel is the newest."""

    def __init__(
        self,
        channel: RenewedChannel,
        kind: str,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._arguments = arguments
        self._named = named
        self._made: tuple[Any, Any] | None = None

    def _method(self) -> Any:
        channel = self._channel.current()
        made = self._made
        if made is None or made[0] is not channel:
            made = (channel, getattr(channel, self._kind)(*self._arguments, **self._named))
            self._made = made
        return made[1]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        return self._method()(*arguments, **named)

    def future(self, *arguments: Any, **named: Any) -> Any:
        """Call it without waiting, from threads."""
        return self._method().future(*arguments, **named)


def _close(channel: Any) -> None:
    closing = channel.close()
    if asyncio.iscoroutine(closing):
        task = asyncio.get_running_loop().create_task(closing)
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: Final[set["asyncio.Task[None]"]] = set()
"""The event loop keeps only weak references."""
