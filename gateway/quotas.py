"""How often each client may ask; one store counts for all gateways."""

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

import grpc
import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from redis.asyncio import ConnectionPool

from gateway import metrics
from gateway.settings import GatewaySettings
from pellucid.errors import QuotaExceeded

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger(__name__)

_RETRY_S: Final = 5.0
_STORE_TIMEOUT_S: Final = 0.5
"""Longest wait for Redis: a call that cannot be counted in this time is answered uncounted."""


class Quotas:
    """Counts the calls of each client in sliding windows.

    A client is, in this order: what the metadata `client_header` names, where the settings say that
    an edge sets it; the subject of its certificate, with mTLS; its address.

    While the store does not answer, calls are answered uncounted: quotas protect the service, and
    must not be what takes it down.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        """Read the quotas.

        Raises:
            ValueError: the store's address is not of its form.
        """
        self._predictions = parse_many(settings.quota) if settings.quota else []
        self._explanations = parse_many(settings.explain_quota) if settings.explain_quota else []
        self._at_once = settings.explanations_per_client
        self._running: Counter[str] = Counter()
        self._header = settings.client_header.lower()
        self._pool: ConnectionPool | None = None
        self._limiter: SlidingWindowCounterRateLimiter | None = None
        if self._predictions or self._explanations:
            self._pool, self._limiter = _store(settings.quota_store)

    async def __aenter__(self) -> Self:
        """Connect with the first call."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections to the store."""
        if self._pool is not None:
            await self._pool.aclose()

    async def count_prediction(self, context: Context) -> None:
        """Count a call that classifies.

        Raises:
            QuotaExceeded: one too many.
        """
        await self._count("quota", self._predictions, context)

    @asynccontextmanager
    async def explanation(self, context: Context) -> AsyncIterator[None]:
        """Count a call that explains, which runs inside.

        Raises:
            QuotaExceeded: one too many, at once or of late.
        """
        client = self._client(context)
        if self._at_once is not None and self._running[client] >= self._at_once:
            raise _exceeded(
                "explanations_per_client", f"{self._at_once} explanations at once", _RETRY_S
            )
        self._running[client] += 1
        try:
            await self._count("explain_quota", self._explanations, context)
            yield
        finally:
            self._running[client] -= 1
            # Clients come and go: nothing is kept of those that are gone.
            if not self._running[client]:
                del self._running[client]

    async def _count(self, name: str, quota: list[RateLimitItem], context: Context) -> None:
        if self._limiter is None or not quota:
            return
        # The store gets no addresses or names.
        client = hashlib.sha256(self._client(context).encode()).hexdigest()[:32]
        try:
            for window in quota:
                if not await self._limiter.hit(window, name, client):
                    stats = await self._limiter.get_window_stats(window, name, client)
                    raise _exceeded(name, str(window), max(0.1, stats.reset_time - time.time()))
        except StorageError as error:
            metrics.UNCOUNTED.inc()
            log.warning("quota not counted", why=str(error))

    def _client(self, context: Context) -> str:
        if self._header:
            for key, value in context.invocation_metadata() or ():
                if key == self._header:
                    return f"header {_network(str(value))}"
        identities = context.peer_identities()
        if identities:
            return "certificate " + b" ".join(identities).decode(errors="replace")
        return "address " + _network(context.peer())


def _network(address: str) -> str:
    """Who has an address: of IPv6 one client has a whole /64; what is no address is kept.

    Args:
        address: as gRPC writes it, `ipv4:192.0.2.1:50000`, whose port is another for each
            connection, or alone, as an edge does.
    """
    host = unquote(address)
    for kind in ("ipv4:", "ipv6:"):
        if host.startswith(kind):
            host = host.removeprefix(kind).rpartition(":")[0].strip("[]")
    try:
        known = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(ip_network((known, 64), strict=False)) if known.version == 6 else str(known)


def _store(address: str) -> tuple[ConnectionPool | None, SlidingWindowCounterRateLimiter]:
    """Where calls are counted, and its connections where it has any."""
    try:
        if address == "memory://":
            return None, SlidingWindowCounterRateLimiter(storage_from_string("async+memory://"))
        pool = ConnectionPool.from_url(
            address, socket_timeout=_STORE_TIMEOUT_S, socket_connect_timeout=_STORE_TIMEOUT_S
        )
        storage = RedisStorage(
            f"async+{address}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="pellucid",
            connection_pool=pool,  # type: ignore[arg-type]  # as its documents say
        )
    except (ConfigurationError, ValueError) as error:
        raise ValueError(f"quota_store: {error}") from error
    return pool, SlidingWindowCounterRateLimiter(storage)


def _exceeded(name: str, maximum: str, seconds: float) -> QuotaExceeded:
    wait = round(seconds, 1)
    return QuotaExceeded(
        f"more than {maximum} of one client",
        remedy=f"try again in about {wait} s",
        retry_after_s=wait,
        quota=name,
        maximum=maximum,
    )
