"""What a client asks for: decoded, checked against the model's card, every parameter known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explain_service.attribution import GradientExplainers
from explain_service.baselines import Baseline, resolve_baseline
from explain_service.methods import GRADIENT_METHODS, Occlusion, decode_methods
from explain_service.parameters import Parameters
from explain_service.planner import check_occlusion
from explain_service.segmentation import decode_segmentation
from pellucid.api.common.v1 import tensor_pb2
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.errors import InvalidArgument, MethodUnavailable
from pellucid.scores import check_targets
from pellucid.serving.triton import ServedModel
from pellucid.tensors import FloatArray, decode


@dataclass(frozen=True)
class Query:
    """Methods for one model, and what they share."""

    model: ServedModel
    methods: tuple[Parameters, ...]
    targets: tuple[methods_pb2.Target, ...]
    probability: bool
    baseline: Baseline
    segmentation: Parameters
    seed: int


def read_query(
    model: ServedModel,
    methods: Sequence[methods_pb2.Method],
    options: methods_pb2.ExplainOptions,
    gradients: GradientExplainers,
) -> Query:
    """Decode and check all of a request but its tensor.

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
    decoded = decode_methods(methods, "methods")
    return Query(
        model=model,
        methods=tuple(
            _resolve(model, parameters, gradients, f"methods[{place}].{parameters.name}")
            for place, parameters in enumerate(decoded)
        ),
        targets=tuple(options.targets),
        probability=options.score_space == methods_pb2.SCORE_SPACE_PROBABILITY,
        baseline=resolve_baseline(card, options.baseline, "options.baseline"),
        segmentation=decode_segmentation(card, options.segmentation, "options.segmentation"),
        seed=options.seed,
    )


def unavailable(model: ServedModel, method: str, gradients: GradientExplainers) -> str:
    """Why a model cannot be explained by a method; empty where it can."""
    if method in GRADIENT_METHODS:
        return gradients.unavailable(model, method)
    return "" if model.masked else f"{model.card.name} has no masked graph in Triton"


def read_tensor(card: Card, message: tensor_pb2.Tensor, field: str) -> FloatArray:
    """Decode the input `card.preprocess.shape`.

    Raises:
        InvalidArgument: it is not float32, not of that shape, or not finite.
    """
    array = decode(message, field)
    if message.data_type != tensor_pb2.DATA_TYPE_FLOAT32:
        raise InvalidArgument(
            f"the tensor is {array.dtype.name}", field=f"{field}.data_type", remedy="send float32"
        )
    if array.shape != card.preprocess.shape:
        raise InvalidArgument(
            f"the tensor's shape is {array.shape}",
            field=f"{field}.shape",
            remedy=f"{card.name} takes {card.preprocess.shape}",
            model=card.name,
        )
    if not np.isfinite(array).all():
        raise InvalidArgument(
            "the tensor has values that are not finite",
            field=f"{field}.data",
            remedy="send finite values only",
        )
    return array


def _resolve(
    model: ServedModel, parameters: Parameters, gradients: GradientExplainers, field: str
) -> Parameters:
    if reason := unavailable(model, parameters.name, gradients):
        raise MethodUnavailable(
            f"{parameters.name} is not available: {reason}",
            field=field,
            remedy="choose a method that ListMethods says is available",
            model=model.card.name,
            method=parameters.name,
        )
    if isinstance(parameters, Occlusion):
        check_occlusion(model.card, parameters, field)
    if parameters.name in GRADIENT_METHODS:
        return gradients.resolve(model, parameters, field)
    return parameters
