"""Messages of the API to what callers see: predictions and the events of an explanation."""

from dataclasses import fields
from typing import Any, Final

import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from pellucid import tensors
from pellucid.api.common.v1 import media_pb2
from pellucid.api.explain.v1 import explanation_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import explanations, inputs, predictions, results
from pellucid.client._encoding import BASELINES, SCORE_SPACES
from pellucid.client.choices import Grade, ScoreSpace
from pellucid.client.methods import METHODS, SEGMENTATIONS, Method, Segmentation

BASELINE_BY_NUMBER: Final = {number: baseline for baseline, number in BASELINES.items()}
_SCORE_SPACES = {number: space for space, number in SCORE_SPACES.items()}
_GRADES: Final = {
    explanation_pb2.GRADE_GOOD: Grade.GOOD,
    explanation_pb2.GRADE_FAIR: Grade.FAIR,
    explanation_pb2.GRADE_POOR: Grade.POOR,
}


def event(message: gateway_pb2.ExplainResponse) -> results.ExplainEvent | None:
    """One event of an explanation; None for a kind that this client does not know yet."""
    match message.WhichOneof("event"):
        case "prediction":
            return _input(message.prediction)
        case "targets":
            return results.ResolvedTargets(tuple(map(_target, message.targets.targets)))
        case "progress":
            return _progress(message.progress)
        case "partial":
            return results.Partial(_explanation(message.partial, finished=False))
        case "explanation":
            return _explanation(message.explanation, finished=True)
        case "failure":
            return _failure(message.failure)
        case "comparison":
            return _comparison(message.comparison)
        case _:
            return None


def prediction(message: gateway_pb2.Prediction) -> predictions.Prediction:
    """What a model says of one file."""
    return predictions.Prediction(
        model=message.model,
        model_version=message.model_version,
        scores=tuple(_score(score) for score in message.scores),
        top_label=message.top_label,
        windows=tuple(
            predictions.WindowScore(
                scores=tuple(_score(score) for score in window.scores),
                input_digest=window.input_digest,
                start_s=window.start_seconds,
                end_s=window.end_seconds,
                distance=present(window, "distance"),
            )
            for window in message.windows
        ),
        media_type=message.facts.media_type,
        facts=_facts(message.facts),
        precision=message.precision,
        request_id=message.request_id,
        operating_point=message.operating_point,
        out_of_distribution=_out_of_distribution(message),
    )


def similar_cases(message: gateway_pb2.FindSimilarResponse) -> predictions.SimilarCases:
    """Cases like one file."""
    return predictions.SimilarCases(
        prediction=prediction(message.prediction),
        window=message.window_index,
        cases=tuple(
            predictions.SimilarCase(
                id=case.id,
                labels=tuple(case.labels),
                distance=case.distance,
                start_s=case.start_seconds,
                end_s=case.end_seconds,
                thumbnail_png=case.thumbnail_png,
            )
            for case in message.cases
        ),
        indexed=message.index.cases,
        typical_distance=message.index.typical_distance,
    )


def present(message: Message, name: str) -> Any:
    """Value of an optional field; None where it is absent."""
    return getattr(message, name) if message.HasField(name) else None


def _score(message: gateway_pb2.LabelScore) -> predictions.LabelScore:
    return predictions.LabelScore(
        label=message.label,
        score=message.score,
        logit=message.logit,
        above_threshold=present(message, "above_threshold"),
        calibrated_score=present(message, "calibrated_score"),
        spread=present(message, "spread"),
    )


def _out_of_distribution(
    message: gateway_pb2.Prediction,
) -> predictions.OutOfDistribution | None:
    if not message.HasField("out_of_distribution"):
        return None
    found = message.out_of_distribution
    return predictions.OutOfDistribution(
        score=found.score,
        threshold=found.threshold,
        warning=found.warning,
        detector=found.detector,
    )


def _facts(message: media_pb2.MediaFacts) -> predictions.ImageFacts | predictions.AudioFacts | None:
    match message.WhichOneof("facts"):
        case "image":
            image = message.image
            return predictions.ImageFacts(
                width=image.width,
                height=image.height,
                bit_depth=image.bit_depth,
                colour=image.colour,
                orientation=image.orientation,
                modality=image.modality,
                transfer_syntax=image.transfer_syntax,
            )
        case "audio":
            audio = message.audio
            return predictions.AudioFacts(
                sample_rate_hz=audio.sample_rate_hz,
                channels=audio.channels,
                duration_s=audio.duration_seconds,
                encoding=audio.encoding,
                bit_depth=audio.bit_depth,
            )
        case _:
            return None


def _input(message: gateway_pb2.ExplainedInput) -> inputs.ExplainedInput:
    return inputs.ExplainedInput(
        prediction=prediction(message.prediction),
        window_index=message.window_index,
        window=_window(message.window),
        queue_position=message.queue_position,
    )


