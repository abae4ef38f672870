"""Predictions as the contract words them."""

from math import isnan

from gateway.classification import Classified, Scores
from gateway.out_of_distribution import out_of_distribution
from pellucid.api.common.v1 import media_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.serving import request_id


def encode_prediction(classified: Classified) -> gateway_pb2.Prediction:
    """What a model says of one file, overall and for each window."""
    card, overall = classified.model.card, classified.scores.overall
    count = len(classified.windows)
    distances = [None] * count if classified.distances is None else classified.distances.tolist()
    windows = zip(classified.windows, classified.scores.windows, distances, strict=True)
    return gateway_pb2.Prediction(
        model=card.name,
        model_version=classified.model.version,
        scores=_scores(classified, overall),
        top_label=card.labels[int(overall.raw.argmax())],
        windows=[
            gateway_pb2.WindowScore(
                scores=_scores(classified, scores),
                input_digest=window.digest,
                start_seconds=window.start_seconds,
                end_seconds=window.end_seconds,
                distance=distance,
            )
            for window, scores, distance in windows
        ],
        facts=classified.facts,
        precision=classified.precision,
        request_id=request_id.current(),
        operating_point=classified.operating_point,
        out_of_distribution=out_of_distribution(card, classified.distances),
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


def _scores(classified: Classified, scores: Scores) -> list[gateway_pb2.LabelScore]:
    card = classified.model.card
    thresholds = card.operating_points.get(classified.operating_point, {})
    spread, found = scores.spread, []
    for place, label in enumerate(card.labels):
        score, calibrated = float(scores.raw[place]), float(scores.calibrated[place])
        entry = gateway_pb2.LabelScore(label=label, score=score, logit=float(scores.logits[place]))
        if label in thresholds:
            entry.above_threshold = bool(scores.raw[place] >= thresholds[label])
        if not isnan(calibrated):
            entry.calibrated_score = calibrated
        if not isnan(spread[place]):
            entry.spread = float(spread[place])
        found.append(entry)
    return found
