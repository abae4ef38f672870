"""The gateway is ready when the services behind it are: it checks every second or so."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import metrics
from gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

_FAILURES: Final = 2
"""Failed checks in a row after which a service counts as failing: one may be a hiccup."""

Check: TypeAlias = Callable[[], Awaitable[bool]]


class HealthWatch:
    """Checks each service again and again, and says when all are healthy and when not."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        on_ready: Callable[[], Awaitable[None]],
        on_not_ready: Callable[[], Awaitable[None]],
        settings: GatewaySettings,
    ) -> None:
        """Check the services by name; call back on every change."""
        self._checks = checks
        self._on_ready = on_ready
        self._on_not_ready = on_not_ready
        self._settings = settings
        self._failures = dict.fromkeys(checks, _FAILURES)
        self._ready = False

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.gather(*(self._check(name) for name in self._checks))
            healthy = all(count < _FAILURES for count in self._failures.values())
            if healthy != self._ready:
                self._ready = healthy
                await (self._on_ready if healthy else self._on_not_ready)()
            await asyncio.sleep(self._settings.health_interval_s)

    async def _check(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._settings.health_timeout_s):
                healthy = await self._checks[name]()
        except TimeoutError:
            healthy = False
        before = self._failures[name]
        self._failures[name] = 0 if healthy else min(before + 1, _FAILURES)
        metrics.PEER_UP.labels(name).set(healthy)
        if before < _FAILURES <= self._failures[name]:
            log.warning("peer is not healthy", peer=name)


def serving(channel: grpc.aio.Channel, service: str) -> Check:
    """A check of a service that answers `grpc.health.v1`."""
    # The types of this stub leave its methods out.
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)

    async def check() -> bool:
        try:
            answer = await stub.Check(request)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return check
