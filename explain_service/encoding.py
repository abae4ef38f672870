"""Events to the messages of the API."""

from typing import Final

import numpy as np

from explain_service.events import Compared, Event, Explained, Progressed, Resolved, ResolvedTarget
from explain_service.methods import encode_method
from explain_service.segmentation import encode_segmentation
from pellucid.api.explain.v1 import explain_pb2, explanation_pb2, methods_pb2
from pellucid.tensors import encode

_GAPS: Final = ("completeness_gap", "additivity_gap", "r_squared", "coverage")
_ALL_ZERO: Final = "the map is zero everywhere: the method found nothing"
_TRUNCATED: Final = "the deadline came first: the map rests on fewer calls than asked for"


def encode_event(event: Event) -> explain_pb2.ExplainResponse:
    """One event as one message of the stream."""
    match event:
        case Resolved():
            targets = explain_pb2.ResolvedTargets(
                targets=[_target(target, event) for target in event.targets],
                input_digest=event.input_digest,
            )
            return explain_pb2.ExplainResponse(targets=targets)
        case Progressed():
            return explain_pb2.ExplainResponse(progress=_progress(event))
        case Explained(partial=True):
            return explain_pb2.ExplainResponse(partial=_explanation(event))
        case Explained():
            return explain_pb2.ExplainResponse(explanation=_explanation(event))
        case Compared():
            return explain_pb2.ExplainResponse(comparison=_comparison(event))


def _progress(event: Progressed) -> explanation_pb2.Progress:
    return explanation_pb2.Progress(
        method=event.method,
        calls_done=event.calls_done,
        calls_total=event.calls_total,
        elapsed_seconds=event.elapsed_s,
        remaining_seconds=event.remaining_s,
    )


def _target(target: ResolvedTarget, resolved: Resolved) -> explanation_pb2.ResolvedTarget:
    return explanation_pb2.ResolvedTarget(
        label=target.label,
        index=target.index,
        score=target.score,
        baseline_score=target.baseline_score,
        score_space=_score_space(resolved),
    )


def _score_space(resolved: Resolved) -> "methods_pb2.ScoreSpace.ValueType":
    if resolved.query.probability:
        return methods_pb2.SCORE_SPACE_PROBABILITY
    return methods_pb2.SCORE_SPACE_LOGIT


def _explanation(event: Explained) -> explanation_pb2.Explanation:
    attribution = event.attribution
    return explanation_pb2.Explanation(
        method=event.parameters.name,
        target=_target(event.target, event.resolved),
        map=encode(attribution.map),
        segment_scores=_segment_scores(event),
        trust=_trust(event),
        receipt=_receipt(event),
        truncated=attribution.truncated,
    )


def _segment_scores(event: Explained) -> explanation_pb2.SegmentScores | None:
    attribution = event.attribution
    if event.segments is None or attribution.segment_values is None:
        return None
    scores = explanation_pb2.SegmentScores(
        segments=encode(event.segments), values=attribution.segment_values.tolist()
    )
    if attribution.segment_low is not None and attribution.segment_high is not None:
        scores.low.extend(attribution.segment_low.tolist())
        scores.high.extend(attribution.segment_high.tolist())
    return scores


def _trust(event: Explained) -> explanation_pb2.Trust:
    attribution = event.attribution
    all_zero = not np.any(attribution.map)
    warnings = list(attribution.warnings)
    warnings += [_ALL_ZERO] if all_zero else []
    warnings += [_TRUNCATED] if attribution.truncated else []
    trust = explanation_pb2.Trust(all_zero=all_zero, warnings=warnings)
    for name in _GAPS:
        value = getattr(attribution, name)
        if value is not None:
            setattr(trust, name, value)
    return trust


def _receipt(event: Explained) -> explanation_pb2.Receipt:
    query = event.resolved.query
    on_segments = event.segments is not None
    return explanation_pb2.Receipt(
        model=query.model.card.name,
        model_version=query.model.version,
        weights_digest=query.model.weights_digest,
        input_digest=event.resolved.input_digest,
        method=encode_method(event.parameters),
        score_space=_score_space(event.resolved),
        baseline=query.baseline,
        segmentation=encode_segmentation(query.segmentation) if on_segments else None,
        seed=query.seed,
        precision=event.run.precision,
        model_calls=event.run.model_calls,
        seconds=event.run.seconds,
        library_versions=event.run.library_versions,
    )


def _comparison(event: Compared) -> explanation_pb2.Comparison:
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
