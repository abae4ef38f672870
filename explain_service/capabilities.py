"""Which methods work for which model, and what they would cost."""

from typing import Any

from explain_service.methods import MethodRegistry
from explain_service.methods.base import Backends, Method
from explain_service.planner import Planner
from explain_service.request import CheckedRequest
from explain_service.segmentation import SEGMENTERS, Segmenter
from pellucid.api.explain.v1 import explain_pb2
from pellucid.parameters import Parameter, Value, parameters_of
from pellucid.serving.served_model import ServedModel


def model_methods(
    model: ServedModel, registry: MethodRegistry, backends: Backends
) -> explain_pb2.ModelMethods:
    """All methods for one model, with the reason where one is unavailable."""
    spec = model.card.preprocess
    default = spec.default_segmentation().WhichOneof("segmentation")
    segmenters = sorted(SEGMENTERS.values(), key=lambda one: one.name != default)
    return explain_pb2.ModelMethods(
        model=model.card.name,
        methods=[_method(model, method, backends) for method in registry],
        parity=backends.copies.parity(model),
        baselines=model.card.baselines,
        segmentations=[_segmentation(segmenter) for segmenter in segmenters],
    )


def plan(request: CheckedRequest, planner: Planner) -> explain_pb2.PlanResponse:
    """What each method of a request would cost."""
    workload = request.expected_workload
    plans = []
    for call in request.calls:
        cost = planner.cost(call.method, call.parameters, workload)
        plans.append(
            explain_pb2.MethodPlan(
                method=call.method.name,
                model_calls=cost.calls,
                bytes_to_triton=cost.sent_bytes,
                seconds=cost.seconds,
            )
        )
    return explain_pb2.PlanResponse(methods=plans)


def _method(
    model: ServedModel, method: Method[Any], backends: Backends
) -> explain_pb2.MethodCapability:
    reason = method.unavailable(model, backends)
    descriptor = method.message.DESCRIPTOR
    choices = method.choices(model.card)
    return explain_pb2.MethodCapability(
        method=method.name,
        available=not reason,
        unavailable_reason=reason,
        runtime=method.runtime,
        parameters=[_parameter(one, choices.get(one.name)) for one in parameters_of(descriptor)],
        title=method.title,
        description=method.description,
        paper=method.paper,
        measures=[
            explain_pb2.MeasureCapability(
                name=kind.name, title=kind.title, description=kind.description
            )
            for kind in method.measures
        ],
        on_segments=method.on_segments,
        parameters_message=descriptor.full_name,
    )


def _segmentation(segmenter: Segmenter[Any]) -> explain_pb2.SegmentationCapability:
    return explain_pb2.SegmentationCapability(
        segmentation=segmenter.name,
        title=segmenter.title,
        description=segmenter.description,
        paper=segmenter.paper,
        parameters=[_parameter(one, None) for one in parameters_of(segmenter.message.DESCRIPTOR)],
    )


def _parameter(parameter: Parameter, choices: tuple[str, ...] | None) -> explain_pb2.Parameter:
    default = choices[0] if choices else parameter.default
    return explain_pb2.Parameter(
        name=parameter.name,
        type=parameter.type,
        default_value=_text(default),
        minimum=parameter.minimum,
        maximum=parameter.maximum,
        unit=parameter.unit,
        description=parameter.description,
        choices=choices or (),
    )


def _text(value: Value | None) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            return value
        case _:
            return f"{value:g}"
