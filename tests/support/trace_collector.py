"""A collector of OpenTelemetry traces: OTLP over HTTP, as an exporter speaks it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class CollectedSpan:
    """A span, and who sent it."""

    service: str
    span: Span

    @property
    def attributes(self) -> dict[str, str | int]:
        """Its attributes that are texts or whole numbers."""
        return {
            one.key: one.value.string_value or one.value.int_value for one in self.span.attributes
        }


@dataclass
class TraceCollector:
    """What was sent so far."""

    endpoint: str
    _requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    def receive(self, content: bytes, kind: str) -> None:
        """Take one message in, of either of the media types that OTLP has."""
        if kind == "application/x-protobuf":
            self._requests.append(ExportTraceServiceRequest.FromString(content))
        else:
            found = json.loads(content, object_hook=_with_base64_ids)
            self._requests.append(
                ParseDict(found, ExportTraceServiceRequest(), ignore_unknown_fields=True)
            )

    def spans(self, trace_id: bytes) -> list[CollectedSpan]:
        """All spans of one trace."""
        return [
            CollectedSpan(service, span)
            for request in list(self._requests)
            for sent in request.resource_spans
            for service in [
                one.value.string_value
                for one in sent.resource.attributes
                if one.key == "service.name"
            ]
            for scope in sent.scope_spans
            for span in scope.spans
            if span.trace_id == trace_id
        ]

    def contents(self) -> bytes:
        """All that was sent, to look for what should not be in it."""
        return b"".join(request.SerializeToString() for request in list(self._requests))


def _with_base64_ids(found: dict[str, Any]) -> dict[str, Any]:
    """OTLP's JSON has ids in hexadecimal, where that of protobuf has base64."""
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode() if key in ids else value
        for key, value in found.items()
    }


@contextmanager
def collecting() -> Iterator[TraceCollector]:
    """A collector on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            collector.receive(content, self.headers["Content-Type"])
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = TraceCollector(f"http://127.0.0.1:{server.server_port}/v1/traces")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()
