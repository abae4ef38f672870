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


def a_trace() -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Id of a trace of the caller's, and the metadata that has the server go on with it."""
    trace_id = os.urandom(16)
    return trace_id, (("traceparent", f"00-{trace_id.hex()}-{os.urandom(8).hex()}-01"),)


def names(spans: list[CollectedSpan]) -> list[tuple[str, str]]:
    return sorted((one.service, one.span.name) for one in spans)


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

    def has_all() -> bool:
        """Whether the first span, sent last, is there, and for each call the callee's own."""
        spans = found()
        above = {one.span.parent_span_id for one in spans}
        calls = {one.span.span_id for one in spans if one.span.kind == one.span.SPAN_KIND_CLIENT}
        ended = ("GatewayService", f"{GATEWAY}/Explain") in names(spans)
        return (
            ended
            and {INFER, f"{EXPLAIN}/Explain"} <= {one.span.name for one in spans}
            and (calls <= above)
        )

    wait_until(has_all)
    return found()


def test_an_explanation_is_one_trace_through_all_services(explained: list[CollectedSpan]) -> None:
    found = names(explained)
    for expected in (
        ("GatewayService", f"{GATEWAY}/Explain"),
        ("GatewayService", f"{PREPROCESS}/Preprocess"),
        ("PreprocessService", f"{PREPROCESS}/Preprocess"),
        ("GatewayService", INFER),
        ("GatewayService", f"{EXPLAIN}/Explain"),
        ("ExplainService", f"{EXPLAIN}/Explain"),
        ("ExplainService", "explanation"),
        ("ExplainService", "lime"),
        ("ExplainService", INFER),
    ):
        assert expected in found


def test_each_call_in_it_hangs_from_the_one_that_made_it(explained: list[CollectedSpan]) -> None:
    by_id = {one.span.span_id: one for one in explained}

    def line(one: CollectedSpan) -> list[str]:
        above = by_id.get(one.span.parent_span_id)
        return [*([] if above is None else line(above)), f"{one.service} {one.span.name}"]

    masked = next(
        one
        for one in explained
        if one.service == "ExplainService"
        and one.span.name == INFER
        and "ExplainService lime" in line(one)
    )
    assert line(masked) == [
        f"GatewayService {GATEWAY}/Explain",
        f"GatewayService {EXPLAIN}/Explain",
        f"ExplainService {EXPLAIN}/Explain",
        "ExplainService explanation",
        "ExplainService lime",
        f"ExplainService {INFER}",
    ]
    # Triton's own spans go on below it.
    assert any(
        one.service == "triton" and one.span.parent_span_id == masked.span.span_id
        for one in explained
    )


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