def _window(message: media_pb2.Window) -> inputs.ModelInput:
    affine = message.to_original
    axes = None
    if message.HasField("axes"):
        axes = inputs.SpectrogramAxes(
            time_s=_read_only(message.axes.time_seconds, np.float64),
            frequency_hz=_read_only(message.axes.frequency_hz, np.float64),
        )
    return inputs.ModelInput(
        digest=message.digest,
        to_original=inputs.Affine(affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
        start_s=message.start_seconds,
        end_s=message.end_seconds,
        axes=axes,
        display_png=message.display_png,
    )


def _target(message: explanation_pb2.ResolvedTarget) -> explanations.ResolvedTarget:
    return explanations.ResolvedTarget(
        label=message.label,
        index=message.index,
        score=message.score,
        baseline_score=message.baseline_score,
        score_space=_SCORE_SPACES.get(message.score_space, ScoreSpace.LOGIT),
    )


def _progress(message: explanation_pb2.Progress) -> results.MethodProgress:
    return results.MethodProgress(
        method=message.method,
        calls_done=message.calls_done,
        calls_total=message.calls_total,
        elapsed_s=message.elapsed_seconds,
        remaining_s=present(message, "remaining_seconds"),
    )


def _failure(message: explanation_pb2.MethodFailure) -> results.MethodFailure:
    return results.MethodFailure(
        method=message.method,
        reason=message.reason,
        message=message.message,
        remedy=message.remedy,
        retriable=message.retriable,
    )


def _explanation(
    message: explanation_pb2.Explanation, *, finished: bool
) -> explanations.Explanation:
    scores = message.segment_scores if message.HasField("segment_scores") else None
    return explanations.Explanation(
        method=message.method,
        title=message.title or message.method,
        description=message.description,
        target=_target(message.target),
        map=tensors.decode(message.map, "explanation.map"),
        segment_scores=None if scores is None else _segment_scores(scores),
        trust=_trust(message.trust),
        receipt=_receipt(message.receipt),
        truncated=message.truncated,
        finished=finished,
    )


def _segment_scores(message: explanation_pb2.SegmentScores) -> explanations.SegmentScores:
    return explanations.SegmentScores(
        segments=tensors.decode(message.segments, "explanation.segment_scores.segments"),
        values=_read_only(message.values, np.float32),
        low=_read_only(message.low, np.float32) if message.low else None,
        high=_read_only(message.high, np.float32) if message.high else None,
    )


def _read_only(values: Any, kind: Any) -> Any:
    array = np.array(values, kind)
    array.flags.writeable = False
    return array


def _trust(message: explanation_pb2.Trust) -> explanations.Trust:
    return explanations.Trust(
        measures=tuple(
            explanations.Measure(
                name=measure.name,
                title=measure.title or measure.name,
                value=measure.value,
                grade=_GRADES.get(measure.grade),
                words=measure.words,
            )
            for measure in message.measures
        ),
        all_zero=message.all_zero,
        warnings=tuple(message.warnings),
    )


def _receipt(message: explanation_pb2.Receipt) -> explanations.Receipt:
    return explanations.Receipt(
        model=message.model,
        model_version=message.model_version,
        weights_digest=message.weights_digest,
        input_digest=message.input_digest,
        method=_method(message.method),
        score_space=_SCORE_SPACES.get(message.score_space, ScoreSpace.LOGIT),
        baseline=BASELINE_BY_NUMBER.get(message.baseline),
        segmentation=_segmentation(message.segmentation),
        seed=message.seed,
        precision=message.precision,
        model_calls=message.model_calls,
        seconds=message.seconds,
        library_versions=dict(message.library_versions),
    )


def _method(message: methods_pb2.Method) -> Method | AnyMessage | None:
    name = message.WhichOneof("method")
    if name == "extension":
        return message.extension
    return None if name is None else _parameters(METHODS[name], getattr(message, name))


def _segmentation(message: methods_pb2.Segmentation) -> Segmentation | None:
    name = message.WhichOneof("segmentation")
    return None if name is None else _parameters(SEGMENTATIONS[name], getattr(message, name))


def _parameters(kind: Any, message: Message) -> Any:
    return kind(**{field.name: present(message, field.name) for field in fields(kind)})


def _comparison(message: explanation_pb2.Comparison) -> results.Comparison:
    return results.Comparison(
        tuple(
            results.Agreement(
                method_a=agreement.method_a,
                method_b=agreement.method_b,
                label=agreement.label,
                rank_correlation=present(agreement, "rank_correlation"),
                top_overlap=present(agreement, "top_overlap"),
            )
            for agreement in message.agreements
        )
    )
