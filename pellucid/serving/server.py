"""Life cycle of a service: listen, be healthy, drain, stop. Used by all three."""

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from pellucid.addresses import address
from pellucid.serving import metrics, tracing
from pellucid.serving.certificates import publish_expiry
from pellucid.serving.channels import KEEPALIVE_MS, server_credentials
from pellucid.serving.deadline import Shutdown
from pellucid.serving.interceptor import CallInterceptor
from pellucid.serving.settings import ServiceSettings

log = structlog.get_logger(__name__)

_LAG_EVERY_S: Final = 0.5
"""Between two measurements of the event loop's lag."""


class Server:
    """A gRPC server with health, reflection and metrics, as an async context manager.

    Entering it listens; the service's name is NOT_SERVING until `ready()`. Leaving it drains:
    NOT_SERVING, a pause for load balancers, the rest of the running calls, the end.

    Attributes:
        port: where it listens.
        metrics_port: where Prometheus may scrape.
        health_port: where health is answered without TLS; None where no setting asks for it.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        service: ServiceDescriptor,
        register: Callable[[grpc.aio.Server], None],
        shutdown: Shutdown | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            settings: of the service.
            service: what is served.
            register: adds its servicer to the server.
            shutdown: begun when no more calls are taken, with what the others get to finish.
        """
        self._settings = settings
        self._service = service
        self._register = register
        self._shutdown = shutdown
        self._health = health.aio.HealthServicer()
        self._health_server: grpc.aio.Server | None = None
        self._stop = asyncio.Event()
        self._lag: asyncio.Task[None] | None = None
        self.port = 0
        self.metrics_port = 0
        self.health_port: int | None = None

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            RuntimeError: the port is taken.
            OSError: that of the metrics is.
        """
        settings = self._settings
        self._traces = tracing.start(self._service.name, settings)
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(settings)],
            options=_options(settings),
        )
        self._register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            names = (self._service.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        await self._health.set(self._service.full_name, health_pb2.HealthCheckResponse.NOT_SERVING)
        where = address(settings.host, settings.port)
        credentials = server_credentials(settings)
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        for method in self._service.methods:
            kind = "server_stream" if method.server_streaming else "unary"
            metrics.create_series(self._service.full_name, method.name, kind)
        publish_expiry(settings)
        self._metrics, self._metrics_thread = start_http_server(
            settings.metrics_port, settings.host
        )
        self.metrics_port = self._metrics.server_port
        if settings.health_port is not None:
            self._health_server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
            self.health_port = self._health_server.add_insecure_port(
                address(settings.host, settings.health_port)
            )
            await self._health_server.start()
        await self._server.start()
        self._lag = asyncio.create_task(_measure_lag())
        log.info(
            "listening",
            port=self.port,
            metrics_port=self.metrics_port,
            health_port=self.health_port,
        )
        return self

    async def ready(self) -> None:
        """Say that the service can answer: its models are loaded and warm."""
        await self.report(self._service.full_name, ready=True)

    async def not_ready(self) -> None:
        """Say that the service cannot answer at present."""
        await self.report(self._service.full_name, ready=False)

    async def report(self, name: str, *, ready: bool) -> None:
        """Say whether the service, or one of its calls, can answer.

        Args:
            name: the service's full name; or `SERVICE/METHOD` for a call that needs more.
            ready: whether it can.
        """
        status = health_pb2.HealthCheckResponse
        await self._health.set(name, status.SERVING if ready else status.NOT_SERVING)
        (log.info if ready else log.warning)("ready" if ready else "not ready", grpc_service=name)

    async def stopped(self) -> None:
        """Wait for SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._stop.wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain and stop."""
        log.info("draining", drain_s=self._settings.drain_s, grace_s=self._settings.grace_s)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_s)
        if self._shutdown is not None:
            self._shutdown.begin(self._settings.grace_s)
        await self._server.stop(self._settings.grace_s)
        if self._health_server is not None:
            await self._health_server.stop(None)
        if self._lag is not None:
            self._lag.cancel()
        await asyncio.to_thread(self._metrics.shutdown)
        self._metrics.server_close()
        self._metrics_thread.join()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.shutdown)
        log.info("stopped")


async def _measure_lag() -> None:
    """Notice what keeps the event loop, and with it every call, from going on."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_S
        await asyncio.sleep(_LAG_EVERY_S)
        metrics.LOOP_LAG.observe(max(0.0, loop.time() - due))


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    options = [
        (
            "grpc.max_receive_message_length",
            settings.max_request_bytes or settings.max_message_bytes,
        ),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client that vanished without a word is noticed, and its calls are cancelled.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.so_reuseport", 0),
    ]
    if settings.max_connection_age_s is not None:
        options += [
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.max_deadline_s * 1000)),
        ]
    return options
