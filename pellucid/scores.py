"""From served logits to scores, and from what a client asks for to the labels that are explained.

Shapes: `N` inputs, `K` labels of the card, `K'` served logits (1 for a `binary_sigmoid` model, else
`K`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Activation, Card
from pellucid.errors import InvalidArgument, UnknownLabel
from pellucid.tensors import FloatArray

MAX_TARGETS: Final = 64
"""In one request: each is looked up in the model's labels."""


def label_logits(card: Card, served: FloatArray) -> FloatArray:
    """Logit of every label, `(N, K)`, from what is served, `(N, K')`.

    A label without a logit of its own has the other's, negated.
    """
    if card.output.activation is not Activation.BINARY_SIGMOID:
        return served
    signs = [1.0 if label == card.output.positive_label else -1.0 for label in card.labels]
    scores: FloatArray = served * np.asarray(signs, dtype=np.float32)
    return scores


def probabilities(card: Card, served: FloatArray) -> FloatArray:
    """Raw score of every label, 0 to 1, `(N, K)`, from what is served, `(N, K')`."""
    logits = label_logits(card, served).astype(np.float64)
    if card.output.activation is Activation.SOFTMAX:
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
    else:
        # The half of the logistic function that cannot overflow.
        small = np.exp(-np.abs(logits))
        scores = np.where(logits >= 0, 1, small) / (1 + small)
    return np.asarray(scores, dtype=np.float32)


def calibrated(card: Card, served: FloatArray) -> FloatArray:
    """Calibrated score of every label, 0 to 1, `(N, K)`, from what is served, `(N, K')`.

    NaN for a label that the card's calibration has no temperature for.
    """
    if card.calibration is None:
        return np.full((len(served), len(card.labels)), np.nan, np.float32)
    temperature = card.calibration.temperature
    if isinstance(temperature, dict):
        by_label = [temperature.get(label, np.nan) for label in card.labels]
        return probabilities(card, served / np.array(by_label))
    return probabilities(card, served / temperature)


def resolve_operating_point(card: Card, wanted: str) -> str:
    """Name of the operating point that a request means: its own, or else the card's first.

    Args:
        card: the model's.
        wanted: as received; empty means the default.

    Returns:
        A name, or an empty text where the card has no operating points.

    Raises:
        InvalidArgument: the card has none of this name.
    """
    if not wanted:
        return next(iter(card.operating_points), "")
    if wanted not in card.operating_points:
        names = ", ".join(card.operating_points)
        raise InvalidArgument(
            f"{card.name} has no operating point {wanted!r}",
            field="operating_point",
            remedy=f"choose one of: {names}" if names else "leave it out: the model has none",
            model=card.name,
        )
    return wanted


def resolve_targets(
    card: Card,
    wanted: Sequence[methods_pb2.Target],
    scores: FloatArray,
    field: str,
    operating_point: str = "",
) -> list[int]:
    """Indices of the labels to explain, without repetition, in the order they were asked for.

    Args:
        card: the model's.
        wanted: as received; empty means the label with the highest score.
        scores: raw ones, `(K,)`, from 0 to 1.
        field: path of the targets in the request, for the error.
        operating_point: whose thresholds decide what is above them; empty means the card's first.

    Raises:
        UnknownLabel: the card has no such label.
        InvalidArgument: a target is empty or out of range, or there are more than `MAX_TARGETS`.
    """
    if len(wanted) > MAX_TARGETS:
        raise InvalidArgument(
            f"{len(wanted)} targets were asked for",
            field=field,
            remedy=f"ask for at most {MAX_TARGETS}",
            maximum=str(MAX_TARGETS),
        )
    thresholds = card.operating_points.get(resolve_operating_point(card, operating_point), {})
    ranking = sorted(range(len(card.labels)), key=lambda k: -float(scores[k]))
    if not wanted:
        return ranking[:1]
    present = _present(card, thresholds, scores, ranking)
    chosen = [
        index
        for place, target in enumerate(wanted)
        for index in _resolve(card, target, ranking, present, f"{field}[{place}]")
    ]
    return list(dict.fromkeys(chosen))


def check_targets(card: Card, wanted: Sequence[methods_pb2.Target], field: str) -> None:
    """Raise what `resolve_targets` would, before any score is known."""
    resolve_targets(card, wanted, np.zeros(len(card.labels), dtype=np.float32), field)


def expected_targets(card: Card, wanted: Sequence[methods_pb2.Target]) -> int:
    """About how many labels will be explained, before any score is known.

    Only of those above their thresholds the number depends on the scores: it is taken as one.
    """
    return len(resolve_targets(card, wanted, np.zeros(len(card.labels), np.float32), "targets"))


def _resolve(
    card: Card, target: methods_pb2.Target, ranking: list[int], present: list[int], field: str
) -> list[int]:
    count = len(card.labels)
    match target.WhichOneof("target"):
        case "label":
            if target.label not in card.labels:
                raise _no_label(card, repr(target.label), f"{field}.label", "choose one of")
            return [card.labels.index(target.label)]
        case "index":
            if target.index >= count:
                choice = f"choose 0 to {count - 1}"
                raise _no_label(card, f"number {target.index}", f"{field}.index", choice)
            return [target.index]
        case "top_k":
            if not 1 <= target.top_k <= count:
                raise InvalidArgument(
                    f"top_k is {target.top_k}",
                    field=f"{field}.top_k",
                    remedy=f"choose 1 to {count}",
                )
            return ranking[: target.top_k]
        case "above_threshold":
            return present or ranking[:1]
        case _:
            remedy = "set label, index, top_k or above_threshold"
            raise InvalidArgument("the target is empty", field=field, remedy=remedy)


def _present(
    card: Card, thresholds: Mapping[str, float], scores: FloatArray, ranking: list[int]
) -> list[int]:
    """Labels that reach their thresholds; one without counts from 0.5 on.

    Of labels that exclude each other, one without a threshold is not present beside another that
    reached its own: at a threshold of 0.2, both classes would be.
    """
    reached = {k: scores[k] >= thresholds.get(card.labels[k], 0.5) for k in ranking}
    own = [k for k in ranking if reached[k] and card.labels[k] in thresholds]
    if own and card.output.activation is not Activation.SIGMOID:
        return own
    return [k for k in ranking if reached[k]]


def _no_label(card: Card, what: str, field: str, choice: str) -> UnknownLabel:
    return UnknownLabel(
        f"{card.name} has no label {what}",
        field=field,
        remedy=f"{choice}: {', '.join(card.labels)}",
        model=card.name,
    )
