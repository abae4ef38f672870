"""Messages of the API to what a server can do, and to what an explanation would cost."""

import json
from collections.abc import Iterable
from typing import Final

from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import capabilities as found
from pellucid.client._decoding import BASELINE_BY_NUMBER, present
from pellucid.client.choices import ModelState, Runtime

_RUNTIMES: Final = {
    explain_pb2.RUNTIME_TRITON: Runtime.TRITON,
    explain_pb2.RUNTIME_LOCAL_COPY: Runtime.LOCAL_COPY,
}
_STATES: Final = {
    gateway_pb2.MODEL_STATE_READY: ModelState.READY,
    gateway_pb2.MODEL_STATE_LOADING: ModelState.LOADING,
    gateway_pb2.MODEL_STATE_FAILED: ModelState.FAILED,
}


def capabilities(message: gateway_pb2.GetCapabilitiesResponse) -> found.Capabilities:
    """What is served right now."""
    limits = message.limits
    return found.Capabilities(
        models=tuple(_model(model) for model in message.models),
        limits=found.Limits(
            max_content_bytes=limits.max_content_bytes,
            max_pixels=limits.max_pixels,
            max_audio_s=limits.max_audio_seconds,
            max_methods=limits.max_methods,
            max_deadline_s=limits.max_deadline_seconds,
        ),
    )


def plan(message: gateway_pb2.PlanExplainResponse) -> found.Plan:
    """What an explanation would cost."""
    return found.Plan(
        methods=tuple(
            found.MethodPlan(
                method=method.method,
                model_calls=method.model_calls,
                bytes_to_triton=method.bytes_to_triton,
                seconds=present(method, "seconds"),
            )
            for method in message.methods
        ),
        model_calls=message.model_calls,
        bytes_to_triton=message.bytes_to_triton,
        seconds=present(message, "seconds"),
    )


def _model(message: gateway_pb2.Model) -> found.ModelCapability:
    parity = None
    if message.HasField("parity"):
        parity = found.Parity(
            max_score_difference=message.parity.max_score_difference,
            tolerance=message.parity.tolerance,
            probes=message.parity.probes,
            passed=message.parity.passed,
        )
    return found.ModelCapability(
        name=message.name,
        version=message.version,
        title=message.title,
        description=message.description,
        modality=message.modality,
        state=_STATES.get(message.state, ModelState.UNKNOWN),
        state_reason=message.state_reason,
        precision=message.precision,
        labels=tuple(label.name for label in message.labels),
        indexed_cases=message.indexed_cases,
        operating_points={
            point: {
                label.name: label.operating_points[point]
                for label in message.labels
                if point in label.operating_points
            }
            for point in message.operating_points
        },
        activation=message.activation,
        media_types=tuple(message.media_types),
        methods=tuple(_method(method) for method in message.methods),
        baselines=tuple(
            BASELINE_BY_NUMBER[number]
            for number in message.baselines
            if number in BASELINE_BY_NUMBER
        ),
        segmentations=tuple(_segmentation(one) for one in message.segmentations),
        parity=parity,
        weights_digest=message.weights_digest,
        card=json.loads(message.card_json or "{}"),
    )


def _method(message: explain_pb2.MethodCapability) -> found.MethodCapability:
    return found.MethodCapability(
        name=message.method,
        title=message.title or message.method,
        description=message.description,
        paper=message.paper,
        available=message.available,
        unavailable_reason=message.unavailable_reason,
        runtime=_RUNTIMES.get(message.runtime),
        parameters=_parameters(message.parameters),
        parameters_message=message.parameters_message,
        measures=tuple(
            found.MeasureCapability(measure.name, measure.title, measure.description)
            for measure in message.measures
        ),
        on_segments=message.on_segments,
    )


def _segmentation(message: explain_pb2.SegmentationCapability) -> found.SegmentationCapability:
    return found.SegmentationCapability(
        name=message.segmentation,
        title=message.title or message.segmentation,
        description=message.description,
        paper=message.paper,
        parameters=_parameters(message.parameters),
    )


def _parameters(messages: Iterable[explain_pb2.Parameter]) -> tuple[found.Parameter, ...]:
    return tuple(
        found.Parameter(
            name=message.name,
            type=message.type,
            default=message.default_value,
            minimum=present(message, "minimum"),
            maximum=present(message, "maximum"),
            unit=message.unit,
            description=message.description,
            choices=tuple(message.choices),
        )
        for message in messages
    )
