"""Messages of the API to what callers see: predictions and the events of an explanation."""

from dataclasses import fields
from typing import Any

import numpy as np
from google.protobuf.message import Message

from pellucid import tensors
from pellucid.api.common.v1 import media_pb2
from pellucid.api.explain.v1 import explanation_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import predictions, results
from pellucid.client.encoding import BASELINES, SCORE_SPACES
from pellucid.client.questions import (
    METHODS,
    SEGMENTATIONS,
    Method,
    ScoreSpace,
    Segmentation,
)

_BASELINES = {number: baseline for baseline, number in BASELINES.items()}
_SCORE_SPACES = {number: space for space, number in SCORE_SPACES.items()}


def event(message: gateway_pb2.ExplainResponse) -> results.Event | None:
    """One event of an explanation; None for a kind that this client does not know yet."""
    match message.WhichOneof("event"):
        case "prediction":
            return _explained(message.prediction)
        case "progress":
            return _progress(message.progress)
        case "partial":
            return results.Partial(_explanation(message.partial))
        case "explanation":
            return _explanation(message.explanation)
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
            )
            for window in message.windows
        ),
        media_type=message.facts.media_type,
        facts=_facts(message.facts),
        precision=message.precision,
        request_id=message.request_id,
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


def _explained(message: gateway_pb2.ExplainedInput) -> results.Explained:
    window = message.window
    affine = window.to_original
    axes = None
    if window.HasField("axes"):
        axes = results.SpectrogramAxes(
            time_s=np.array(window.axes.time_seconds),
            frequency_hz=np.array(window.axes.frequency_hz),
        )
    return results.Explained(
        prediction=prediction(message.prediction),
        window_index=message.window_index,
        window=results.ModelInput(
            digest=window.digest,
            to_original=results.Affine(affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
            start_s=window.start_seconds,
            end_s=window.end_seconds,
            axes=axes,
            display_png=window.display_png,
        ),
        targets=tuple(_target(target) for target in message.targets),
    )


def _target(message: explanation_pb2.ResolvedTarget) -> results.ResolvedTarget:
    return results.ResolvedTarget(
        label=message.label,
        index=message.index,
        score=message.score,
        baseline_score=present(message, "baseline_score"),
        score_space=_SCORE_SPACES.get(message.score_space, ScoreSpace.LOGIT),
    )


def _progress(message: explanation_pb2.Progress) -> results.Progress:
    return results.Progress(
        method=message.method,
        calls_done=message.calls_done,
        calls_total=message.calls_total,
        elapsed_s=message.elapsed_seconds,
        remaining_s=present(message, "remaining_seconds"),
    )


def _explanation(message: explanation_pb2.Explanation) -> results.Explanation:
    scores = message.segment_scores if message.HasField("segment_scores") else None
    return results.Explanation(
        method=message.method,
        target=_target(message.target),
        map=tensors.decode(message.map, "explanation.map"),
        segment_scores=None if scores is None else _segment_scores(scores),
        trust=_trust(message.trust),
        receipt=_receipt(message.receipt),
        truncated=message.truncated,
    )


def _segment_scores(message: explanation_pb2.SegmentScores) -> results.SegmentScores:
    return results.SegmentScores(
        segments=tensors.decode(message.segments, "explanation.segment_scores.segments"),
        values=np.array(message.values, np.float32),
        low=np.array(message.low, np.float32) if message.low else None,
        high=np.array(message.high, np.float32) if message.high else None,
    )


def _trust(message: explanation_pb2.Trust) -> results.Trust:
    return results.Trust(
        completeness_gap=present(message, "completeness_gap"),
        additivity_gap=present(message, "additivity_gap"),
        r_squared=present(message, "r_squared"),
        coverage=present(message, "coverage"),
        all_zero=message.all_zero,
        warnings=tuple(message.warnings),
    )


def _receipt(message: explanation_pb2.Receipt) -> results.Receipt:
    return results.Receipt(
        model=message.model,
        model_version=message.model_version,
        weights_digest=message.weights_digest,
        input_digest=message.input_digest,
        method=_method(message.method),
        score_space=_SCORE_SPACES.get(message.score_space, ScoreSpace.LOGIT),
        baseline=_BASELINES.get(message.baseline),
        segmentation=_segmentation(message.segmentation),
        seed=message.seed,
        precision=message.precision,
        model_calls=message.model_calls,
        seconds=message.seconds,
        library_versions=dict(message.library_versions),
    )


def _method(message: methods_pb2.Method) -> Method | None:
    name = message.WhichOneof("method")
    return None if name is None else _read(METHODS[name], getattr(message, name))


def _segmentation(message: methods_pb2.Segmentation) -> Segmentation | None:
    name = message.WhichOneof("segmentation")
    return None if name is None else _read(SEGMENTATIONS[name], getattr(message, name))


def _read(kind: Any, message: Message) -> Any:
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
