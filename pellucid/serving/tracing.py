"""Traces of a request through all services and into Triton, by OpenTelemetry.

Off unless a setting names an endpoint; spans then cost next to nothing, and a caller's trace is
still passed on. Spans are named and described as the semantic conventions for RPC say, and hold
names and counts, nothing of what a client sent.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Final, TypeAlias

import grpc
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_NAMESPACE,
    SERVICE_VERSION,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pellucid.serving import request_id
from pellucid.serving.settings import ServiceSettings

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_W3C: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("pellucid")


def start(service: str, settings: ServiceSettings) -> TracerProvider | None:
    """Send the spans of this process from here on to where the settings say.

    Args:
        service: name that they are found by, e.g. `GatewayService`.
        settings: of the service.

    Returns:
        What to shut down at the end; None where the settings name no endpoint.
    """
    if settings.traces_endpoint is None:
        return None
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.traces_share)),
        resource=Resource.create(
            {
                SERVICE_NAMESPACE: "pellucid",
                SERVICE_NAME: service,
                SERVICE_VERSION: metadata.version("pellucid"),
            }
        ),
    )
    exporter = OTLPSpanExporter(endpoint=str(settings.traces_endpoint))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def answering(path: str, given: Iterable[tuple[str, Any]] | None, call_id: str) -> Span:
    """Begin the span of a call that is answered; what follows in its task belongs to it.

    Args:
        path: `/SERVICE/METHOD`.
        given: metadata of the call, which may continue a trace of the caller's.
        call_id: of the request.
    """
    parent = _W3C.extract({key: value for key, value in given or () if isinstance(value, str)})
    span = _tracer.start_span(
        path[1:],
        parent,
        SpanKind.SERVER,
        _rpc(*path[1:].split("/")) | {"pellucid.request_id": call_id},
    )
    # Never detached: the context ends with the call's task.
    context.attach(trace.set_span_in_context(span))
    return span


def ended(span: Span, code: grpc.StatusCode, reason: str) -> None:
    """End the span of an answered call; `reason` is that of its error, empty for none."""
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if reason:
        span.set_attribute("error.type", reason)
    if code is not grpc.StatusCode.OK:
        span.set_status(Status(StatusCode.ERROR))
    span.end()


@contextmanager
def calling(service: str, method: str) -> Iterator[Metadata]:
    """A span around a call to another service.

    Not the current span inside: generators that are closed elsewhere could not leave it.

    Yields:
        Metadata of the call: the request's id, and what continues the trace over there.
    """
    span = _tracer.start_span(
        f"{service}/{method}", kind=SpanKind.CLIENT, attributes=_rpc(service, method)
    )
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span))
    try:
        with _failing(span):
            yield (*request_id.outgoing(), *carrier.items())
    finally:
        span.end()


@contextmanager
def step(name: str, **attributes: str | int) -> Iterator[None]:
    """A span around a part of the work, which is the current one inside; for code of threads."""
    with (
        _tracer.start_as_current_span(
            name,
            attributes={f"pellucid.{key}": value for key, value in attributes.items()},
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        _failing(span),
    ):
        yield


@contextmanager
def _failing(span: Span) -> Iterator[None]:
    """Put the kind of an error onto a span, not its message, which may quote the request."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise


def trace_id() -> str:
    """Of the trace that is being recorded, as 32 hexadecimal digits; empty where none is."""
    span = trace.get_current_span()
    return trace.format_trace_id(span.get_span_context().trace_id) if span.is_recording() else ""


def _rpc(service: str, method: str) -> dict[str, str]:
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
