"""What the gateway can answer, by the services behind it, which it checks every second or so."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Protocol, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import metrics
from gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

_FAILURES: Final = 2
"""Failed checks in a row after which a service counts as failing: one may be a hiccup."""

Check: TypeAlias = Callable[[], Awaitable[bool]]


class Report(Protocol):
    """`Server.report`."""

    def __call__(self, name: str, *, ready: bool) -> Awaitable[None]:
        """See `Server.report`."""
        ...


class HealthWatch:
    """Checks each service again and again, and reports what can be answered and what not."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        needs: Mapping[str, Collection[str]],
        report: Report,
        settings: GatewaySettings,
    ) -> None:
        """Check services, and report on every change.

        Args:
            checks: of the services, by their names.
            needs: names of the services that must be healthy, by what is reported on.
            report: called with what is reported on, and whether it is ready.
            settings: how often, and how long a check may take.
        """
        self._checks = checks
        self._needs = needs
        self._report = report
        self._settings = settings
        self._failures = dict.fromkeys(checks, _FAILURES)
        self._ready = dict.fromkeys(needs, False)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.gather(*(self._check(name) for name in self._checks))
            for name, needed in self._needs.items():
                ready = all(self._failures[service] < _FAILURES for service in needed)
                if ready != self._ready[name]:
                    self._ready[name] = ready
                    await self._report(name, ready=ready)
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
