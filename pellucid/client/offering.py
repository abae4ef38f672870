"""Messages of the API to what a server offers, and to what an explanation would cost."""

import json
from typing import Final

from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import offers
from pellucid.client.decoding import present

_RUNTIMES: Final = {
    explain_pb2.RUNTIME_TRITON: "triton",
    explain_pb2.RUNTIME_LOCAL_COPY: "local_copy",
}


def capabilities(message: gateway_pb2.GetCapabilitiesResponse) -> offers.Capabilities:
    """What is served right now."""
    limits = message.limits
    return offers.Capabilities(
        models=tuple(_model(model) for model in message.models),
        limits=offers.Limits(
            max_content_bytes=limits.max_content_bytes,
            max_pixels=limits.max_pixels,
            max_audio_s=limits.max_audio_seconds,
            max_methods=limits.max_methods,
            max_deadline_s=limits.max_deadline_seconds,
        ),
    )


def plan(message: gateway_pb2.PlanExplainResponse) -> offers.Plan:
    """What an explanation would cost."""
    return offers.Plan(
        methods=tuple(
            offers.MethodPlan(
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


def _model(message: gateway_pb2.Model) -> offers.ModelOffer:
    parity = None
    if message.HasField("parity"):
        parity = offers.Parity(
            max_score_difference=message.parity.max_score_difference,
            tolerance=message.parity.tolerance,
            probes=message.parity.probes,
            passed=message.parity.passed,
        )
    return offers.ModelOffer(
        name=message.name,
        version=message.version,
        title=message.title,
        description=message.description,
        modality=message.modality,
        ready=message.state == gateway_pb2.MODEL_STATE_READY,
        labels=tuple(label.name for label in message.labels),
        thresholds={
            label.name: label.threshold for label in message.labels if label.HasField("threshold")
        },
        activation=message.activation,
        media_types=tuple(message.media_types),
        methods=tuple(_method(method) for method in message.methods),
        parity=parity,
        grad_cam_layers=tuple(message.grad_cam_layers),
        weights_digest=message.weights_digest,
        card=json.loads(message.card_json or "{}"),
    )


def _method(message: explain_pb2.MethodCapability) -> offers.MethodOffer:
    return offers.MethodOffer(
        name=message.method,
        available=message.available,
        unavailable_reason=message.unavailable_reason,
        runtime=_RUNTIMES.get(message.runtime, ""),
        parameters=tuple(
            offers.Parameter(
                name=parameter.name,
                type=parameter.type,
                default=parameter.default_value,
                minimum=present(parameter, "minimum"),
                maximum=present(parameter, "maximum"),
                unit=parameter.unit,
                description=parameter.description,
                choices=tuple(parameter.choices),
            )
            for parameter in message.parameters
        ),
    )
