"""Events to the messages of the API."""

from explain_service.attribution import SegmentValues
from explain_service.events import (
    Event,
    MapReady,
    MapsCompared,
    MethodFailed,
    MethodProgress,
    RequestAccepted,
    ResolvedTarget,
    TargetsResolved,
)
from explain_service.methods.registry import encode_method
from pellucid.api.explain.v1 import explain_pb2, explanation_pb2, methods_pb2
from pellucid.tensors import encode


def encode_event(event: Event) -> explain_pb2.ExplainResponse:
    """One event as one message of the stream."""
    match event:
        case RequestAccepted():
            accepted = explain_pb2.Accepted(
                queue_position=event.queue_position, input_digest=event.input_digest
            )
            return explain_pb2.ExplainResponse(accepted=accepted)
        case TargetsResolved():
            found = [_target(target) for target in event.targets]
            targets = explanation_pb2.ResolvedTargets(targets=found)
            return explain_pb2.ExplainResponse(targets=targets)
        case MethodProgress():
            return explain_pb2.ExplainResponse(progress=_progress(event))
        case MapReady(partial=True):
            return explain_pb2.ExplainResponse(partial=_explanation(event))
        case MapReady():
            return explain_pb2.ExplainResponse(explanation=_explanation(event))
        case MethodFailed():
            return explain_pb2.ExplainResponse(failure=_failure(event))
        case MapsCompared():
            return explain_pb2.ExplainResponse(comparison=_comparison(event))


def _progress(event: MethodProgress) -> explanation_pb2.Progress:
    return explanation_pb2.Progress(
        method=event.method,
        calls_done=event.calls_done,
        calls_total=event.calls_total,
        elapsed_seconds=event.elapsed_s,
        remaining_seconds=event.remaining_s,
    )


def _target(target: ResolvedTarget) -> explanation_pb2.ResolvedTarget:
    return explanation_pb2.ResolvedTarget(
        label=target.label,
        index=target.index,
        score=target.score,
        baseline_score=target.baseline_score,
        score_space=_score_space(target.probability),
    )


def _score_space(probability: bool) -> "methods_pb2.ScoreSpace.ValueType":
    if probability:
        return methods_pb2.SCORE_SPACE_PROBABILITY
    return methods_pb2.SCORE_SPACE_LOGIT


def _explanation(event: MapReady) -> explanation_pb2.Explanation:
    method = event.call.method
    return explanation_pb2.Explanation(
        method=method.name,
        target=_target(event.target),
        map=encode(event.map),
        segment_scores=_segment_scores(event.segments),
        trust=_trust(event),
        receipt=_receipt(event),
        truncated=event.truncated,
        title=method.title,
        description=method.description,
    )


def _segment_scores(found: SegmentValues | None) -> explanation_pb2.SegmentScores | None:
    if found is None:
        return None
    return explanation_pb2.SegmentScores(
        segments=encode(found.segments),
        values=found.values.tolist(),
        low=() if found.low is None else found.low.tolist(),
        high=() if found.high is None else found.high.tolist(),
    )


def _trust(event: MapReady) -> explanation_pb2.Trust:
    return explanation_pb2.Trust(
        all_zero=event.all_zero,
        warnings=event.warnings,
        measures=[
            explanation_pb2.Measure(
                name=measure.kind.name,
                title=measure.kind.title,
                value=measure.value,
                grade=measure.grade.value,
                words=measure.words,
            )
            for measure in event.measures
        ],
    )


def _receipt(event: MapReady) -> explanation_pb2.Receipt:
    request, facts = event.request, event.facts
    return explanation_pb2.Receipt(
        model=request.model.card.name,
        model_version=request.model.version,
        weights_digest=request.model.weights_digest,
        input_digest=facts.input_digest,
        method=encode_method(event.call.method, event.call.parameters),
        score_space=_score_space(request.probability),
        baseline=request.baseline,
        segmentation=request.segmentation if event.call.method.on_segments else None,
        seed=request.seed,
        precision=facts.precision,
        model_calls=facts.model_calls,
        seconds=facts.seconds,
        library_versions=facts.library_versions,
    )


def _failure(event: MethodFailed) -> explanation_pb2.MethodFailure:
    return explanation_pb2.MethodFailure(
        method=event.method,
        reason=event.reason,
        message=event.message,
        remedy=event.remedy,
        retriable=event.retriable,
    )


def _comparison(event: MapsCompared) -> explanation_pb2.Comparison:
    return explanation_pb2.Comparison(
        agreements=[
            explanation_pb2.Agreement(
                method_a=pair.method_a,
                method_b=pair.method_b,
                label=pair.label,
                rank_correlation=pair.rank_correlation,
                top_overlap=pair.top_overlap,
            )
            for pair in event.agreements
        ]
    )
