"""Predictions as the contract words them."""

from gateway.classification import Classified
from pellucid.api.common.v1 import media_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.cards import Card
from pellucid.serving import request_id
from pellucid.tensors import FloatArray


def encode_prediction(classified: Classified) -> gateway_pb2.Prediction:
    """What a model says of one file, overall and for each window."""
    card, overall = classified.model.card, classified.overall_scores
    rows = zip(classified.windows, classified.scores, classified.logits, strict=True)
    return gateway_pb2.Prediction(
        model=card.name,
        model_version=classified.model.version,
        scores=_scores(card, overall, classified.overall_logits),
        top_label=card.labels[int(overall.argmax())],
        windows=[
            gateway_pb2.WindowScore(
                scores=_scores(card, scores, logits),
                input_digest=window.digest,
                start_seconds=window.start_seconds,
                end_seconds=window.end_seconds,
            )
            for window, scores, logits in rows
        ],
        facts=classified.facts,
        precision=classified.precision,
        request_id=request_id.current(),
    )


def encode_explained_input(
    classified: Classified, window: int, queue_position: int
) -> gateway_pb2.ExplainedInput:
    """The prediction, and which window is explained."""
    shown = media_pb2.Window()
    shown.CopyFrom(classified.windows[window])
    shown.ClearField("tensor")
    return gateway_pb2.ExplainedInput(
        prediction=encode_prediction(classified),
        window_index=window,
        window=shown,
        queue_position=queue_position,
    )


def _scores(card: Card, scores: FloatArray, logits: FloatArray) -> list[gateway_pb2.LabelScore]:
    found = []
    for label, score, logit in zip(card.labels, scores, logits, strict=True):
        entry = gateway_pb2.LabelScore(label=label, score=float(score), logit=float(logit))
        if label in card.thresholds:
            entry.above_threshold = bool(score >= card.thresholds[label])
        found.append(entry)
    return found
