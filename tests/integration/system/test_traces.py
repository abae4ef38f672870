"""Traces of the whole system, sent to a collector by its services and by Triton."""

import json
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from tests.integration.system import media
from tests.support.trace_collector import CollectedSpan, TraceCollector
from tests.support.waiting import wait_until

GATEWAY, PREPROCESS, EXPLAIN = (
    "pellucid.api.gateway.v1.GatewayService",
    "pellucid.api.preprocess.v1.PreprocessService",
    "pellucid.api.explain.v1.ExplainService",
)
INFER = "inference.GRPCInferenceService/ModelInfer"
PATCH = "planted_patch"
SPANS = {
    ("GatewayService", f"{GATEWAY}/Explain"),
    ("GatewayService", f"{PREPROCESS}/Preprocess"),
    ("PreprocessService", f"{PREPROCESS}/Preprocess"),
    ("GatewayService", INFER),
    ("GatewayService", f"{EXPLAIN}/Explain"),
    ("ExplainService", f"{EXPLAIN}/Explain"),
    ("ExplainService", "explanation"),
    ("ExplainService", "lime"),
    ("ExplainService", INFER),
}
"""What an explanation by LIME consists of: who sent a span, and its name."""
MASKED = [
    f"GatewayService {GATEWAY}/Explain",
    f"GatewayService {EXPLAIN}/Explain",
    f"ExplainService {EXPLAIN}/Explain",
    "ExplainService explanation",
    "ExplainService lime",
    f"ExplainService {INFER}",
    "triton InferRequest",
]
"""From the client's call down to Triton's answer for masked copies."""


def a_trace() -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Id of a trace of the caller's, and the metadata that has the server go on with it."""
    trace_id = os.urandom(16)
    return trace_id, (("traceparent", f"00-{trace_id.hex()}-{os.urandom(8).hex()}-01"),)


def names(spans: list[CollectedSpan]) -> list[tuple[str, str]]:
    return sorted((one.service, one.span.name) for one in spans)


def line(span: CollectedSpan, spans: list[CollectedSpan]) -> list[str]:
    """A span's name and service, after those of what it hangs from."""
    above = [one for one in spans if one.span.span_id == span.span.parent_span_id]
    return [*(line(above[0], spans) if above else []), f"{span.service} {span.span.name}"]


def triton_lines(spans: list[CollectedSpan]) -> list[list[str]]:
    """The lines of Triton's first span of each request.

    Not of every request: of two at a time, Triton 2.51 now and then sends the spans of one.
    """
    return [line(one, spans) for one in spans if one.span.name == "InferRequest"]


@pytest.fixture(scope="module")
def explained(gateway: Any, traces: TraceCollector) -> list[CollectedSpan]:
    """The spans of one explanation."""
    trace_id, metadata = a_trace()
    request = gateway_pb2.ExplainRequest(
        model=PATCH,
        content=media.image(),
        methods=[methods_pb2.Method(lime=methods_pb2.Lime(samples=100))],
    )
    list(gateway.Explain(request, metadata=metadata))

    def found() -> list[CollectedSpan]:
        return traces.spans(trace_id)

    wait_until(lambda: set(names(found())) >= SPANS and MASKED in triton_lines(found()))
    return found()


def test_an_explanation_is_one_trace_through_all_services(explained: list[CollectedSpan]) -> None:
    assert set(names(explained)) >= SPANS


def test_each_call_in_it_hangs_from_the_one_that_made_it(explained: list[CollectedSpan]) -> None:
    assert MASKED in triton_lines(explained)


def test_spans_say_what_ran_and_hold_nothing_of_the_file(
    explained: list[CollectedSpan], traces: TraceCollector
) -> None:
    call = next(one for one in explained if one.span.name == f"{GATEWAY}/Explain")
    assert call.attributes["rpc.system"] == "grpc"
    assert call.attributes["rpc.method"] == "Explain"
    lime = next(one for one in explained if one.span.name == "lime")
    assert lime.attributes["pellucid.model"] == PATCH
    assert media.image()[:64] not in traces.contents()


def test_a_refused_call_says_why_in_its_span(gateway: Any, traces: TraceCollector) -> None:
    trace_id, metadata = a_trace()
    with pytest.raises(grpc.RpcError):
        gateway.Classify(
            gateway_pb2.ClassifyRequest(model=PATCH, content=b"no picture"), metadata=metadata
        )
    wait_until(lambda: ("GatewayService", f"{GATEWAY}/Classify") in names(traces.spans(trace_id)))
    call = next(one for one in traces.spans(trace_id) if one.span.name == f"{GATEWAY}/Classify")
    assert call.span.status.code == call.span.status.STATUS_CODE_ERROR
    assert call.attributes["error.type"] == "UNSUPPORTED_MEDIA"


def test_log_lines_name_the_trace(gateway: Any, system_state: Path) -> None:
    trace_id, metadata = a_trace()
    gateway.Classify(
        gateway_pb2.ClassifyRequest(model=PATCH, content=media.image()), metadata=metadata
    )
    for service in ("gateway", "preprocess"):
        lines = [
            json.loads(line)
            for line in (system_state / f"logs/{service}.log").read_text().splitlines()
        ]
        assert any(
            line["message"] == "call" and line.get("trace_id") == trace_id.hex() for line in lines
        )
