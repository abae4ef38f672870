"""From a checked request to what its methods share: reference scores, targets and segments."""

from dataclasses import dataclass

import numpy as np

from explain_service.attribution import ExplainInput, ReferenceScores, scores_of
from explain_service.events import ResolvedTarget
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.request import CheckedRequest
from explain_service.segmentation import SegmentMap, segment
from explain_service.triton_calls import Caller, SharedInputs, TritonCalls
from pellucid.baselines import make_baseline
from pellucid.errors import MethodUnavailable
from pellucid.scores import probabilities, resolve_targets
from pellucid.serving.served_model import ServedModel
from pellucid.serving.triton import Answer
from pellucid.tensors import FloatArray


@dataclass(frozen=True)
class Dependencies:
    """What all requests share."""

    backends: Backends
    planner: Planner
    finish_s: float
    """What is kept of a deadline to compute and send what there is, in seconds."""
    partial_every_s: float
    """Between two partial maps of one method."""


def resolve_inputs(
    request: CheckedRequest, tensor: FloatArray, caller: Caller, dependencies: Dependencies
) -> ExplainInput:
    """Ask for the scores of input and baseline, which decide the targets, and cut the input.

    Raises:
        Cancelled: the request was.
        InvalidArgument: what only the number of segments shows to be too large.
        MethodUnavailable: the scores are not finite.
        PellucidError: Triton does not answer, or has no such model any more.
    """
    model, spec = request.model, request.model.card.preprocess
    baseline = make_baseline(spec, request.baseline, tensor)
    served = _served_references(dependencies.backends.calls, model, tensor, baseline, caller)
    chances = probabilities(model.card, served.logits)[0]
    inputs = ExplainInput(
        model=model,
        tensor=tensor,
        baseline=baseline,
        references=_reference_scores(model, served, probability=request.probability),
        targets=tuple(resolve_targets(model.card, request.targets, chances, "options.targets")),
        probability=request.probability,
        seed=request.seed,
        segments=_segments(request, tensor),
        segmentation=request.segmentation,
        caller=caller,
    )
    for call in request.calls:
        call.method.check_segments(call.parameters, inputs.segment_count, call.field)
    return inputs


def resolved_targets(inputs: ExplainInput) -> tuple[ResolvedTarget, ...]:
    """The targets with their scores."""
    labels, references = inputs.model.card.labels, inputs.references
    return tuple(
        ResolvedTarget(
            labels[k], k, float(references.full[k]), float(references.empty[k]), inputs.probability
        )
        for k in inputs.targets
    )


def _segments(request: CheckedRequest, tensor: FloatArray) -> SegmentMap:
    """The input cut into segments; one, at no cost, where no method works on them."""
    spec = request.model.card.preprocess
    if any(call.method.on_segments for call in request.calls):
        return segment(spec, request.segmentation, tensor, request.seed)
    return np.zeros(spec.plane, np.uint16)


def _served_references(
    calls: TritonCalls,
    model: ServedModel,
    tensor: FloatArray,
    baseline: FloatArray,
    caller: Caller,
) -> Answer:
    """Served logits `(2, K')` of the input and of the baseline, in one call.

    They come from the masked graph where there is one: the scores of masks are compared with them,
    and another graph's kernels may round otherwise.

    Raises:
        Cancelled: the request was.
        MethodUnavailable: they are not finite.
        PellucidError: Triton does not answer, or has no such model any more.
    """
    if model.masked:
        whole = np.zeros(model.card.preprocess.plane, np.uint16)
        shared = SharedInputs.of(tensor, baseline, whole)
        masks = np.array([[1], [0]], np.uint8)
        answer = caller.wait(calls.masked(model, shared, masks, caller))
    else:
        both = np.concatenate([tensor[np.newaxis], np.broadcast_to(baseline, (1, *tensor.shape))])
        answer = calls.logits(model, both, caller)
    _check_finite(answer.logits)
    return answer


def _reference_scores(model: ServedModel, answer: Answer, *, probability: bool) -> ReferenceScores:
    """The scores on the scale that is explained, from `_served_references`."""
    full, empty = scores_of(model, answer.logits, probability=probability)
    return ReferenceScores(full, empty, answer.precision)


def _check_finite(logits: FloatArray) -> None:
    """Refuse an input or a baseline to which the model gives no number."""
    if not np.isfinite(logits[0]).all():
        raise MethodUnavailable(
            "the model's scores of the input are not finite",
            field="input",
            remedy="send another input, or fix the model",
        )
    if not np.isfinite(logits[1]).all():
        raise MethodUnavailable(
            "the model's scores of the baseline are not finite",
            field="options.baseline",
            remedy="choose another baseline",
        )
