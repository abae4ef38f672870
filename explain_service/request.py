"""What a client asks for: decoded and checked against the model's card, every parameter known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message

from explain_service.baselines import resolve_baseline
from explain_service.methods import MethodRegistry
from explain_service.methods.base import Backends, Method, Workload
from explain_service.segmentation import expected_segments, resolve_segmentation
from pellucid.api.common.v1 import tensor_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.contracts import Baseline, InputSpec
from pellucid.errors import InvalidArgument, MethodUnavailable
from pellucid.scores import check_targets, expected_targets
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray, decode


@dataclass(frozen=True)
class MethodCall:
    """One method of a request."""

    method: Method[Any]
    parameters: Message
    """Resolved."""
    field: str
    """Path of its message in the request, for errors."""


@dataclass(frozen=True)
class CheckedRequest:
    """Methods for one model, and what they share."""

    model: ServedModel
    calls: tuple[MethodCall, ...]
    targets: tuple[methods_pb2.Target, ...]
    probability: bool
    """Whether scores are explained after the activation; else as logits."""
    baseline: Baseline
    segmentation: methods_pb2.Segmentation
    seed: int

    @property
    def expected_workload(self) -> Workload:
        """What decides the cost, before the input is known."""
        return Workload(
            card=self.model.card,
            segments=expected_segments(self.segmentation),
            targets=expected_targets(self.model.card, self.targets),
            baseline_is_constant=self.baseline != methods_pb2.BASELINE_BLUR,
        )


def check_request(
    model: ServedModel,
    methods: Sequence[methods_pb2.Method],
    options: methods_pb2.ExplainOptions,
    registry: MethodRegistry,
    backends: Backends,
) -> CheckedRequest:
    """Decode and check all of a request but its tensor.

    Args:
        model: the one that it names.
        methods: as received; none means every method that is available.
        options: as received.
        registry: the methods that there are.
        backends: decide what is available.

    Raises:
        InvalidArgument: a field is missing or out of range.
        UnknownLabel: the card has no such label.
        MethodUnavailable: the model cannot be explained that way.
    """
    card = model.card
    check_targets(card, options.targets, "options.targets")
    if options.score_space not in methods_pb2.ScoreSpace.values():
        raise InvalidArgument(
            f"there is no score space {options.score_space}",
            field="options.score_space",
            remedy="choose logit or probability",
        )
    spec = card.preprocess
    chosen = registry.decode(methods, "methods")
    calls = [_call(model, backends, *one) for one in chosen] or _available(
        model, registry, backends
    )
    return CheckedRequest(
        model=model,
        calls=tuple(calls),
        targets=tuple(options.targets),
        probability=options.score_space == methods_pb2.SCORE_SPACE_PROBABILITY,
        baseline=resolve_baseline(card, options.baseline, "options.baseline"),
        segmentation=resolve_segmentation(spec, options.segmentation, "options.segmentation"),
        seed=options.seed,
    )


def check_tensor(spec: InputSpec, message: tensor_pb2.Tensor, field: str) -> FloatArray:
    """Decode the input `spec.shape`.

    Raises:
        InvalidArgument: it is not float32, not of that shape, or not finite.
    """
    array = decode(message, field)
    if message.data_type != tensor_pb2.DATA_TYPE_FLOAT32:
        raise InvalidArgument(
            f"the tensor is {array.dtype.name}", field=f"{field}.data_type", remedy="send float32"
        )
    if array.shape != spec.shape:
        raise InvalidArgument(
            f"the tensor's shape is {array.shape}",
            field=f"{field}.shape",
            remedy=f"the model takes {spec.shape}",
        )
    if not np.isfinite(array).all():
        raise InvalidArgument(
            "the tensor has values that are not finite",
            field=f"{field}.data",
            remedy="send finite values only",
        )
    return array


def _call(
    model: ServedModel, backends: Backends, method: Method[Any], parameters: Message, field: str
) -> MethodCall:
    if reason := method.unavailable(model, backends):
        raise method.refusal(model, reason, field)
    return MethodCall(method, method.resolve(parameters, model.card, field), field)


def _available(
    model: ServedModel, registry: MethodRegistry, backends: Backends
) -> list[MethodCall]:
    """Every method that is available, with its defaults."""
    reasons = {method.name: method.unavailable(model, backends) for method in registry}
    calls = [
        MethodCall(method, method.defaults(model.card), f"methods.{method.name}")
        for method in registry
        if not reasons[method.name]
    ]
    if not calls:
        raise MethodUnavailable(
            f"{model.card.name} cannot be explained: {'; '.join(sorted(set(reasons.values())))}",
            field="model",
            remedy="choose another model",
            model=model.card.name,
        )
    return calls
