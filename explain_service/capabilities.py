"""Which methods work for which model, and what they would cost."""

from explain_service.attribution import GradientExplainers
from explain_service.methods import GRADIENT_METHODS, METHODS, runtime_of
from explain_service.planner import Planner
from explain_service.query import Query, unavailable
from explain_service.segmentation import expected_segments
from pellucid.api.explain.v1 import explain_pb2
from pellucid.scores import expected_targets
from pellucid.serving.triton import ServedModel


def model_methods(model: ServedModel, gradients: GradientExplainers) -> explain_pb2.ModelMethods:
    """All methods for one model, with the reason where one is unavailable."""
    return explain_pb2.ModelMethods(
        model=model.card.name,
        methods=[_capability(model, method, gradients) for method in METHODS],
        parity=gradients.parity(model),
    )


def _capability(
    model: ServedModel, method: str, gradients: GradientExplainers
) -> explain_pb2.MethodCapability:
    reason = unavailable(model, method, gradients)
    parameters = METHODS[method].describe()
    if method in GRADIENT_METHODS and model.card.architecture is not None:
        layers = model.card.architecture.grad_cam_layers
        for parameter in parameters:
            if parameter.name == "layer":
                parameter.choices.extend(layers)
                parameter.default_value = layers[0] if layers else ""
    return explain_pb2.MethodCapability(
        method=method,
        available=not reason,
        unavailable_reason=reason,
        runtime=runtime_of(method),
        parameters=parameters,
    )


def plan(query: Query, planner: Planner) -> explain_pb2.PlanResponse:
    """What each method of a query would cost."""
    card = query.model.card
    segments = expected_segments(query.segmentation)
    targets = expected_targets(card, query.targets)
    costs = [
        (
            parameters.name,
            planner.cost(
                card, parameters, segments=segments, targets=targets, baseline=query.baseline
            ),
        )
        for parameters in query.methods
    ]
    return explain_pb2.PlanResponse(
        methods=[
            explain_pb2.MethodPlan(
                method=name,
                model_calls=cost.calls,
                bytes_to_triton=cost.sent_bytes,
                seconds=cost.seconds,
            )
            for name, cost in costs
        ]
    )
